"""Clips with a known truth: tones and moving squares that a small classifier tells apart within seconds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.rng import numpy_generator

RATE = 8000
PITCHES = {"low": 300.0, "mid": 900.0, "high": 2200.0}


def tone(label: str, *key: int | str, loudness: float = 0.3, active: float = 0.25) -> Clip:
    """A tone of `active` seconds near the label's pitch, within half a second; pitch, timbre and start vary by key."""
    rng = numpy_generator("tone", label, *key)
    n = round(active * RATE)
    t = np.arange(n) / RATE
    pitch = PITCHES[label] * rng.uniform(0.85, 1.15)
    wave = np.sin(2 * np.pi * pitch * t) + rng.uniform(0.1, 0.6) * np.sin(2 * np.pi * 1.5 * pitch * t)
    samples = np.zeros(RATE // 2, np.float32)
    start = int(rng.integers(0, len(samples) - n))
    samples[start : start + n] = loudness * wave * np.hanning(n) * rng.uniform(0.8, 1.25)
    return Clip(Sound(samples[None] + 1e-4 * rng.standard_normal((1, len(samples)), np.float32), RATE), label=label)


def square(label: str, *key: int | str) -> Clip:
    """Eight frames of a square that moves right (`right`) or down (`down`) over a dim ground."""
    rng = numpy_generator("square", label, *key)
    frames = np.full((8, 32, 40, 3), 30 + rng.integers(0, 20), np.uint8)
    row, column = rng.integers(2, 12, 2)
    for i in range(8):
        y, x = (row, column + 2 * i) if label == "right" else (row + 2 * i, column)
        frames[i, y : y + 6, x : x + 6] = (220, 60, 60)
    return Clip(picture=Picture(frames, Fraction(8)), label=label)


def tones(count: int, *key: int | str, labels: tuple[str, ...] = tuple(PITCHES), **how: float) -> list[Clip]:
    """`count` tones of each label."""
    return [tone(label, *key, i, **how) for i in range(count) for label in labels]
