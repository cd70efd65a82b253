"""Tones heard in a sound that consists of short struck tones: when each begins, its pitch, its place in stereo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mediadiff.clip import Sound
from mediadiff.data.bounce import DECAY
from mediadiff.evaluation.sync import peaks

BAND = (250.0, 2600.0)
"""Hz: where the tones lie, with their first overtones."""
HOP, WINDOW, LAG = 0.004, 0.032, 0.012
"""Seconds: of the spectra, and between the two spectra that are compared."""
REST = 0.05
"""Seconds between two tones, at least."""
LONG = 0.06
"""Seconds after (and before) a tone's beginning in which its pitch is measured."""
FAINT_DB = 34.0
"""A cell this far below the loudest one counts for nothing."""
CLEAR = 6.0
"""How much a beginning stands out, at least; see `onset_strength`. Struck tones have 8 to 40, the rest 0 to 4."""
PITCHES = (BAND[0], 1300.0)
"""Hz: where a fundamental can lie."""


@dataclass(frozen=True)
class Tone:
    """A tone that begins at `seconds`; `pitch` in Hz; `place` from 0 (left) to 1 (right), None in a mono sound."""

    seconds: float
    pitch: float
    place: float | None


def tones(sound: Sound) -> list[Tone]:
    """The tones of a sound, in order of time."""
    samples = np.nan_to_num(sound.samples)
    rise = onset_strength(samples.mean(0), sound.sample_rate)
    found = (_tone(samples, sound.sample_rate, step * HOP) for step in peaks(rise, CLEAR, round(REST / HOP)))
    return [tone for tone in found if tone is not None]


def onset_strength(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """How much begins at each `HOP` seconds, `[steps]`: the rise of the log spectrum in nats, summed over the band."""
    hop, size, lag = HOP * sample_rate, round(WINDOW * sample_rate), round(LAG / HOP)
    steps = 1 + int(len(wave) / hop)
    padded = np.pad(wave, (size // 2, size))
    first = np.round(np.arange(steps) * hop).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[first] * np.hanning(size)
    bins = np.fft.rfftfreq(size, 1 / sample_rate)
    cells = np.abs(np.fft.rfft(frames))[:, (bins >= BAND[0]) & (bins <= BAND[1])]
    loudest = cells.max(initial=0)
    if loudest == 0:
        return np.zeros(steps)
    level = np.log(np.maximum(cells / loudest, 10 ** (-FAINT_DB / 20)))
    before = np.pad(level, ((lag, 0), (0, 0)), mode="edge")[:steps]
    # It is highest where the tone begins in the middle of the window: a logarithm rises early, and LAG makes up for it.
    rise: np.ndarray = np.maximum(level - before, 0).sum(1)
    return rise


def _tone(samples: np.ndarray, sample_rate: int, start: float) -> Tone | None:
    """What begins at `start`: what is there after it and was not there before; None where something only ends."""
    size = round(LONG * sample_rate)
    middle = round(start * sample_rate)
    padded = np.pad(samples, ((0, 0), (size, size)))
    window = np.hanning(size)
    points = 4 * 2 ** math.ceil(math.log2(size))
    before, after = (
        np.square(np.abs(np.fft.rfft(padded[:, first : first + size] * window, points)))
        for first in (middle, middle + size)
    )
    # What was there dies away meanwhile.
    new = np.maximum(after - before * math.exp(-2 * LONG / DECAY), 0)
    bins = np.fft.rfftfreq(points, 1 / sample_rate)
    fundamental = np.where((bins >= PITCHES[0]) & (bins <= PITCHES[1]), new.sum(0), 0)
    peak = int(fundamental.argmax())
    if fundamental[peak] == 0:
        return None
    pitch = float(bins[peak])
    if len(samples) != 2:
        return Tone(start, pitch, None)
    left, right = np.sqrt(new[:, peak])
    return Tone(start, pitch, math.atan2(right, left) * 2 / math.pi)
