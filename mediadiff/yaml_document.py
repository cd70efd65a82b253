"""Strict YAML: one mapping, YAML 1.2 core values, every mistake found at once, every value with its line.

PyYAML's own loaders read YAML 1.1 (`no` is False, `1e-4` is text, `010` is 8), keep the last of two equal keys in
silence, and let aliases blow a few bytes up to gigabytes. So only its parser is used here, and what it reports is put
together under narrower rules: no aliases, no tags, no equal keys, nothing infinite, and limits on size and depth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

Path = tuple[str | int, ...]

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 32
MAX_VALUES = 100_000
MAX_DIGITS = 20
MAX_PROBLEMS = 100


class Mark(NamedTuple):
    """A place in a text, counted from 1; line 0 is the command line."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}" if self.line else "on the command line"


@dataclass(frozen=True)
class Problem:
    """One mistake: which value it concerns, where it stands, and what is wrong."""

    path: Path
    mark: Mark | None
    text: str

    def __str__(self) -> str:
        return ": ".join(str(part) for part in (self.mark, dotted(self.path), self.text) if part)


@dataclass
class Document:
    """What a text says, as plain dicts, lists, str, int, float, bool and None; where each stands; what is wrong."""

    data: dict[str, Any] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    """Where each value starts."""
    keys: dict[Path, Mark] = field(default_factory=dict)
    """Where each key of a mapping starts."""
    problems: list[Problem] = field(default_factory=list)

    def mark(self, path: Path, on_key: bool = False) -> Mark | None:
        """Where the value of `path` (or its key) starts, or else the nearest section around it that was written."""
        if path in self.values and not on_key:
            return self.values[path]
        for end in range(len(path), 0, -1):
            if path[:end] in self.keys:
                return self.keys[path[:end]]
        return self.values.get(())

    def put(self, path: Path, value: Any, mark: Mark) -> None:
        """Sets a value, and makes the sections on the way to it."""
        self._forget(path)
        section: Any = self.data
        for end, part in enumerate(path[:-1], 1):
            if not isinstance(section.get(part), dict):
                section[part] = {}
                self._forget(path[:end])
                self.keys[path[:end]] = mark
            section = section[part]
        section[path[-1]] = value
        self.keys[path] = self.values[path] = mark

    def _forget(self, path: Path) -> None:
        for marks in (self.keys, self.values):
            for known in [known for known in marks if known[: len(path)] == path]:
                del marks[known]


def dotted(path: Path) -> str:
    """A path as people write it: `training.batch`, `network.channels[1]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shorten(part)}" if text else shorten(part)
    return text


def shorten(text: str | None, width: int = 60) -> str:
    """`text` on one line, and no longer than `width`."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in (text or "")[: width + 1])
    return line if len(line) <= width else line[: width - 3] + "..."


def read_document(content: bytes | str) -> Document:
    """Reads a text that should be one mapping. Never raises for what the text says: see `problems`."""
    document = Document()
    if len(content) > MAX_BYTES:
        document.problems.append(Problem((), Mark(1, 1), f"{len(content):,} bytes; at most {MAX_BYTES:,} are read"))
        return document
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        text.encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        line = len(error.object[: error.start].splitlines()) or 1
        document.problems.append(Problem((), Mark(line, 1), "not UTF-8 text; save the file as UTF-8"))
        return document
    try:
        _Reader(document).read(text)
    except _TooMuch:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
        said = " ".join(part for part in (error.context, error.problem) if part)
        document.problems.append(Problem((), where, f"not YAML: {said}{_hint(text, where.line, said)}"))
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        document.problems.append(Problem((), Mark(line, 1), f"not YAML: {shorten(str(error).splitlines()[0])}"))
    document.problems.sort(key=lambda problem: problem.mark or Mark(0, 0))
    return document


def read_value(text: str) -> tuple[Any, list[str]]:
    """The value of one text, such as the right side of `training.batch=64`, and what is wrong with it."""
    document = read_document(f"value: {text}" if "\n" not in text else "value: ")
    if "\n" in text:
        return None, ["write the value on one line"]
    extra = [f"unexpected {shorten(key)!r}" for key in document.data if key != "value"]
    return document.data.get("value"), [p.text for p in document.problems] + extra


class _TooMuch(Exception):
    """A limit is passed: the problem is noted, and reading stops."""


class _Reader:
    """Puts the parser's events together into a document."""

    def __init__(self, document: Document):
        self.document = document
        self.events: Iterator[Any] = iter(())
        self.count = 0

    def read(self, text: str) -> None:
        self.events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        next(self.events)
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            self._note((), Mark(1, 1), "the document is empty")
            return
        event = next(self.events)
        mark = _mark(event)
        data = self._value(event, ())
        if not isinstance(data, dict):
            if not self.document.problems:
                self._note((), mark, f"a document is a mapping of names to values; got {describe(data)}")
        else:
            self.document.data = data
        next(self.events)
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._note((), _mark(event), "a second document starts here; a file holds one")

    def _note(self, path: Path, mark: Mark, text: str) -> None:
        self.document.problems.append(Problem(path, mark, text))
        if len(self.document.problems) >= MAX_PROBLEMS:
            raise _TooMuch

    def _value(self, event: Any, path: Path) -> Any:
        mark = _mark(event)
        self.count += 1
        if self.count > MAX_VALUES:
            self._note(path[:1], mark, f"more than {MAX_VALUES:,} values")
            raise _TooMuch
        if len(path) > MAX_DEPTH:
            self._note(path[:1], mark, f"nested more than {MAX_DEPTH} deep")
            raise _TooMuch
        self.document.values.setdefault(path, mark)
        if isinstance(event, yaml.AliasEvent):
            self._note(path, mark, f"aliases (*{shorten(event.anchor)}) are not read; write the value out")
            return None
        if event.anchor is not None:
            self._note(
                path, mark, f"anchors (&{shorten(event.anchor)}) are not read; write the value out where it is used"
            )
        # "!" alone only says "not plain"; it names no type.
        if event.tag not in (None, "!"):
            self._note(path, mark, f"tags ({shorten(event.tag)}) are not read; write a plain value")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        value, wrong = _scalar(event)
        if wrong:
            self._note(path, mark, wrong)
        return value

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            mark = _mark(event)
            key, wrong = self._key(event)
            inner = (*path, key)
            value = self._value(next(self.events), inner)
            if wrong:
                self._note(inner, mark, wrong)
            elif key in items:
                self._note(inner, mark, f"written twice; the first is at {self.document.keys[inner]}")
            else:
                items[key] = value
                self.document.keys[inner] = mark
        return items

    def _key(self, event: Any) -> tuple[str, str | None]:
        """The key, and what is wrong with it."""
        if not isinstance(event, yaml.ScalarEvent):
            if isinstance(event, yaml.CollectionStartEvent):
                self._skip()
            return "?", "a name is text; got a mapping, a list or an alias for a name"
        name = event.value
        if event.anchor is not None or event.tag not in (None, "!"):
            return name, "a name takes no anchor and no tag"
        if name == "<<" and event.implicit[0]:
            return name, "merging (<<) is not read; write the values out"
        key, wrong = _scalar(event)
        if wrong is None and not isinstance(key, str):
            wrong = f'a name is text; got {describe(key)}; write it in quotes: "{shorten(name)}"'
        return name, wrong

    def _skip(self) -> None:
        """Passes over the rest of a mapping or list whose start was just read."""
        depth = 1
        while depth:
            event = next(self.events)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)


def describe(value: object) -> str:
    """A value as an error message names it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {shorten(value)!r}"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return str(value)


_INT = re.compile(r"[-+]?[0-9]+")
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def _scalar(event: Any) -> tuple[Any, str | None]:
    """A scalar's value by the YAML 1.2 core schema, and what is wrong with it."""
    text = event.value
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        return None, "text cannot hold a NUL or half a surrogate pair"
    # Quoted text is text whatever it looks like.
    if not event.implicit[0] or event.tag == "!" or event.style in ("'", '"', "|", ">"):
        return text, None
    if text in _WORDS:
        return _WORDS[text], None
    if _INT.fullmatch(text):
        digits = text.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0":
            plain, quoted = digits.lstrip("0") or "0", shorten(text)
            return None, f"a leading zero ({quoted}) is read in two ways; write {plain}, or '{quoted}' for text"
        if len(digits) > MAX_DIGITS:
            return None, f"a number of {len(digits)} digits; at most {MAX_DIGITS} are read"
        return int(text), None
    if _OTHER_INT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            return None, f"a number of {len(text)} digits; at most {MAX_DIGITS} are read"
        return int(text, 0), None
    if _NOT_FINITE.fullmatch(text):
        return None, f"numbers are finite; got {text}"
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            return None, f"numbers are finite; {shorten(text)} is too large"
        # 2e5 clips is as whole a number as 200000.
        if "." not in text and number.is_integer() and abs(number) < 2**53:
            return int(number), None
        return number, None
    return text, None


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _hint(text: str, line: int, said: str) -> str:
    if said.endswith("unexpected ':'"):
        return "; put a space after each colon"
    lines = text.splitlines()
    if 0 < line <= len(lines) and "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]:
        return "; indent with spaces, not tabs"
    return ""
