"""Small media, made on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.io.write import write


def tone(seconds: float, hertz: float = 440.0, sample_rate: int = 8000, amplitude: float = 0.5) -> Sound:
    """A sine wave, mono."""
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return Sound((amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32)[None], sample_rate)


def counting(frames: int, rate: int = 10, size: tuple[int, int] = (16, 16)) -> Picture:
    """Frame `k` is grey of level `10 k`, with a white column at the left edge."""
    levels = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 10
    out = np.broadcast_to(levels, (frames, *size, 3)).copy()
    out[:, :, 0] = 255
    return Picture(out, Fraction(rate))


def save(path: Path, clip: Clip | Sound | Picture) -> Path:
    """Writes a clip or a lone stream."""
    if isinstance(clip, Sound):
        clip = Clip(sound=clip)
    elif isinstance(clip, Picture):
        clip = Clip(picture=clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, clip)
