"""Commands that make data: data bounce."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from mediadiff.cli.app import Json, app, say
from mediadiff.errors import UsageError

data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make data to train and to measure with.")
app.add_typer(data, name="data")


@data.command()
def bounce(
    num: Annotated[int, typer.Option(min=1, max=10**6, help="How many clips.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the clips and truth.jsonl.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other clips.")] = 0,
    size: Annotated[str, typer.Option(metavar="HEIGHTxWIDTH", help="Of the picture, in pixels.")] = "32x32",
    rate: Annotated[str, typer.Option(metavar="RATE", help="Frames per second: 12, or 30000/1001.")] = "12",
    seconds: Annotated[float, typer.Option(help="The length of each clip.")] = 2.0,
    sample_rate: Annotated[int, typer.Option(help="Of the sound, in Hz.")] = 16_000,
    channels: Annotated[int, typer.Option(help="Of the sound: 1, or 2 with each impact in its place.")] = 2,
    balls: Annotated[int, typer.Option(min=1, max=6, help="At most; as many clips have each number.")] = 2,
    format: Annotated[str, typer.Option(metavar="EXT", help="mkv (lossless) or mp4.")] = "mkv",
    json: Json = False,
) -> None:
    """Balls in a box, seen and heard: files bounce-INDEX.EXT, and every impact in truth.jsonl."""
    from mediadiff.console import reporting
    from mediadiff.data.bounce_files import Form, write_clips
    from mediadiff.data.settings import BounceSettings

    form = Form(seconds, _size(size), _rate(rate), sample_rate, channels, format.removeprefix("."))
    with reporting(json) as report:
        files = write_clips(BounceSettings(balls=balls, seed=seed), num, out, form, report)
    words = f"{len(files)} clips in {out}; train from them with data: {{folder: {out}, table: truth.jsonl}}"
    say(json, {"event": "made", "out": str(out), "table": "truth.jsonl", "done": len(files)}, [words])


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UsageError(f"--size is HEIGHTxWIDTH in pixels, such as 32x48; got {text!r}")
    return int(height), int(width)


def _rate(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"--rate is in frames per second, such as 12, 12.5 or 30000/1001; got {text!r}") from None
