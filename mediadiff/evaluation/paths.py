"""Paths of balls as a picture shows them, to a part of a pixel, and the turns of these paths: impacts that are seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mediadiff.clip import Picture
from mediadiff.data.bounce import BACKGROUND, COLOURS, GRAVITY, RADII, pitch_of

DIM = 30.0
"""A pixel nearer to the background than this (of 0..255, in colour space) shows no ball."""
PRESENT = 0.6
"""The part of a small ball's area that a colour must cover, in a quarter of the frames, to count as a ball."""
VISIBLE = 0.5
"""The part of its area that must be seen of a ball in a frame, where other balls hide it, to tell its place."""
REACH = 0.3
"""Seconds on each side of a turn to which a path is fitted."""
SLOWEST = {"floor": 0.3, "wall": 0.08}
"""Box heights per second before and after a turn, at least: below is the wavering of a ball that does not turn."""


@dataclass(frozen=True)
class Path:
    """Where a ball is seen: its centre in box heights, `x` from the left wall and `y` above the floor, at `seconds`."""

    colour: int
    """A row of `COLOURS`."""
    radius: float
    """The nearest of `RADII`."""
    seconds: np.ndarray
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Turn:
    """A path turns at `seconds`, at `place` (0 left to 1 right), and so a tone of `pitch` Hz should be heard there."""

    seconds: float
    place: float
    pitch: float
    wall: bool


def turns(picture: Picture) -> list[Turn]:
    """The impacts seen in a picture of bouncing balls, in order of time.

    None within a frame and a half of the picture's ends, where a path is not seen on both sides.
    """
    height, width = picture.frames.shape[1:3]
    found = []
    for path in paths(picture):
        pitch = pitch_of(path.colour, path.radius)
        # In free flight the height plus g t^2 / 2 is a straight line, as the place along the floor is.
        straight = path.y + GRAVITY / 2 * np.square(path.seconds)
        for seconds in _corners(path.seconds, straight, GRAVITY, float(picture.rate), SLOWEST["floor"]):
            found.append((seconds, path, pitch, False))
        for seconds in _corners(path.seconds, path.x, 0.0, float(picture.rate), SLOWEST["wall"]):
            found.append((seconds, path, pitch, True))
    return [
        Turn(seconds, float(np.interp(seconds, path.seconds, path.x)) * height / width, pitch, wall)
        for seconds, path, pitch, wall in sorted(found, key=lambda one: one[0])
    ]


def shows_balls(picture: Picture) -> bool:
    """Whether a picture is one of bouncing balls: most of it is their background, and there is a ball in it."""
    away = picture.frames.astype(np.float32) - BACKGROUND
    is_empty = np.square(away).sum(-1) < DIM**2
    return bool(is_empty.mean() > 0.5) and bool(paths(picture))


def paths(picture: Picture) -> list[Path]:
    """The balls of a picture and where they are; a frame that hides too much of a ball is left out of its path."""
    count, height, width = picture.frames.shape[:3]
    colour, cover = _covered(picture.frames)
    seconds = (np.arange(count) + 0.5) / float(picture.rate)
    found = []
    for number in range(len(COLOURS)):
        mine = np.where(colour == number, cover, 0)
        areas = mine.sum((1, 2)) / height**2
        area = float(np.quantile(areas, 0.75))
        if area < PRESENT * math.pi * min(RADII) ** 2:
            continue
        radius = min(RADII, key=lambda r: abs(math.pi * r * r - area))
        seen = areas >= VISIBLE * area
        hidden = (colour >= 0) & (colour != number)
        x, y = _centres(mine[seen], ~hidden[seen], radius)
        found.append(Path(number, radius, seconds[seen], x, y))
    return found


def _covered(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which colour each pixel shows (-1: the background), and how much of the pixel it covers, 0..1: `[T, H, W]`."""
    away = frames.astype(np.float32) - BACKGROUND
    towards = COLOURS - BACKGROUND
    cover = away @ towards.T / np.square(towards).sum(1)
    # The colour on whose line from the background the pixel lies.
    beside = np.square(away).sum(-1, keepdims=True) - np.square(cover) * np.square(towards).sum(1)
    colour = np.where(cover > 0, beside, np.inf).argmin(-1)
    cover = np.take_along_axis(cover, colour[..., None], -1)[..., 0].clip(0, 1)
    is_dim = np.square(away).sum(-1) < DIM**2
    return np.where(is_dim, -1, colour), np.where(is_dim, 0, cover)


def _centres(cover: np.ndarray, known: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The centres `[T]` of the discs that fit what is covered best in the pixels that are `known`, by Gauss-Newton."""
    height, width = cover.shape[1:]
    rows = (1 - (np.arange(height) + 0.5) / height)[None, :, None]
    columns = ((np.arange(width) + 0.5) / height)[None, None, :]
    mass = cover.sum((1, 2))
    x, y = (cover * columns).sum((1, 2)) / mass, (cover * rows).sum((1, 2)) / mass
    for _ in range(6):
        right, up = x[:, None, None] - columns, y[:, None, None] - rows
        away = np.maximum(np.sqrt(right**2 + up**2), 1e-6)
        depth = (radius - away) * height + 0.5
        error = np.where(known, cover - depth.clip(0, 1), 0)
        edge = np.where(known & (depth > 0) & (depth < 1), -height / away, 0)
        dx, dy = edge * right, edge * up
        xx, xy, yy = (dx * dx).sum((1, 2)) + 1e-6, (dx * dy).sum((1, 2)), (dy * dy).sum((1, 2)) + 1e-6
        ex, ey = (dx * error).sum((1, 2)), (dy * error).sum((1, 2))
        of = xx * yy - xy * xy
        most = radius / 2
        x = x + ((yy * ex - xy * ey) / of).clip(-most, most)
        y = y + ((xx * ey - xy * ex) / of).clip(-most, most)
    return x, y


def _corners(t: np.ndarray, values: np.ndarray, gravity: float, rate: float, slowest: float) -> list[float]:
    """When a path that is straight but for its corners turns round, by the lines fitted before and after."""
    reach = max(3, round(REACH * rate))
    found: list[tuple[float, float]] = []
    for k in range(2, len(t) - 1):
        before, after = slice(max(0, k - reach), k), slice(k, k + reach)
        a, first, error_a = _line(t[before], values[before])
        b, second, error_b = _line(t[after], values[after])
        if b == a:
            continue
        corner = (first - second) / (b - a)
        slack = 0.3 / rate
        if not t[k - 1] - slack <= corner <= t[k] + slack:
            continue
        corner = min(max(corner, t[k - 1]), t[k])
        into, out = a - gravity * corner, b - gravity * corner
        is_turn = (into < 0 < out) if gravity else into * out < 0
        if is_turn and min(abs(into), abs(out)) >= slowest:
            found.append((error_a + error_b, corner))
    kept: list[float] = []
    for _, corner in sorted(found):
        if all(abs(corner - other) > 2 / rate for other in kept):
            kept.append(corner)
    return kept


def _line(t: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """The slope, the value at 0, and the mean squared error of the line through the values."""
    middle, level = t.mean(), values.mean()
    slope = float(((t - middle) * (values - level)).sum() / np.square(t - middle).sum())
    error = float(np.square(values - level - slope * (t - middle)).mean())
    return slope, float(level - slope * middle), error
