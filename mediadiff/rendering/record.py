"""What is written down of a clip, in its file, beside it, or in a manifest; and where two records differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mediadiff.errors import MediaError, UsageError
from mediadiff.io.files import sha256
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.rendering import manifest
from mediadiff.rendering.request import recorded_identity

_ROW = re.compile(r"(.+\.jsonl)#(.+)", re.DOTALL)


@dataclass(frozen=True)
class Difference:
    """A part, such as `versions.torch`, that two records give as `one` and `other`; `between` names the records."""

    part: str
    one: Any
    other: Any
    between: tuple[str, str]

    def text(self) -> str:
        first, second = self.between
        return f"{self.part}: {_said(self.one)} {first}, {_said(self.other)} {second}"

    def to_dict(self) -> dict[str, Any]:
        return {"part": self.part, self.between[0]: self.one, self.between[1]: self.other}


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], between: tuple[str, str], within: str = ""
) -> list[Difference]:
    """The parts in which two records differ, by dotted names; what one of them lacks is None there."""
    found = []
    for key in dict.fromkeys([*one, *other]):
        first, second = one.get(key), other.get(key)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            found += differences(first, second, between, f"{within}{key}.")
        elif first != second:
            found.append(Difference(f"{within}{key}", first, second, between))
    return found


@dataclass(frozen=True)
class Record:
    """A clip as it was: its name and facts, and the hashes of its bytes and samples."""

    name: str
    made: Mapping[str, Any]
    sha256: str
    samples_sha256: str | None
    """None for a file that cannot be decoded."""
    path: Path | None = None
    """The file itself, where it is at hand."""
    listed: str | None = None
    """The hash of its bytes by the manifest."""
    disagreements: tuple[Difference, ...] = ()
    """Where its file and its row say different things, or a row its own id."""


def recorded(source: str | Path) -> Record:
    """What is written down of a clip.

    `source` is a rendered file, with its facts inside or in its sidecar; or a row, `MANIFEST.jsonl#NAME`, where NAME is
    the row's file or id; or a `.json` file that holds one row. Where the file and its row are both at hand, they are
    held against each other. Raises UsageError where nothing is written down, MediaError for a damaged file.
    """
    path = Path(source)
    if path.is_file():
        return _of_json(path) if path.suffix == ".json" else _of_file(path)
    named = _ROW.fullmatch(str(source))
    if named is None or not Path(named[1]).is_file():
        raise UsageError(
            f"{source}: no such file; name a rendered file, a row of a manifest (out/manifest.jsonl#7-000001.wav), or "
            "a .json file that holds one row"
        )
    row = _find(Path(named[1]), named[2])
    if row is None:
        raise UsageError(f"{named[1]} has no row {named[2]!r}: after the # goes the name of a file in it, or an id")
    return _of_row(row, Path(named[1]).parent / row["file"])


def _of_file(path: Path) -> Record:
    made = _facts(path)
    if made is None:
        raise UsageError(
            f"{path} does not say how it was made, and there is no {manifest.sidecar(path).name}; name its row "
            f"instead: {path.parent / manifest.NAME}#{path.name}"
        )
    try:
        samples = manifest.samples_sha256(read(path))
    except MediaError:
        samples = None
    rows = (_find(source, path.name) for source in reversed(manifest.sources(path.parent)))
    row = next((row for row in rows if row is not None and row["file"] == path.name), None)
    held = sha256(path)
    listed = None if row is None else row["sha256"]
    return Record(path.name, made, held, samples, path, listed, _disagreements(held, made, row))


def _of_row(row: Mapping[str, Any], path: Path | None = None) -> Record:
    wrong: tuple[Difference, ...] = ()
    if path is not None and path.is_file():
        try:
            wrong = _disagreements(sha256(path), _facts(path) or {}, row)
        except MediaError:
            wrong = _disagreements(sha256(path), {}, row)
    else:
        path, wrong = None, _disagreements(None, {}, row)
    made = {key: row[key] for key in manifest.FACTS}
    name = PurePosixPath(row["file"]).name
    return Record(name, made, row["sha256"], row["samples_sha256"], path, row["sha256"], wrong)


def _of_json(path: Path) -> Record:
    row = manifest.parse(path.read_bytes())
    if row is not None:
        return _of_row(row)
    clip = path.with_suffix("")
    if manifest.sidecar(clip) == path and clip.is_file() and manifest.beside(clip):
        return _of_file(clip)
    raise UsageError(f"{path} holds no row of a manifest; name a rendered file, or a row: out/manifest.jsonl#NAME")


def _facts(path: Path) -> dict[str, Any] | None:
    """What is written down in the file, or else beside it."""
    return manifest.carried(probe(path).tags) or manifest.beside(path)


def _find(source: Path, name: str) -> dict[str, Any] | None:
    """The last row of a manifest whose file, or else whose id, is `name`."""
    by_file = by_id = None
    for _, row in manifest.lines(source):
        if row is not None and row["file"] == name:
            by_file = row
        elif row is not None and row["id"] == name:
            by_id = row
    return by_file or by_id


def _disagreements(held: str | None, made: Mapping[str, Any], row: Mapping[str, Any] | None) -> tuple[Difference, ...]:
    """Where a file's hash and facts and its row say different things, or the row's id is not that of its recipe."""
    if row is None:
        return ()
    wrong = []
    if made:
        wrong = differences(made, {key: row[key] for key in manifest.FACTS}, ("in the file", "in the manifest"))
    if held is not None and held != row["sha256"]:
        wrong.append(Difference("sha256", held, row["sha256"], ("of the file", "in the manifest")))
    own = recorded_identity(row["weights"], row["recipe"])
    if own != row["id"]:
        wrong.append(Difference("id", row["id"], own, ("in the row", "by the row's recipe and weights")))
    return tuple(wrong)


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)
