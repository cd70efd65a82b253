"""What an evaluation found: figures side by side, as text for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mediadiff.evaluation.impacts import Impacts
from mediadiff.evaluation.metrics import Interval
from mediadiff.evaluation.sync import Agreement

PLAIN = 0.01
"""A level differs from the real one plainly when chance would do as much less often than this."""


class Level(NamedTuple):
    """A plain figure over a set of clips: its 10 %, 50 % and 90 % quantiles, and how far it is from real test clips.

    `distance` is that of Kolmogorov and Smirnov, 0..1; `p` is how often chance alone makes it as large.
    """

    low: float
    median: float
    high: float
    distance: float
    p: float


@dataclass(frozen=True)
class Column:
    """The figures of one set of clips; None where a figure cannot be had. See `Section` for what they are."""

    clips: int
    recognised: Interval | None
    confused: Mapping[str, int]
    precision: float | None
    recall: float | None
    recall_spread: float | None
    diversity: float
    discrepancy: Interval
    nearest: float
    copies: int
    nearest_view: float
    copies_view: int
    levels: Mapping[str, Level]


@dataclass(frozen=True)
class Section:
    """The figures of one medium.

    `columns` are sets of clips by name: real test clips, what was rendered, then the controls. Precision, recall,
    diversity, discrepancy and levels are of `drawn` clips of each set, with the same number of each label. `nearest` is
    the median distance to the nearest train clip in features (`nearest_view`: in what the classifier sees), and a clip
    counts as a copy when it is nearer than half of that median for real test clips.
    """

    medium: str
    classifier: str
    labels: tuple[str, ...]
    train: int
    drawn: int
    neighbours: int
    columns: Mapping[str, Column]


@dataclass(frozen=True)
class Synchrony:
    """How sound and picture of one set of clips go together; `impacts` of generated clips only."""

    agreement: Agreement
    impacts: Impacts | None


@dataclass(frozen=True)
class Evaluation:
    """All figures of one evaluation; `synchrony` by set of clips, empty where there are not both sound and picture."""

    name: str
    rendered: int
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    synchrony: Mapping[str, Synchrony] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `json` can write; an interval or a level becomes a dictionary of its parts."""
        plain: dict[str, Any] = _plain(vars(self))
        for section, found in zip(plain["sections"], self.sections, strict=True):
            section["recall_of_real"] = recall_of_real(found)
        return plain

    def text(self) -> str:
        """The figures as a table for each medium, and what they say in words."""
        parts = [f"{self.name}: {self.rendered} rendered clips"]
        for section in self.sections:
            parts += ["", *_table(section), "", *_words(section)]
        if self.synchrony:
            parts += ["", *synchrony_lines(self.synchrony)]
        if self.notes:
            parts += ["", *(f"Note: {note}." for note in self.notes)]
        return "\n".join(parts)


def recall_of_real(section: Section) -> float | None:
    """The recall of the rendered clips divided by that of as many real test clips."""
    real, rendered = section.columns["real test"].recall, section.columns["rendered"].recall
    return None if not real or rendered is None else rendered / real


def synchrony_lines(found: Mapping[str, Synchrony]) -> list[str]:
    """A table with one line for each set of clips, and what its columns are."""
    heads = ["synchrony", "clips", "AV-Align", "sound late by", "correlation"]
    rows = [
        [name, str(a.clips), _number(a.av_align), f"{a.lag:+.2f} s", f"{a.strength:.2f}"]
        for name, a in ((name, one.agreement) for name, one in found.items())
    ]
    words = (
        "AV-Align: onsets and motion peaks that have their counterpart within a frame, of all. Sound late by: where "
        "the envelopes of both agree best, and their correlation there."
    )
    if all(one.impacts for one in found.values()):
        heads += ["impacts heard", "sounds alone", "in tune", "in place"]
        for row, one in zip(rows, found.values(), strict=True):
            shares = one.impacts.shares().values() if one.impacts else ()
            row += ["-" if share is None else f"{100 * share:.1f} %" for share in shares]
        words += (
            " Impacts heard: those seen that have a sound within a frame; sounds alone: those without an impact. In "
            "tune, in place: of the impacts heard, those with the pitch of the ball, and where it is in stereo."
        )
    return [*aligned([heads, *rows]), "", words]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        right = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]))
    return lines


def _table(section: Section) -> list[str]:
    columns = section.columns.values()
    rows: list[tuple[str, list[str]]] = [("", list(section.columns)), ("clips", [str(c.clips) for c in columns])]

    def row(name: str, cell: Callable[[Column], str]) -> None:
        rows.append((name, [cell(c) for c in columns]))

    if any(c.recognised for c in columns):
        row("recognised as asked", lambda c: f"{100 * c.recognised.value:.1f} %" if c.recognised else "-")
    row("precision", lambda c: _number(c.precision))
    row("recall", lambda c: _number(c.recall) + (f" +-{c.recall_spread:.2f}" if c.recall_spread else ""))
    row("discrepancy", lambda c: f"{c.discrepancy.value:.1f} ({c.discrepancy.low:.1f}..{c.discrepancy.high:.1f})")
    row("diversity in a label", lambda c: f"{c.diversity:.2f}")
    row("to nearest train clip", lambda c: f"{c.nearest:.2f} | {c.nearest_view:.2f}")
    row("copies", lambda c: f"{c.copies} | {c.copies_view}")
    # What some clips of one set lack, as stills lack motion, is shown of none.
    for name in (name for name in next(iter(columns)).levels if all(name in c.levels for c in columns)):
        row(name, lambda c, name=name: _level(c.levels[name]))  # type: ignore[misc]
    first = max(len(name) for name, _ in rows)
    widths = [max(len(cells[i]) for _, cells in rows) for i in range(len(columns))]
    return [
        f"{name:{first}}  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for name, cells in rows
    ]


def _words(section: Section) -> list[str]:
    real, rendered = section.columns["real test"], section.columns["rendered"]
    out = []
    if rendered.recognised and real.recognised:
        value, low, high = (100 * x for x in rendered.recognised)
        out.append(
            f"{value:.1f} % are recognised as asked (95 % interval {low:.1f} to {high:.1f}), by a classifier that gets "
            f"{100 * real.recognised.value:.1f} % of {real.clips} real test clips right."
        )
        if rendered.confused:
            out.append("Mistaken: " + ", ".join(f"{what} ({n})" for what, n in rendered.confused.items()) + ".")
    share = recall_of_real(section)
    if share is not None:
        out.append(f"Recall is {share:.2f} of what as many real test clips have.")
    out.append(
        f"Copies of a training clip: {rendered.copies} by features and {rendered.copies_view} by the {section.medium} "
        f"itself, of {rendered.clips} (real test clips: {real.copies} and {real.copies_view} of {real.clips})."
    )
    for name, level in rendered.levels.items():
        if level.p < PLAIN and name in real.levels:
            out.append(
                f"{name} differs from real clips: median {level.median:.2f} against {real.levels[name].median:.2f}, "
                f"distance {level.distance:.2f} (p {level.p:.1g})."
            )
    out.append(
        f"Precision, recall (k = {section.neighbours}), discrepancy (MMD squared x 1000), diversity and levels: "
        f"{section.drawn} clips of each set, against {section.train} real train clips, in the features of classifier "
        f"{section.classifier}. Levels: median (10 % .. 90 %). To the nearest train clip, and copies: by features | by "
        f"the {section.medium} itself."
    )
    return out


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _level(level: Level) -> str:
    return f"{level.median:.2f} ({level.low:.2f}..{level.high:.2f})"


def _plain(value: Any) -> Any:
    if isinstance(value, Impacts):
        value = vars(value) | {"shares": value.shares()}
    elif isinstance(value, (Column, Section, Synchrony, Agreement)):
        value = vars(value)
    elif isinstance(value, (Interval, Level)):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value
