"""What jumps where a clip goes on: what was planted is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.data import bounce
from mediadiff.data.settings import BounceSettings
from mediadiff.evaluation.joins import LOST, compared, jumps

FRAME = 12
RATE = Fraction(12)
SETTINGS = BounceSettings(balls=1)
CLIPS = [bounce.clip(SETTINGS, i, 2.0, rate=RATE, channels=2) for i in range(40)]
REAL = [jumps(clip, FRAME, True) for clip in CLIPS]


def after(clip: Clip, other: Clip) -> Clip:
    """The clip up to the frame, and another one from there on."""
    assert clip.picture and clip.sound and other.picture and other.sound
    middle = round(FRAME / RATE * clip.sound.sample_rate)
    frames = np.concatenate([clip.picture.frames[:FRAME], other.picture.frames[FRAME:]])
    samples = np.concatenate([clip.sound.samples[:, :middle], other.sound.samples[:, middle:]], axis=1)
    return replace(clip, picture=Picture(frames, RATE), sound=Sound(samples, clip.sound.sample_rate))


def test_a_clip_that_goes_on_as_it_was_jumps_as_real_ones_do() -> None:
    found = compared(REAL, REAL)
    assert set(found) == {"picture", "colour", "loudness", "place", "speed"}
    assert all(jump.beyond <= 0.05 and jump.rendered == jump.real for jump in found.values())
    assert found["place"].real < 0.1 and found["colour"].real < 0.2


def test_another_clip_from_the_join_on_jumps_in_place_and_colour() -> None:
    pairs = [after(a, b) for a, b in zip(CLIPS, CLIPS[1:] + CLIPS[:1], strict=True)]
    found = compared([jumps(clip, FRAME, True) for clip in pairs], REAL)
    assert found["place"].beyond > 0.8 and found["colour"].beyond > 0.8
    assert found["place"].rendered == LOST  # most neighbours have another colour


def test_a_louder_second_half_jumps_in_loudness_alone() -> None:
    rng = np.random.default_rng(0)

    def hiss(clip: Clip, gain: float) -> Clip:
        assert clip.sound
        samples = 0.05 * rng.standard_normal(clip.sound.samples.shape).astype(np.float32)
        samples[:, samples.shape[1] // 2 :] *= gain
        return replace(clip, sound=Sound(samples, clip.sound.sample_rate))

    even, louder = ([jumps(hiss(clip, gain), FRAME, True) for clip in CLIPS] for gain in (1.0, 4.0))
    found = compared(louder, even)
    assert found["loudness"].beyond == 1.0
    assert found["loudness"].rendered == pytest.approx(20 * np.log10(4), abs=0.5)
    assert all(jump.beyond <= 0.05 for name, jump in found.items() if name != "loudness")


def test_clips_without_balls_have_no_place() -> None:
    assert set(jumps(CLIPS[0], FRAME, False)) == {"picture", "colour", "loudness"}
