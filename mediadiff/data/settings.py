"""Settings of the data: the `data:` section of a training recipe."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen

from mediadiff.errors import UsageError


@dataclass(frozen=True)
class BounceSettings:
    """Generated clips: balls in a box, seen and heard. Labelled with the number of balls."""

    clips: Annotated[int, Ge(20), Le(10**6)] = 4000
    balls: Annotated[int, Ge(1), Le(6)] = 2
    """At most; as many clips have each number."""
    seed: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True)
class DataSettings:
    """A folder of media, where each file's label and caption come from, and which files are kept for testing."""

    folder: Annotated[str, MinLen(1)] | None = None
    """The folder of media, searched to any depth; `~` and `$NAME` (an environment variable) are filled in."""
    label: str = ""
    """`folder`: the name of the sub-folder. A pattern such as `{label}_{speaker}_{take}`: the file's name without its
    ending is taken apart into these fields. Empty: the table's `label` column, or no label."""
    table: str = ""
    """A .csv or .jsonl in the folder, one row a file: `file` (its path in the folder), `label`, `caption`, numbers."""
    columns: dict[str, str] = field(default_factory=dict)
    """Where the table has other names: `{caption: text}` takes the captions from the column `text`."""
    include: tuple[str, ...] = ()
    """Only these labels; empty: all."""
    test: dict[str, float | tuple[str | int, ...]] = field(default_factory=dict)
    """The files kept for testing. `{take: [0, 1]}`: those whose field or column has one of these values;
    `{fraction: 0.1}`: that part, by hash of the path; `{last: 0.2}`: the last part of each label's files in the order
    of their names, for clips cut from one long recording, but never all of a label's. Empty: none."""
    keep: Annotated[float, Gt(0)] = 60.0
    """Seconds kept of each file, from its start."""
    loudness: Annotated[float, Ge(-60), Le(-6)] | None = None
    """Bring each sound to this level first, in dB: the root mean square of all that is kept of it, below full scale.
    For recordings whose levels say nothing of what they are. Nothing: as they are."""
    balance: bool = False
    """Draw every label equally often, however few files it has."""
    mirror: bool = False
    """Flip the picture left to right in half of the draws."""
    bounce: BounceSettings | None = None
    """Generated clips, in place of a folder."""

    def __post_init__(self) -> None:
        if bool(self.folder) == (self.bounce is not None):
            raise UsageError("folder is the folder of media; give it, or bounce for generated clips, and not both")
        if self.bounce is not None and (self.label or self.table):
            raise UsageError("label and table belong to a folder of media; generated clips have labels of their own")
        if self.label not in ("", "folder"):
            if "label" not in pattern_fields(self.label):
                raise UsageError(
                    "label is 'folder' or a pattern with {label} in it, such as '{label}_{take}'; "
                    f"got {self.label!r}"
                )
        if self.table and not self.table.endswith((".csv", ".jsonl")):
            raise UsageError(f"table is a file that ends in .csv or .jsonl; got {self.table!r}")
        if self.columns and not self.table:
            raise UsageError("columns names columns of a table; give `table` too, or leave columns out")
        if len(self.test) > 1:
            raise UsageError(f"test takes one rule; got {', '.join(self.test)}")
        for rule, value in self.test.items():
            share = rule in ("fraction", "last")
            if share and not (isinstance(value, (int, float)) and 0 <= value < 1):
                raise UsageError(f"test.{rule} is a part of the files, from 0 to below 1; got {value!r}")
            if not share and not isinstance(value, (tuple, list)):
                raise UsageError(f"test.{rule} is a list of values, such as [0, 1]; got {value!r}")


def pattern_fields(pattern: str) -> list[str]:
    """The fields of a pattern on file names, in order: `{label}_{take}` has `label` and `take`.

    Raises UsageError where the pattern cannot be read, or a field comes twice or touches the next one.
    """
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise UsageError(f"the pattern {pattern!r} cannot be read: {error}") from None
    names = [name for _, name, _, _ in parts if name is not None]
    if any(not name.isidentifier() or form or turn for _, name, form, turn in parts if name is not None):
        raise UsageError(f"a field in a pattern is a plain name in braces, such as {{label}}; got {pattern!r}")
    if len(set(names)) != len(names):
        raise UsageError(f"each field comes once in a pattern; got {pattern!r}")
    if any(not text for text, name, _, _ in parts[1:] if name is not None):
        raise UsageError(f"fields in a pattern need text between them, such as {{label}}_{{take}}; got {pattern!r}")
    return names
