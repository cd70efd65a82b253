"""The doctor: every file of a folder accepted, with what training will see, or refused with a reason; and warnings."""

from __future__ import annotations

import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff.data import pairing, symptoms
from mediadiff.data.folder import Item, Scan, natural, scan
from mediadiff.data.settings import DataSettings
from mediadiff.domains.base import exact
from mediadiff.errors import MediaError, UsageError

if TYPE_CHECKING:
    from mediadiff.domains.base import Domain
    from mediadiff.io.probe import MediaInfo

_FEW = 10  # training files of a label, below which it is learnt badly


@dataclass(frozen=True)
class Accepted:
    """A file that training will use: what it is, how many seconds are kept, and what is odd about it."""

    name: str
    label: str | None
    split: str
    seconds: float
    streams: tuple[str, ...]
    """What is in the file, a text for each stream."""
    warnings: tuple[str, ...] = ()

    def line(self) -> str:
        head = f"accepted  {shown(self.name)}: {self.seconds:.3f} s, {'; '.join(self.streams)}"
        return f"{head}, label {self.label!r}, {self.split}" if self.label is not None else f"{head}, {self.split}"


@dataclass(frozen=True)
class Report:
    """What the doctor found. `exit_code` is 0 when no file was refused, else 2."""

    folder: str
    accepted: tuple[Accepted, ...]
    refused: tuple[tuple[str, str], ...]
    """Names (or rows of the table) and reasons."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Files that the settings leave out on purpose."""
    ignored: tuple[tuple[str, str], ...] = ()
    """Files that belong in a folder of media and are none: a README, a licence."""
    warnings: tuple[str, ...] = ()
    """What is odd about the folder as a whole."""
    sees: tuple[str, ...] = ()
    """What training will see of each clip, a text for each stream; empty without a recipe."""
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Files of each label in each split."""
    notes: tuple[str, ...] = ()
    """What holds for this machine and this folder, and is no fault."""

    @property
    def exit_code(self) -> int:
        return 2 if self.refused or not self.accepted else 0

    def to_dict(self) -> dict[str, Any]:
        """The report for programs: JSON values only; names that are not Unicode have their odd bytes escaped."""
        plain: dict[str, Any] = asdict(self) | {"exit_code": self.exit_code}
        for entry in plain["accepted"]:
            entry["name"] = shown(entry["name"])
        return plain

    def lines(self) -> list[str]:
        """The report in words: a line for every file, then warnings, then a summary."""
        lines = [file.line() for file in self.accepted]
        lines += [f"left out  {name}: {reason}" for name, reason in self.left_out]
        lines += [f"ignored   {name}: {reason}" for name, reason in self.ignored]
        lines += [f"refused   {name}: {reason}" for name, reason in self.refused]
        lines += [f"warning   {text}" for text in (*self._odd_files(), *self.warnings)]
        lines += [
            "",
            f"{shown(self.folder)}: {len(self.accepted)} accepted, {len(self.refused)} refused" + self._left(),
        ]
        if not self.accepted:
            lines.append("nothing here can be trained on: put media into the folder, or name another")
        if self.accepted:
            lengths = sorted(file.seconds for file in self.accepted)
            middle = statistics.median(lengths)
            lines.append(f"lengths: {lengths[0]:.3f} to {lengths[-1]:.3f} s, half of them up to {middle:.3f} s")
        if self.labels:
            each = (
                f"{label} {' + '.join(f'{n} {split}' for split, n in n_of.items())}"
                for label, n_of in self.labels.items()
            )
            lines.append(f"labels ({len(self.labels)}): {', '.join(each)}")
        lines += [f"training sees {text}" for text in self.sees]
        return lines + [f"note: {text}" for text in self.notes]

    def _left(self) -> str:
        left_out = f", {len(self.left_out)} left out by the settings" if self.left_out else ""
        return left_out + (f", {len(self.ignored)} ignored" if self.ignored else "")

    def _odd_files(self) -> list[str]:
        by_text: dict[str, list[str]] = defaultdict(list)
        for file in self.accepted:
            for text in file.warnings:
                by_text[text].append(shown(file.name))
        return [f"{text}: {_count(names)} ({_some(names)})" for text, names in by_text.items()]


def examine(
    settings: DataSettings,
    domains: Mapping[str, Domain] | None = None,
    seconds: Fraction | float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Decodes every file of the folder and says what training would make of it.

    With a recipe's `domains` and window in `seconds`, files are looked at as training will see them, and some are taken
    through their domain and back. Without, they are looked at as they are. Raises UsageError if the folder is missing
    or the settings do not fit it. `progress(done, total)` is called per file.
    """
    if bool(domains) != (seconds is not None):
        raise UsageError("the doctor needs both the domains and the window in seconds, or neither")
    if settings.bounce is not None:
        raise UsageError("generated clips are made, not read: there are no files for the doctor to look at")
    found = scan(settings)
    accepted: list[Accepted] = []
    refused = [(_name(refusal.path, found.folder), refusal.reason) for refusal in found.refused]
    contents: dict[str, list[Accepted]] = defaultdict(list)
    for done, item in enumerate(found.items):
        try:
            file, content = _check(item, found, domains, seconds)
            accepted.append(file)
            contents[content].append(file)
        except MediaError as error:
            refused.append((shown(item.name), error.cause))
        if progress:
            progress(done + 1, len(found.items))
    labels = _labels(accepted)
    warnings = _duplicates(contents)
    warnings += _balance(labels, accepted, settings)
    kept = {file.name for file in accepted}
    notes = [text] if (text := pairing.advice()) else []
    sees = []
    if domains and seconds is not None:
        for name, domain in domains.items():
            shape = "x".join(map(str, domain.shape(seconds)))
            sees.append(f"{name} as {shape} ({float(seconds):g} s at {float(domain.rate):.6g} steps a second)")
        items = [item for item in found.items if item.name in kept]
        loss = symptoms.round_trip(items, domains, exact(seconds), settings)
        warnings += [text for text, is_lost in loss if is_lost]
        notes = [text for text, is_lost in loss if not is_lost] + notes
    left_out, ignored = (
        tuple((_name(one.path, found.folder), one.reason) for one in group) for group in (found.left_out, found.ignored)
    )
    return Report(
        str(found.folder),
        tuple(accepted),
        tuple(sorted(refused)),
        left_out,
        ignored,
        tuple(warnings),
        tuple(sees),
        labels,
        tuple(notes),
    )


def examine_folder(folder: str, progress: Callable[[int, int], None] | None = None) -> Report:
    """The report of a folder without a recipe. Where it has two or more sub-folders, their names count as labels."""
    report = examine(DataSettings(folder), progress=progress)
    labels = {file.name.split("/")[0] for file in report.accepted if "/" in file.name}
    if len(labels) < 2:
        return report
    accepted = tuple(
        replace(file, label=file.name.split("/")[0]) if "/" in file.name else file for file in report.accepted
    )
    return replace(report, accepted=accepted, labels=_labels(accepted))


def shown(name: str) -> str:
    """A name as any terminal and JSON can show it: bytes that are no text, and control characters, as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _check(
    item: Item, found: Scan, domains: Mapping[str, Domain] | None, seconds: Fraction | float | None
) -> tuple[Accepted, str]:
    """The file as training sees it, and the hash of its bytes. MediaError if it cannot be used."""
    from mediadiff.data.encode import encode_clip, read_item
    from mediadiff.io.files import sha256
    from mediadiff.io.probe import probe
    from mediadiff.io.read import read

    info = probe(item.path)
    keep = found.settings.keep
    if domains and seconds is not None:
        clip = read_item(item, domains, exact(seconds), found.settings)
        encode_clip(clip, item.path, domains, exact(seconds))
        wanted = {domain.medium for domain in domains.values()}
        absent = [medium for medium in sorted(wanted) if getattr(clip, medium) is None]
    else:
        # Small frames tell what is odd as well as large ones do, and fit in memory.
        size = (64, 64) if info.picture else None
        clip = read(
            item.path, sound=info.sound is not None, picture=info.picture is not None, size=size, max_seconds=keep
        )
        absent = []
    warnings = [f"no {medium}; the rest is used" for medium in absent]
    warnings += symptoms.of_clip(clip, None if seconds is None else float(seconds))
    warnings += _against_domains(info, domains or {})
    if info.seconds is not None and info.seconds > keep + 0.05:
        warnings.append(f"longer than `keep` ({keep:g} s); the rest is not used")
    accepted = Accepted(item.name, item.label, item.split, float(clip.seconds), _streams(info), tuple(warnings))
    return accepted, sha256(item.path)


def _streams(info: MediaInfo) -> tuple[str, ...]:
    streams = []
    if info.sound is not None:
        channels = "mono" if info.sound.channels == 1 else f"{info.sound.channels} channels"
        streams.append(f"{info.sound.codec} {info.sound.sample_rate} Hz {channels}")
    if info.picture is not None:
        height, width = info.picture.size
        rate = "still" if info.picture.is_still else f"{float(info.picture.rate):.6g} frames/s"
        streams.append(f"{info.picture.codec} {width}x{height} {rate}")
    return tuple(streams)


def _against_domains(info: MediaInfo, domains: Mapping[str, Domain]) -> list[str]:
    """What the domains will have to make up: a higher rate or a larger size than the file has."""
    warnings = []
    for domain in domains.values():
        facts: Any = domain
        if domain.medium == "sound" and info.sound is not None and info.sound.sample_rate < facts.sample_rate:
            warnings.append(f"a sample rate below {facts.sample_rate} Hz, so nothing in the highest octaves")
        if domain.medium == "picture" and info.picture is not None:
            height, width = info.picture.size
            if height < facts.height or width < facts.width:
                warnings.append(f"smaller than {facts.width}x{facts.height}, so enlarged")
            if not info.picture.is_still and info.picture.rate * 10 < Fraction(facts.frame_rate) * 9:
                warnings.append(f"fewer than {facts.frame_rate} frames a second, so frames repeat")
    return warnings


def _labels(accepted: Sequence[Accepted]) -> dict[str, dict[str, int]]:
    counts = Counter((file.label, file.split) for file in accepted if file.label is not None)
    names = sorted({label for label, _ in counts}, key=natural)
    return {
        label: {split: counts[label, split] for split in ("train", "test") if counts[label, split]} for label in names
    }


def _balance(
    labels: Mapping[str, Mapping[str, int]], accepted: Sequence[Accepted], settings: DataSettings
) -> list[str]:
    warnings = []
    train = {label: counts.get("train", 0) for label, counts in labels.items()}
    few = [f"{label} ({count})" for label, count in train.items() if count < _FEW]
    if few:
        warnings.append(f"{len(few)} of {len(train)} labels have fewer than {_FEW} files for training: {_some(few)}")
    if len(train) > 1 and max(train.values()) > 5 * min(train.values()) and not settings.balance:
        warnings.append("some labels have over 5 times as many files as others; `data.balance: true` evens them out")
    if accepted and not any(file.split == "train" for file in accepted):
        warnings.append("no file is left for training; change `data.test`")
    return warnings


def _duplicates(contents: Mapping[str, Sequence[Accepted]]) -> list[str]:
    groups = [files for files in contents.values() if len(files) > 1]
    leaks = [files for files in groups if len({file.split for file in files}) > 1]
    warnings = []
    if groups:
        examples = _some([" = ".join(shown(file.name) for file in files) for files in groups])
        warnings.append(f"the same content under several names: {examples}")
    if leaks:
        examples = _some([" = ".join(shown(file.name) for file in files) for files in leaks])
        warnings.append(f"the same content for training and for testing: {examples}")
    return warnings


def _count(names: Sequence[str]) -> str:
    return "1 file" if len(names) == 1 else f"{len(names)} files"


def _name(path: Path, folder: Path) -> str:
    return shown(os.path.relpath(path, folder))


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
