"""A folder of media as training sees it: each file becomes an item or is refused with a reason."""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
import string
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mediadiff.data.bounce import Generated
from mediadiff.data.settings import BounceSettings, DataSettings, pattern_fields
from mediadiff.data.table import read_table
from mediadiff.errors import MediaError, UsageError

Split = Literal["train", "test"]

_PAPER = re.compile(r"(readme|licen[cs]e|copying|notice|authors|citation)([^a-z].*)?", re.IGNORECASE | re.DOTALL)
_PAPER_ENDINGS = ("", ".md", ".txt", ".rst", ".html", ".pdf", ".cff")


@dataclass(frozen=True)
class Item:
    """One file that training or testing will use. `name` is its path in the folder, with forward slashes."""

    path: Path
    name: str
    label: str | None = None
    caption: str = ""
    scalars: Mapping[str, float] = field(default_factory=dict)
    split: Split = "train"
    generated: Generated | None = None
    """Where there is no file: what the clip is made from."""


@dataclass(frozen=True)
class Refusal:
    """A file (or a row of the table) that is not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """All files of a folder, sorted by name: used, refused, left out because the settings ask for it, or ignored."""

    settings: DataSettings
    folder: Path
    items: tuple[Item, ...]
    refused: tuple[Refusal, ...]
    left_out: tuple[Refusal, ...] = ()
    ignored: tuple[Refusal, ...] = ()
    """What belongs in a folder of media and is none: a README, a licence."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of all items, in natural order (`2` before `10`)."""
        return tuple(sorted({item.label for item in self.items if item.label is not None}, key=natural))


def scan(settings: DataSettings) -> Scan:
    """Looks at every file below the folder without decoding any; the same folder gives the same result.

    Whether a file holds media that can be decoded is known once it is: see `EncodedSet.open` and the doctor.
    Raises UsageError if the folder or the table is missing or cannot be understood.
    """
    if settings.bounce is not None:
        return _generated(settings, settings.bounce)
    assert settings.folder is not None  # settings hold either of the two
    folder = resolve(settings.folder)
    table = folder / settings.table if settings.table else None
    rows, bad = read_table(table, settings.columns) if table else ({}, [])
    refused = [Refusal(table or folder, reason) for reason in bad]
    matcher = _matcher(settings.label) if settings.label not in ("", "folder") else None
    labels: set[str | None] = set()
    items: list[Item] = []
    fields: dict[str, Mapping[str, str]] = {}
    left_out: list[Refusal] = []
    ignored: list[Refusal] = []
    seen = set()
    for path in _files(folder, refused):
        if table and path == table:
            continue
        name = path.relative_to(folder).as_posix()
        seen.add(name)
        if name not in rows and is_paper(path.name):
            ignored.append(Refusal(path, "words about the media"))
            continue
        try:
            _check(path, folder)
            found = _fields(path, name, settings, rows if table else None, matcher)
            item = _item(path, name, found)
        except MediaError as error:
            refused.append(Refusal(path, error.cause))
            continue
        labels.add(item.label)
        if settings.include and item.label not in settings.include:
            left_out.append(Refusal(path, f"its label {item.label!r} is not in `include`"))
            continue
        items.append(item)
        fields[name] = found
    absent = [folder / name for name in rows if name not in seen]
    refused += [Refusal(path, "named in the table, but not in the folder") for path in absent]
    items.sort(key=lambda item: item.name)
    _check_include(settings, labels)
    items = _split(settings.test, items, fields)
    refused.sort(key=lambda refusal: str(refusal.path))
    return Scan(settings, folder, tuple(items), tuple(refused), tuple(left_out), tuple(ignored))


def _generated(settings: DataSettings, bounce: BounceSettings) -> Scan:
    items = [
        Item(Path(f"bounce/{i:06d}"), f"{i:06d}", str(1 + i % bounce.balls), generated=Generated(bounce, i))
        for i in range(bounce.clips)
    ]
    _check_include(settings, {item.label for item in items})
    used = [item for item in items if not settings.include or item.label in settings.include]
    return Scan(settings, Path("bounce"), tuple(_split(settings.test, used, {item.name: {} for item in used})), ())


def resolve(folder: str) -> Path:
    """The folder as an absolute path, `~` and environment variables filled in; UsageError if it is not there."""
    if os.path.isdir(folder):
        # A recipe's is filled in already: a dollar sign in it is part of its name.
        return Path(os.path.abspath(folder))
    text = os.path.expandvars(os.path.expanduser(folder))
    if unset := re.search(r"\$\{?(\w+)", text):
        raise UsageError(f"data.folder is {folder!r}, and {unset[1]} is not set; set it, or write the folder itself")
    path = Path(os.path.abspath(text))
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        raise UsageError(f"the data folder {path} {what}; put the folder that holds your media there")
    return path


def is_paper(name: str) -> bool:
    """Whether a file of this name tells of the media beside it, as `README.md` and `LICENSE` do."""
    path = Path(name)
    return path.suffix.lower() in _PAPER_ENDINGS and _PAPER.fullmatch(path.stem) is not None


def natural(name: str) -> tuple[tuple[tuple[bool, int, str], ...], str]:
    """A sorting key by which `clip2` comes before `clip10`."""
    parts = re.findall(r"0*([0-9]+)|([^0-9]+)", name)
    return tuple((bool(text), len(digits), digits or text) for digits, text in parts), name


def _files(folder: Path, refused: list[Refusal]) -> Iterator[Path]:
    def unlisted(error: OSError) -> None:
        refused.append(Refusal(Path(error.filename), f"the folder cannot be listed: {error.strerror}"))

    for base, folders, files in os.walk(folder, onerror=unlisted):
        for name in sorted(folders):
            path = Path(base, name)
            if name.startswith("."):
                refused.append(Refusal(path, "a hidden folder"))
            elif path.is_symlink():
                refused.append(Refusal(path, "a link to a folder; links to folders are not followed"))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not Path(base, name).is_symlink())
        yield from (Path(base, name) for name in sorted(files))


def _check(path: Path, folder: Path) -> None:
    if path.name.startswith("."):
        raise MediaError(path, "a hidden file")
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(folder.resolve()):
            raise MediaError(path, "a link to a file outside the folder")
        status = path.stat()
    except OSError as error:
        raise MediaError(path, f"cannot be opened: {error.strerror}") from None
    except RuntimeError:
        raise MediaError(path, "a link that leads back to itself") from None
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(path, "not a regular file")
    if not status.st_size:
        raise MediaError(path, "the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise MediaError(path, "no permission to read it")


def _fields(
    path: Path,
    name: str,
    settings: DataSettings,
    rows: Mapping[str, Mapping[str, str]] | None,
    matcher: re.Pattern[str] | None,
) -> Mapping[str, str]:
    """Everything that is known about a file by name: the table's columns, then what its path says."""
    if rows is not None and name not in rows:
        raise MediaError(path, f"not in the table {settings.table}")
    found = dict(rows[name]) if rows is not None else {}
    if settings.label == "folder":
        if "/" not in name:
            raise MediaError(path, "lies in no sub-folder, so it has no label")
        found["label"] = name.split("/")[0]
    elif matcher:
        match = matcher.fullmatch(path.stem)
        if not match:
            raise MediaError(path, f"its name does not fit the pattern {settings.label}")
        found |= match.groupdict()
    return found


def _item(path: Path, name: str, found: Mapping[str, str]) -> Item:
    label, caption = found.get("label", ""), found.get("caption", "")
    if not label.isprintable():
        raise MediaError(path, f"its label {ascii(label)} is not printable text; rename it")
    if not _is_unicode(caption):
        raise MediaError(path, f"its caption {ascii(caption)} is not valid Unicode")
    scalars = {
        key: value
        for key, text in found.items()
        if key not in ("label", "caption") and (value := _number(text)) is not None
    }
    return Item(path, name, label or None, caption, scalars)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _matcher(pattern: str) -> re.Pattern[str]:
    pattern_fields(pattern)
    parts = string.Formatter().parse(pattern)
    return re.compile(
        "".join(re.escape(text) + (f"(?P<{name}>.+?)" if name is not None else "") for text, name, _, _ in parts),
        re.DOTALL,
    )


def _check_include(settings: DataSettings, labels: set[str | None]) -> None:
    missing = [label for label in settings.include if label not in labels]
    if missing:
        found = ", ".join(sorted((label for label in labels if label is not None), key=natural)) or "none"
        raise UsageError(f"data.include asks for {', '.join(missing)}, which no file has; there are: {found}")


def _split(rule: Mapping[str, object], items: list[Item], fields: Mapping[str, Mapping[str, str]]) -> list[Item]:
    """The items with their split set by the rule; see `DataSettings.test`."""
    test: set[str] = set()
    for name, value in rule.items():
        if name == "fraction" and isinstance(value, (int, float)):
            test = {item.name for item in items if _hash_part(item.name) < value}
        elif name == "last" and isinstance(value, (int, float)):
            test = _last(items, value)
        elif isinstance(value, (tuple, list)):
            if not any(name in fields[item.name] for item in items) and items:
                known = sorted({key for item in items for key in fields[item.name]})
                has = ", ".join(known) or "no fields"
                raise UsageError(f"data.test splits by {name!r}, which no file has; files have: {has}")
            values = {str(one) for one in value}
            test = {item.name for item in items if fields[item.name].get(name) in values}
    return [replace(item, split="test") if item.name in test else item for item in items]


def _hash_part(name: str) -> float:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def _last(items: list[Item], part: float) -> set[str]:
    groups: dict[str | None, list[str]] = defaultdict(list)
    for item in items:
        groups[item.label].append(item.name)
    test: set[str] = set()
    for names in groups.values():
        count = min(len(names) - 1, math.floor(len(names) * part + 0.5))
        test |= set(sorted(names, key=natural)[len(names) - count :])
    return test
