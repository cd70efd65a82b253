"""Synchrony of sound and picture in any clips: what begins in the sound against where the motion changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.evaluation._librosa import librosa
from mediadiff.evaluation.views import picture_of, sound_of
from mediadiff.rng import Key, numpy_generator

STEP = 0.01
"""Seconds between two values of an envelope."""
WINDOW = 0.032
"""Seconds of sound that one value sees."""
BANDS = 48
"""Mel bands."""
FAINT_DB = 40.0
FARTHEST = 0.5
"""Seconds: the largest lag that is looked for."""


@dataclass(frozen=True)
class Agreement:
    """How well sound and picture agree in a set of clips.

    `av_align`: of all onsets and motion peaks, the part that has its counterpart within one frame, the mean over clips
    (None where no clip has either). `lag`: the seconds by which the sound comes late (below 0: early) where the two
    envelopes agree best, all clips taken together; `strength`: their correlation there, -1..1.
    """

    clips: int
    av_align: float | None
    lag: float
    strength: float


def agreement(clips: Sequence[Clip]) -> Agreement:
    """The figures of clips with sound and moving picture."""
    aligned = [share for clip in clips if (share := av_align(clip)) is not None]
    lag, strength = offset(clips)
    return Agreement(len(clips), float(np.mean(aligned)) if aligned else None, lag, strength)


def av_align(clip: Clip) -> float | None:
    """Onsets of the sound against peaks of the motion: intersection over union within one frame, 0..1.

    AV-Align (Yariv et al., arXiv 2309.16429) with `motion` for its optical flow, and each onset and peak matched once.
    None where there is nothing to match.
    """
    seen, heard = changes(picture_of(clip)), onsets(sound_of(clip))
    both = len(matches(seen, heard, 1 / float(picture_of(clip).rate)))
    union = len(seen) + len(heard) - both
    return both / union if union else None


def onsets(sound: Sound) -> list[float]:
    """The seconds at which something begins in the sound, by librosa."""
    strength = onset_strength(sound)
    if not strength.any():
        return []
    rate = sound.sample_rate
    detect = librosa().onset.onset_detect
    found: list[float] = detect(onset_envelope=strength, sr=rate, hop_length=_hop(rate), units="time").tolist()
    return found


def changes(picture: Picture) -> list[float]:
    """The seconds at which the motion changes suddenly: the peaks of `motion`, each in the middle of its frame."""
    change = motion(picture)
    least = max(change.mean() + change.std() / 2, 1e-6)
    return [(i + 0.5) / float(picture.rate) for i in peaks(change, least, 2)]


def offset(clips: Sequence[Clip]) -> tuple[float, float]:
    """The lag of the sound in seconds, within `FARTHEST`, at which the envelopes agree best, and their correlation.

    The correlations of the clips are averaged first: one clip with few events may agree by chance at any lag.
    """
    curve = np.mean([_correlations(sound_of(clip), picture_of(clip)) for clip in clips], axis=0)
    best = int(curve.argmax())
    return (best - len(curve) // 2) * STEP, float(curve[best])


def onset_strength(sound: Sound) -> np.ndarray:
    """How much begins in the sound at each `STEP`, by librosa; what is `FAINT_DB` below the loudest is silence."""
    rate = sound.sample_rate
    wave = np.nan_to_num(sound.samples).mean(0)
    size = max(64, round(WINDOW * rate))
    if len(wave) < size or not wave.any():
        return np.zeros(1 + len(wave) // _hop(rate))
    hop = _hop(rate)
    power = librosa().feature.melspectrogram(y=wave, sr=rate, hop_length=hop, n_fft=size, n_mels=BANDS)
    level = librosa().power_to_db(power, ref=np.max, top_db=FAINT_DB)
    found: np.ndarray = librosa().onset.onset_strength(S=level, sr=rate, hop_length=hop, n_fft=size)
    return found


def motion(picture: Picture) -> np.ndarray:
    """How suddenly the motion changes at each frame, `[T]`, 0..255: of what moves, turns back, starts or stops.

    Turning back makes the step over two frames smaller than the two steps together; a start or a stop makes two steps
    unlike. Steady motion, fast as it may be, is near 0. The first and the last frame have 0.
    """
    frames = picture.frames.astype(np.float32)
    change = np.zeros(len(frames))
    if len(frames) > 2:
        step = np.abs(frames[1:] - frames[:-1]).mean((1, 2, 3))
        over = np.abs(frames[2:] - frames[:-2]).mean((1, 2, 3))
        change[1:-1] = np.maximum(step[1:] + step[:-1] - over, 0) + np.abs(step[1:] - step[:-1])
    return change


def shuffled(clips: Sequence[Clip], *key: Key) -> list[Clip]:
    """The same pictures, each with the sound of another clip, drawn by key: what synchrony by chance looks like."""
    order = numpy_generator(*key, "shuffled").permutation(len(clips))
    sounds = {int(mine): clips[int(other)].sound for mine, other in zip(order, np.roll(order, 1), strict=True)}
    return [replace(clip, sound=sounds[i]) for i, clip in enumerate(clips)]


def peaks(strength: np.ndarray, least: float, apart: int) -> list[int]:
    """The places of the highest values, `least` or more and `apart` or more from any higher one, in order."""
    found: list[int] = []
    for place in np.argsort(-strength, kind="stable"):
        if strength[place] < least:
            break
        if all(abs(place - other) >= apart for other in found):
            found.append(int(place))
    return sorted(found)


def matches(one: Sequence[float], other: Sequence[float], within: float) -> list[tuple[int, int]]:
    """Pairs of places in both: as many as can be at most `within` apart, one to one, and of these the nearest."""
    from scipy.optimize import linear_sum_assignment

    if not len(one) or not len(other):
        return []
    apart = np.abs(np.subtract.outer(np.asarray(one), np.asarray(other)))
    # One pair more is worth more than any nearness.
    cost = np.where(apart <= within, apart, within * (1 + min(apart.shape)))
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(cost), strict=True) if apart[i, j] <= within]


def _hop(sample_rate: int) -> int:
    """The whole samples that are nearest to a `STEP`."""
    return max(1, round(STEP * sample_rate))


def _correlations(sound: Sound, picture: Picture) -> np.ndarray:
    """The correlation of the two envelopes at each lag from -`FARTHEST` to `FARTHEST`, in steps of `STEP`."""
    heard = onset_strength(sound)
    # Of some sample rates a hop is not quite a step.
    exact = np.arange(len(heard)) * _hop(sound.sample_rate) / sound.sample_rate
    heard = np.interp(np.arange(int(exact[-1] / STEP + 1e-6) + 1) * STEP, exact, heard)
    # As blurred as a picture that shows each frame for its whole time.
    width = 0.4 / float(picture.rate) / STEP
    bell = np.exp(-np.square(np.arange(-4 * width, 4 * width + 1) / width) / 2)
    heard = np.convolve(np.pad(heard, len(bell)), bell, "same")[len(bell) : -len(bell)]
    change = motion(picture)
    middles = (np.arange(len(change)) + 0.5) / float(picture.rate)
    count = min(len(heard), max(1, round(float(picture.seconds) / STEP)))
    seen = np.interp(np.arange(count) * STEP, middles, change)
    heard, seen = heard[:count] - heard[:count].mean(), seen - seen.mean()
    size = np.sqrt(np.square(heard).sum() * np.square(seen).sum())
    most = round(FARTHEST / STEP)
    if size == 0:
        return np.zeros(2 * most + 1)
    padded = np.pad(heard, most)
    return np.array([padded[lag : lag + count] @ seen for lag in range(2 * most + 1)]) / size
