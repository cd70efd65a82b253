"""Plain data against settings classes: pydantic's findings, in people's words and with their places."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from mediadiff.yaml_document import MAX_PROBLEMS, Document, Path, Problem, describe

T = TypeVar("T")

INTERNAL = {"internal": True}
"""The metadata of a dataclass field that no document may set."""

_CONFIG: Any = {"extra": "forbid", "strict": True, "allow_inf_nan": False, "use_attribute_docstrings": True}


@cache
def adapter(kind: Any) -> Any:
    """A pydantic adapter for lists of `kind`, a dataclass: only through a list may a dataclass be given a config."""
    from pydantic import TypeAdapter

    return TypeAdapter(list[kind], config=_CONFIG)


def schema(kind: type) -> dict[str, Any]:
    """The JSON Schema of a dataclass: an object, with what it refers to under `$defs`."""
    return deepcopy(_schema(kind))


@cache
def _schema(kind: type) -> dict[str, Any]:
    definitions = adapter(kind).json_schema()["$defs"]
    whole = definitions.pop(kind.__name__)
    for name in _internal(kind):
        del whole["properties"][name]
    return {**whole, "$defs": definitions}


def check(kind: Callable[..., T], document: Document, path: Path, data: Any, also: Iterable[str] = ()) -> T | None:
    """`data`, which stands at `path` of the document, as a `kind`; None, and problems noted, where it is not one.

    Numbers, texts and truth values are not turned into each other, save a whole number into one with a fraction.
    Values that the document already has problems with are passed over. `also` are names that the caller reads itself.
    """
    from pydantic import ValidationError
    from pydantic_core import to_json

    also, internal = set(also), _internal(kind)
    if isinstance(data, dict):
        for name in internal.intersection(data):
            note(document, (*path, name), unknown(name, _names(kind, ())), on_key=True)
        data = {name: value for name, value in data.items() if name not in also | internal}
    try:
        # Through JSON, since a strict check of Python objects would ask for tuples where a document can say lists only.
        return adapter(kind).validate_json(to_json([data]))[0]
    except ValidationError as error:
        for place, findings in _by_place(error.errors(include_url=False, include_context=True), data):
            text = _sentence(findings, kind, place, also)
            note(document, path + place, text, on_key=findings[0]["type"] == "unexpected_keyword_argument")
            if len(document.problems) >= MAX_PROBLEMS:
                break
        return None


def note(document: Document, path: Path, text: str, on_key: bool = False) -> None:
    """Adds a problem of the value at `path`, unless the document has one there or around it already."""
    if not any(known.path and path[: len(known.path)] == known.path for known in document.problems):
        document.problems.append(Problem(path, document.mark(path, on_key), text))


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean X?` where one of `names` is near, else nothing."""
    lower = {known.lower(): known for known in names}
    found = difflib.get_close_matches(name.lower()[:100], lower, n=1, cutoff=0.6)
    return f"; did you mean {lower[found[0]]}?" if found else ""


def unknown(name: str, names: Iterable[str]) -> str:
    """What to say of a name that is none of `names`."""
    names = list(names)
    return f"unknown; known: {', '.join(names) or 'none'}{nearest(name, names)}"


def _internal(kind: Any) -> set[str]:
    return {item.name for item in fields(kind) if item.metadata.get("internal")}


def _by_place(errors: Iterable[Any], data: Any) -> Iterable[tuple[Path, list[dict[str, Any]]]]:
    """Findings by the place in the data that they concern; a value that could be of several types has several."""
    places: dict[Path, list[dict[str, Any]]] = {}
    for error in errors:
        loc = error["loc"][1:]
        if error["type"] == "value_error":
            # A section's own check speaks of its settings: `test.take is a list of values; got 3`.
            loc = (*loc, *re.split(r"[. ]", str(error["ctx"]["error"]))[:4])
        place = _place(loc, data, error["type"])
        places.setdefault(place, []).append(error)
    around = {place[:length] for place in places for length in range(len(place))}
    for place, findings in places.items():
        # Of a union, the member that came nearest says most: leave out what is about the list as a whole.
        if place not in around:
            yield place, findings


def _place(loc: tuple[str | int, ...], data: Any, kind: str) -> Path:
    """The part of pydantic's `loc` that names values; the rest names types."""
    place: list[str | int] = []
    for part in loc:
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if inside:
            data = data[part]
            place.append(part)
    if kind == "missing" and isinstance(data, dict):
        place.append(loc[-1])
    return tuple(place)


_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of names to values",
    "dataclass_type": "a section: a mapping of names to values",
    "none_required": "nothing",
}
_LIMIT = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _sentence(findings: list[dict[str, Any]], kind: Any, place: Path, also: set[str]) -> str:
    first = findings[0]
    what, got, context = first["type"], first["input"], first.get("ctx", {})
    if what == "missing" and isinstance(got, list):
        return f"takes {len(got) + len(findings)} values; got {len(got)}"
    if what == "missing":
        return f"is missing{_meaning(kind, place)}"
    if what == "unexpected_keyword_argument":
        names = [*_names(kind, place[:-1]), *(sorted(also) if len(place) == 1 else ())]
        return unknown(str(place[-1]), names)
    if what == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        near = nearest(got, names) if isinstance(got, str) else ""
        return f"takes one of {', '.join(names)}; got {describe(got)}{near}"
    if what in _LIMIT:
        name, words = _LIMIT[what]
        return f"takes {words} {_number(context[name])}; got {describe(got)}"
    if what in ("too_short", "string_too_short"):
        return f"takes at least {context['min_length']} {_of(got)}; got {len(got)}"
    if what in ("too_long", "string_too_long"):
        return f"takes at most {context['max_length']} {_of(got)}; got {len(got)}"
    if what == "value_error":
        return str(context["error"])
    expected = list(dict.fromkeys(_EXPECTED[f["type"]] for f in findings if f["type"] in _EXPECTED))
    if not expected:
        return f"{first['msg']}; got {describe(got)}"
    return f"takes {' or '.join(expected)}; got {describe(got)}{_remedy(expected, got)}"


def _remedy(expected: list[str], got: object) -> str:
    """What to write instead, where a value was only written in the wrong way."""
    if expected == ["text"] and isinstance(got, int | float):
        return f"; write it in quotes: '{describe(got)}'"
    if not isinstance(got, str):
        return ""
    bare = got.strip().replace("_", "").lower()
    if expected == ["true or false"] and bare in ("yes", "on", "no", "off", "true", "false"):
        return f"; write {'true' if bare in ('yes', 'on', 'true') else 'false'}"
    if expected[0] in ("a number", "a whole number") and re.fullmatch(r"[-+]?\d{1,20}(\.\d{0,20})?", bare):
        return f"; write {bare}"
    return ""


def _names(kind: Any, place: Path) -> list[str]:
    """The names that the section at `place` of a `kind` takes."""
    return list(_section(kind, place).get("properties", {}))


def _meaning(kind: Any, place: Path) -> str:
    """What the value at `place` of a `kind` is for, in the first sentence of its documentation."""
    said = _section(kind, place[:-1]).get("properties", {}).get(place[-1], {}).get("description", "")
    sentence = re.split(r"(?<=[.:;])\s", " ".join(said.split()))[0].rstrip(".:;")
    return f": {sentence[0].lower()}{sentence[1:]}" if sentence else ""


def _section(kind: Any, place: Path) -> Mapping[str, Any]:
    here: Mapping[str, Any] = _schema(kind)
    definitions = here["$defs"]
    for part in place:
        here = here.get("items", {}) if isinstance(part, int) else here.get("properties", {}).get(part, {})
        if "$ref" in here:
            here = definitions[here["$ref"].rpartition("/")[2]]
    return here


def _of(value: object) -> str:
    return "characters" if isinstance(value, str) else "values"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
