"""The command that measures this machine: bench."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mediadiff.cli.app import Json, app, say


class Part(StrEnum):
    """What is measured."""

    train = "train"
    render = "render"
    io = "io"
    all = "all"


@app.command()
def bench(
    part: Annotated[Part, typer.Argument(help="What to measure.")] = Part.all,
    json: Json = False,
) -> None:
    """Measure what this machine does with the shipped recipes and models, beside its peak: minutes for each part."""
    from mediadiff.bench import report, run
    from mediadiff.console import reporting

    with reporting(json) as tell:
        found = run.bench(run.PARTS if part is Part.all else [part.value], report=tell)
    say(json, {"event": "benched", **found.to_dict()}, report.lines(found))
