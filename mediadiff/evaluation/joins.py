"""How a clip goes on across a moment: what jumps there, against what jumps in real clips at the same moment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.evaluation.paths import Path, paths
from mediadiff.evaluation.views import picture_of, sound_of

NEAR = 4
"""Frames on each side of the moment to which the way of a ball is fitted."""
BESIDE = 0.032
"""Seconds on each side of the moment in which loudness is measured."""
FAINT = 1e-3
"""A level of sound, of full scale, below which all is silence."""
RARE = 0.95
"""A jump counts as beyond real ones where it is larger than this part of them."""
LOST = math.inf
"""How far a ball jumps that is seen on one side of the moment only."""


class Jump(NamedTuple):
    """The jumps of many clips in one respect: medians of rendered and of real ones, and the part of the rendered that
    is larger than `RARE` of the real (by chance alone: 1 - `RARE`)."""

    rendered: float
    real: float
    beyond: float


def jumps(clip: Clip, frame: int, has_balls: bool) -> dict[str, float]:
    """What jumps between frame `frame - 1` and frame `frame`, each in its own unit.

    `picture`: mean difference of the two frames, 0..255; `colour`: of their mean colours, 0..255; `loudness`: in dB.
    For clips of balls also `place` (box heights, of the ball that jumps most) and `speed` (box heights per second).
    """
    picture, sound = picture_of(clip), sound_of(clip)
    before, after = (picture.frames[i].astype(np.float32) for i in (frame - 1, frame))
    colours = np.abs(before.mean((0, 1)) - after.mean((0, 1)))
    found = {
        "picture": float(np.abs(before - after).mean()),
        "colour": float(colours.max()),
        "loudness": _loudness(sound, float(frame / picture.rate)),
    }
    return found | (_of_balls(picture, frame) if has_balls else {})


def compared(rendered: Sequence[Mapping[str, float]], real: Sequence[Mapping[str, float]]) -> dict[str, Jump]:
    """The `jumps` of rendered clips against those of real ones, by what jumps."""
    out = {}
    for name in real[0]:
        mine, theirs = (np.array([one[name] for one in many]) for many in (rendered, real))
        # Of the real values themselves: between two of them, one of which is no number, there is nothing.
        rare = np.quantile(theirs, RARE, method="higher")
        out[name] = Jump(float(np.median(mine)), float(np.median(theirs)), float((mine > rare).mean()))
    return out


def _loudness(sound: Sound, seconds: float) -> float:
    middle, size = round(seconds * sound.sample_rate), round(BESIDE * sound.sample_rate)
    sides = sound.samples[:, max(0, middle - size) : middle], sound.samples[:, middle : middle + size]
    before, after = (max(FAINT, float(np.sqrt(np.square(side).mean()))) for side in sides)
    return abs(20 * math.log10(after / before))


def _of_balls(picture: Picture, frame: int) -> dict[str, float]:
    moment = frame / float(picture.rate)
    found = [_of_ball(path, moment, NEAR / float(picture.rate)) for path in paths(picture)]
    return {
        "place": max((place for place, _ in found), default=0.0),
        "speed": max((speed for _, speed in found), default=0.0),
    }


def _of_ball(path: Path, moment: float, near: float) -> tuple[float, float]:
    """How far two lines, through the way before and after the moment, are apart there, in place and in speed."""
    sides = (
        (path.seconds < moment) & (path.seconds > moment - near),
        (path.seconds > moment) & (path.seconds < moment + near),
    )
    if min(side.sum() for side in sides) < 2:
        return LOST, LOST
    apart, slopes = [], []
    for way in (path.x, path.y):
        before, after = (np.polyfit(path.seconds[side] - moment, way[side], 1) for side in sides)
        slopes.append(before[0] - after[0])
        apart.append(before[1] - after[1])
    return float(np.hypot(*apart)), float(np.hypot(*slopes))
