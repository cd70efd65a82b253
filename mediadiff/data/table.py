"""A table of labels and captions beside the media: csv, or one JSON object a line."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mediadiff.errors import UsageError


def read_table(path: Path, columns: Mapping[str, str]) -> tuple[dict[str, Mapping[str, str]], list[str]]:
    """The rows by file name (all values as text, without `file`), and what is wrong with the rows that are left out.

    `columns` maps our names (`file`, `label`, `caption`, any) to the table's. Raises UsageError if the table is
    missing, is not text, or lacks a column that is asked for.
    """
    if not path.is_file():
        raise UsageError(f"the table {path} does not exist; `table` is a file inside the data folder")
    ours = {theirs: name for name, theirs in columns.items()}
    rows: dict[str, Mapping[str, str]] = {}
    names: set[str] = set()
    bad: list[str] = []
    for line, raw in _rows(path, bad):
        names |= raw.keys()
        row = {ours.get(key, key): value for key, value in raw.items() if key not in columns or key in ours}
        name = os.path.normpath(row.pop("file", "")).replace(os.sep, "/")
        if name == ".":
            bad.append(f"line {line}: it names no file")
        elif name.startswith(("/", "../")):
            bad.append(f"line {line}: {name!r} lies outside the data folder")
        elif name in rows:
            bad.append(f"line {line}: {name!r} is named twice; the first row is used")
        else:
            rows[name] = row
    for wanted in [columns.get("file", "file"), *columns.values()]:
        if wanted not in names:
            near = difflib.get_close_matches(wanted, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            has = ", ".join(sorted(names)) or "no rows"
            raise UsageError(f"the table {path} has no column {wanted!r} (it has {has}){hint} `columns` maps names")
    return rows, bad


def _rows(path: Path, bad: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the table {path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    bad.append(f"line {reader.line_num}: it has more or fewer cells than the header")
                else:
                    yield reader.line_num, row
        except csv.Error as error:
            raise UsageError(f"the table {path}, line {reader.line_num}: {error}") from None
        return
    for line, entry in enumerate(text.split("\n"), 1):
        if not entry.strip():
            continue
        cells = _object(entry)
        if cells is None:
            bad.append(f"line {line}: not a JSON object")
        else:
            yield line, {key: str(value) for key, value in cells.items() if isinstance(value, (str, int, float))}


def _object(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
