"""Generated clips as media files, with a table of all that is known about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mediadiff.data import bounce
from mediadiff.data.settings import BounceSettings
from mediadiff.errors import UsageError
from mediadiff.io.files import write_text

TABLE = "truth.jsonl"


@dataclass(frozen=True)
class Form:
    """What each file is like: `size` in pixels (height, width), frames and samples per second, channels of sound."""

    seconds: float = 2.0
    size: tuple[int, int] = (32, 32)
    rate: Fraction = Fraction(12)
    sample_rate: int = 16_000
    channels: int = 2
    ending: str = "mkv"

    def __post_init__(self) -> None:
        height, width = self.size
        bounds: dict[str, tuple[Fraction | float, float, float]] = {
            "seconds": (self.seconds, 0.1, 600),
            "the height": (height, 8, 1024),
            "the width": (width, 8, 1024),
            "the rate": (self.rate, 1, 240),
            "the sample rate": (self.sample_rate, 4000, 192_000),
            "the channels": (self.channels, 1, 2),
        }
        for name, (value, least, most) in bounds.items():
            if not least <= value <= most:
                raise UsageError(f"{name} can be {least} to {most}; got {value}")
        if self.ending not in ("mkv", "mp4"):
            raise UsageError(f"the format is mkv (lossless) or mp4; got {self.ending!r}")


def write_clips(
    settings: BounceSettings,
    count: int,
    out: Path,
    form: Form,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
) -> list[str]:
    """Writes clips 0 to `count` - 1 into `out` as `bounce-INDEX.EXT`, then `truth.jsonl`; returns the files' names.

    A row of the table has the file, its label (the number of balls), seed, index, the look of each ball, and each
    impact with its time in seconds, place (0 left to 1 right), speed, ball and pitch in Hz. `data.folder` with
    `table: truth.jsonl` trains from it. Raises UsageError where the folder has such a table already.
    """
    if (out / TABLE).exists():
        raise UsageError(f"{out} holds generated clips already ({TABLE}); name another folder with --out")
    rows = []
    for index in range(count):
        clip = bounce.clip(settings, index, form.seconds, form.size, form.rate, form.sample_rate, form.channels)
        name = f"bounce-{index:06d}.{form.ending}"
        clip.with_tags(seed=str(settings.seed), index=str(index)).save(out / name)
        scene = bounce.scene(settings, index, form.seconds, form.size[1] / form.size[0])
        rows.append({"file": name, "label": clip.label, "seed": settings.seed, "index": index, **_truth(scene)})
        report({"event": "clip", "file": str(out / name), "done": index + 1, "of": count, "label": clip.label})
    write_text(out / TABLE, "".join(json.dumps(row) + "\n" for row in rows))
    return [str(row["file"]) for row in rows]


def _truth(scene: bounce.Scene) -> dict[str, Any]:
    balls = [{"colour": ball.colour, "radius": ball.radius, "pitch": round(ball.pitch, 3)} for ball in scene.balls]
    impacts = [
        {
            "seconds": round(impact.seconds, 6),
            "place": round(impact.place, 4),
            "speed": round(impact.speed, 4),
            "ball": impact.ball,
            "pitch": balls[impact.ball]["pitch"],
            "wall": impact.wall,
        }
        for impact in scene.impacts()
    ]
    return {"balls": balls, "impacts": impacts}
