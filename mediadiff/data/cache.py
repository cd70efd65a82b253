"""Media decoded and encoded once, kept by content and settings: what training reads.

A cache folder holds one folder for each set of settings. In it, shards (safetensors, half precision) appear whole, each
beside a JSON file with its hash, so an interrupted encode goes on where it was; `index.json` comes last. It may be
deleted at any time. Reading it needs torch and safetensors, and neither the media nor the packages that decode them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from mediadiff.data.encode import encode_item
from mediadiff.data.folder import Item, Refusal, Scan, Split, natural
from mediadiff.data.settings import DataSettings
from mediadiff.domains.base import Domain, Shape, exact
from mediadiff.errors import MediadiffError, MediaError, UsageError
from mediadiff.io.files import sha256, sweep, write_text
from mediadiff.io.tensors import save_tensors

FORMAT = 1
_SHARD_BYTES = 128 * 2**20
_SHARD_SECONDS = 20.0  # an interrupted encode loses at most this much work


@dataclass(frozen=True)
class EncodedStream:
    """A stream of the set: its medium, time steps per second, and the shape `(C, T, H, W)` of the training window."""

    medium: str
    rate: Fraction
    shape: Shape


@dataclass(frozen=True)
class Entry:
    """One encoded file. `label` is its place in `EncodedSet.labels`, -1 for none; `steps` has each stream's length."""

    name: str
    label: int
    caption: str
    scalars: Mapping[str, float]
    split: Split
    content: str
    steps: Mapping[str, int]


class EncodedSet:
    """All files of a scan, encoded. Get one by `open` (from media) or `load` (from a finished cache alone)."""

    def __init__(self, folder: Path, index: Mapping[str, Any], shards: _Shards):
        self.folder = folder
        self.seconds = Fraction(index["seconds"])
        self.streams = {
            name: EncodedStream(stream["medium"], Fraction(stream["rate"]), tuple(stream["shape"]))
            for name, stream in index["streams"].items()
        }
        self.labels: tuple[str, ...] = tuple(index["labels"])
        self.entries = tuple(Entry(**entry) for entry in index["entries"])
        self.refused = tuple(Refusal(Path(path), reason) for path, reason in index["refused"])
        """Files that the scan took and that could not be decoded."""
        self.balance: bool = index["balance"]
        self.mirror: bool = index["mirror"]
        self.scalars: tuple[str, ...] = tuple(sorted({name for entry in self.entries for name in entry.scalars}))
        """The names of all numbers that any file has."""
        known = json.dumps([index[key] for key in ("streams", "seconds", "labels", "balance", "mirror", "entries")])
        self.fingerprint = hashlib.sha256(known.encode()).hexdigest()
        """A hash of all that batches depend on: equal if and only if training would see the same."""
        self._shards = shards
        self._members = {
            split: tuple(i for i, entry in enumerate(self.entries) if entry.split == split)
            for split in ("train", "test")
        }
        self._by_label: dict[str, list[list[int]]] = {}
        for split, members in self._members.items():
            groups: dict[int, list[int]] = {}
            for nth, place in enumerate(members):
                groups.setdefault(self.entries[place].label, []).append(nth)
            self._by_label[split] = [groups[label] for label in sorted(groups)]

    @classmethod
    def open(
        cls,
        scan: Scan,
        domains: Mapping[str, Domain],
        seconds: Fraction | float,
        folder: str | Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> EncodedSet:
        """Encodes what the cache `folder` does not hold yet, and returns the set.

        `domains` has one domain per stream, at most one a medium; `seconds` is the training window. A file is kept up
        to `scan.settings.keep` seconds. One that is shorter than the window is filled up: sound with silence, picture
        by holding its last frame. One that lacks a stream is kept without it; one that lacks all, or cannot be decoded,
        is refused. Where two streams end apart, the common part is kept. `progress(done, total)` is called per file.
        Raises UsageError when no file is left.
        """
        seconds = exact(seconds)
        settings = _settings(domains, seconds, scan.settings)
        root = Path(folder) / hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
        root.mkdir(parents=True, exist_ok=True)
        sweep(root)
        shards = _Shards(root)
        entries: list[tuple[Item, str]] = []
        refused: list[Refusal] = []
        for done, item in enumerate(scan.items):
            try:
                content = item.generated.content if item.generated else _hash(item.path)
                if content not in shards:
                    shards.add(content, encode_item(item, domains, seconds, scan.settings))
                entries.append((item, content))
            except MediaError as error:
                refused.append(Refusal(item.path, error.cause))
            if progress:
                progress(done + 1, len(scan.items))
        shards.flush()
        if not entries:
            reasons = "".join(f"\n  {r.path.name!r}: {r.reason}" for r in (*refused, *scan.refused)[:5])
            raise UsageError(f"no file in {scan.folder} can be used for training; see `mediadiff doctor`{reasons}")
        labels = tuple(sorted({item.label for item, _ in entries if item.label is not None}, key=natural))
        index = {
            **settings,
            "labels": labels,
            "balance": scan.settings.balance,
            "mirror": scan.settings.mirror,
            "entries": [
                {
                    "name": item.name,
                    "label": -1 if item.label is None else labels.index(item.label),
                    "caption": item.caption,
                    "scalars": dict(item.scalars),
                    "split": item.split,
                    "content": content,
                    "steps": shards.steps(content),
                }
                for item, content in entries
            ],
            "refused": [[str(r.path), r.reason] for r in refused],
        }
        for name, stream in index["streams"].items():
            stream |= {
                "medium": domains[name].medium,
                "rate": str(domains[name].rate),
                "shape": domains[name].shape(seconds),
            }
        # ASCII only: a name need not be valid Unicode.
        write_text(root / "index.json", json.dumps(index, indent=1))
        return cls(root, json.loads(json.dumps(index)), shards)

    @classmethod
    def load(cls, folder: str | Path) -> EncodedSet:
        """The set of a finished cache, `EncodedSet.folder` of an earlier `open`; every shard's hash is checked.

        Raises MediadiffError if it is not finished or damaged.
        """
        root = Path(folder)
        if not (root / "index.json").is_file():
            raise MediadiffError(f"{root} holds no finished cache (no index.json); open it with its media once")
        try:
            encoded = cls(root, json.loads((root / "index.json").read_text()), _Shards(root))
        except (ValueError, KeyError, TypeError, AttributeError):
            text = f"{root}/index.json is damaged or of another version; open it with its media again"
            raise MediadiffError(text) from None
        missing = sum(entry.content not in encoded._shards for entry in encoded.entries)
        if missing:
            raise MediadiffError(f"{root} lacks {missing} files, or they are damaged; open it with its media again")
        return encoded

    def __len__(self) -> int:
        return len(self.entries)

    def members(self, split: Split) -> tuple[int, ...]:
        """The places in `entries` of all files of a split."""
        return self._members[split]

    def by_label(self, split: Split) -> list[list[int]]:
        """The places in `members` of the files of each label of a split, by label."""
        return self._by_label[split]

    def read(self, place: int, stream: str, start: int = 0, steps: int | None = None) -> torch.Tensor:
        """`steps` time steps (all, if None) of a stream of `entries[place]` from `start`: float32 `[C, T, H, W]`."""
        entry = self.entries[place]
        stop = entry.steps[stream] if steps is None else start + steps
        return self._shards.read(entry.content, stream, start, stop)


class _Shards:
    """The shards of one folder, each checked against its hash when opened; a damaged one is removed."""

    def __init__(self, root: Path):
        self._root = root
        self._steps: dict[str, dict[str, int]] = {}
        self._files: dict[str, Any] = {}
        self._pending: dict[str, dict[str, torch.Tensor]] = {}
        self._since = time.monotonic()
        for side in sorted(root.glob("shard-*.json")):
            if not self._open(side):
                side.unlink()
                side.with_suffix(".safetensors").unlink(missing_ok=True)

    def __contains__(self, content: str) -> bool:
        return content in self._steps

    def steps(self, content: str) -> dict[str, int]:
        return self._steps[content]

    def add(self, content: str, streams: Mapping[str, torch.Tensor]) -> None:
        self._pending[content] = {name: x.half() for name, x in streams.items()}
        self._steps[content] = {name: x.shape[1] for name, x in streams.items()}
        size = sum(2 * x.numel() for kept in self._pending.values() for x in kept.values())
        if size > _SHARD_BYTES or time.monotonic() - self._since > _SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            tensors = {f"{content}/{name}": x for content, kept in self._pending.items() for name, x in kept.items()}
            name = hashlib.sha256("".join(self._pending).encode()).hexdigest()[:16]
            path = self._root / f"shard-{name}.safetensors"
            digest = save_tensors(path, tensors)
            side = {"sha256": digest, "items": {content: self._steps[content] for content in self._pending}}
            write_text(path.with_suffix(".json"), json.dumps(side))
            self._pending = {}
            self._open(path.with_suffix(".json"))
        self._since = time.monotonic()

    def read(self, content: str, stream: str, start: int, stop: int) -> torch.Tensor:
        return self._files[content].get_slice(f"{content}/{stream}")[:, start:stop].float()

    def _open(self, side: Path) -> bool:
        path = side.with_suffix(".safetensors")
        try:
            record = json.loads(side.read_text())
            if sha256(path) != record["sha256"]:
                return False
            file = safe_open(path, "pt")
        except (OSError, ValueError, KeyError):
            return False
        self._steps |= record["items"]
        self._files |= dict.fromkeys(record["items"], file)
        return True


def _settings(domains: Mapping[str, Domain], seconds: Fraction, data: DataSettings) -> dict[str, Any]:
    """All that the encoded bytes depend on, besides the media."""
    streams = {
        name: {"domain": type(domain).__module__.rpartition(".")[2], "settings": asdict(domain)}  # type: ignore[call-overload]
        for name, domain in domains.items()
    }
    settings = {"format": FORMAT, "streams": streams, "seconds": str(seconds), "keep": data.keep}
    # Left out where it is nothing, so that what was encoded before it existed is still found.
    return settings if data.loudness is None else {**settings, "loudness": data.loudness}


def _hash(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise MediaError(path, f"cannot be read: {error.strerror}") from None
