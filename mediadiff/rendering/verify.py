"""Proof that an output folder holds what its manifests say, and nothing else.

for finding in verify(Path("out/sevens")):
    if finding.is_fault:
        print(finding.file, finding.kind, finding.text)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mediadiff.errors import MediaError, UsageError
from mediadiff.io.files import is_temporary, sha256
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.io.write import FORMATS
from mediadiff.rendering import manifest
from mediadiff.rendering.page import PICTURES
from mediadiff.rendering.record import differences
from mediadiff.rendering.request import recorded_identity

Kind = Literal["proved", "missing", "changed", "retagged", "swapped", "facts", "foreign", "torn", "leftover"]
_NOTES = ("torn", "leftover")
_MEDIA = frozenset([*FORMATS, *"aac aif aiff au avi avif bmp jpeg jpg m4v mov mpeg mpg oga opus tif tiff webp".split()])


@dataclass(frozen=True)
class Finding:
    """What there is to say of one file: that it is `proved`, or what is wrong with it, in words."""

    file: str
    kind: Kind
    text: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the folder is not what its manifests say; a line that a crash tore or a leftover is none."""
        return self.kind != "proved" and not self.is_note

    @property
    def is_note(self) -> bool:
        return self.kind in _NOTES


def verify(folder: Path) -> Iterator[Finding]:
    """Holds every file of an output folder against its row; one finding for each, notes and foreign files besides.

    A file is proved when its bytes are those of its row, and so its samples, and the facts inside it or beside it are
    the row's. One whose bytes differ is decoded: `retagged` says that the samples are still the same. Memory holds one
    clip, and a name for each file. A sub-folder with a manifest of its own is left to itself. Raises UsageError where
    there is no manifest.
    """
    sources = manifest.sources(folder)
    if not sources:
        raise UsageError(
            f"{folder} holds no {manifest.NAME}, so nothing says what its files must be: name a folder that clips were "
            "rendered into"
        )
    # By manifest and line: a batch that is at work adds rows to several while they are read.
    last: dict[str, tuple[Path, int]] = {}
    for source, line, row in _lines(sources):
        if row is None:
            yield Finding(source.name, "torn", f"line {line} is not a whole row; it is passed over")
        else:
            last[_name(row)] = source, line

    changed: dict[str, tuple[str, str]] = {}  # by file: the hash of its bytes, and of its samples by its row
    for row in _valid(sources, last):
        finding = _bytes(folder, row) or _facts(folder, row)
        if finding.kind == "changed":
            changed[finding.file] = finding.text, row["samples_sha256"]
        else:
            yield finding
    yield from _changed(folder, changed, _owners(sources, last, changed))
    yield from _strangers(folder, last)


def _lines(sources: list[Path]) -> Iterator[tuple[Path, int, dict[str, Any] | None]]:
    for source in sources:
        for number, row in manifest.lines(source):
            yield source, number, row


def _valid(sources: list[Path], last: Mapping[str, tuple[Path, int]]) -> Iterator[dict[str, Any]]:
    """The rows that count: of a file that was rendered again the last one."""
    for source, line, row in _lines(sources):
        if row is not None and last.get(_name(row)) == (source, line):
            yield row


def _name(row: Mapping[str, Any]) -> str:
    return PurePosixPath(row["file"]).as_posix()


def _bytes(folder: Path, row: Mapping[str, Any]) -> Finding | None:
    """None when the file has the bytes of its row; the text of a `changed` one is the hash of what it has."""
    name, path = _name(row), folder / row["file"]
    if not path.is_file():
        return Finding(name, "missing", "is no regular file" if os.path.lexists(path) else "is not there")
    held = sha256(path)
    return None if held == row["sha256"] else Finding(name, "changed", held)


def _facts(folder: Path, row: Mapping[str, Any]) -> Finding:
    """Whether what a file says of itself, inside or in its sidecar, is what its row says."""
    name, path = _name(row), folder / row["file"]
    made = {key: row[key] for key in manifest.FACTS}
    if recorded_identity(row["weights"], row["recipe"]) != row["id"]:
        return Finding(name, "facts", f"the id of its row, {row['id']}, is not that of the row's recipe and weights")
    try:
        inside, beside = manifest.carried(probe(path).tags), manifest.beside(path)
    except MediaError as error:
        return Finding(name, "facts", f"has the bytes of its row, and cannot be read: {error.cause}")
    if inside is None and beside is None:
        return Finding(name, "facts", f"says nothing of itself: no facts inside, none in {manifest.sidecar(path).name}")
    for where, found in (("inside", inside), ("in the sidecar", beside)):
        wrong = [] if found is None else differences(found, made, (where, "in the manifest"))
        if wrong:
            return Finding(name, "facts", "; ".join(difference.text() for difference in wrong))
    return Finding(name, "proved")


def _owners(
    sources: list[Path], last: Mapping[str, tuple[Path, int]], changed: Mapping[str, tuple[str, str]]
) -> dict[str, str]:
    """For each changed file that holds the bytes of another row, the file of that row."""
    by_hash: dict[str, str] = {}
    if changed:
        wanted = {held for held, _ in changed.values()}
        by_hash = {row["sha256"]: _name(row) for row in _valid(sources, last) if row["sha256"] in wanted}
    return {name: by_hash[held] for name, (held, _) in changed.items() if held in by_hash}


def _changed(folder: Path, changed: Mapping[str, tuple[str, str]], owners: Mapping[str, str]) -> Iterator[Finding]:
    for name, (_, samples) in changed.items():
        if name in owners:
            is_pair = owners.get(owners[name]) == name
            yield Finding(name, "swapped" if is_pair else "changed", f"holds the bytes of {owners[name]}")
            continue
        try:
            same = manifest.samples_sha256(read(folder / name)) == samples
        except MediaError as error:
            yield Finding(name, "changed", f"other bytes, which cannot be read: {error.cause}")
            continue
        if same:
            yield Finding(name, "retagged", "other bytes, the same samples: its tags or its container were changed")
        else:
            yield Finding(name, "changed", "other bytes, other samples")


def _strangers(folder: Path, known: Mapping[str, object]) -> Iterator[Finding]:
    """Media that no row knows, and what a render left that was cut off."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(
            name for name in folders if not manifest.sources(here / name) and (here != folder or name != PICTURES)
        )
        for file in sorted(files):
            name = (here / file).relative_to(folder).as_posix()
            clip = name.removesuffix(".json")  # a sidecar is known with its file
            if is_temporary(file):
                yield Finding(name, "leftover", "a temporary file of a render that is running, or was cut off")
            elif PurePosixPath(clip).suffix[1:].lower() in _MEDIA and clip not in known:
                yield Finding(name, "foreign", "no row of a manifest knows it")
