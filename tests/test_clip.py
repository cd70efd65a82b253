"""Clips: exact time, shapes, copies, numpy and torch."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError

SAMPLES = np.linspace(-1, 1, 400, dtype=np.float32).reshape(2, 200)
FRAMES = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)


def clip() -> Clip:
    return Clip(Sound(SAMPLES, 8000), Picture(FRAMES, Fraction(24000, 1001)), "dog", {"seed": "7"})


def test_time_is_exact() -> None:
    made = clip()
    assert made.sound is not None and made.picture is not None
    assert made.sound.channels == 2
    assert made.sound.seconds == Fraction(1, 40)
    assert made.picture.seconds == Fraction(3003, 24000) == made.seconds
    assert not made.picture.is_still and Picture(FRAMES[:1], Fraction(1)).is_still


def test_a_whole_rate_becomes_a_fraction() -> None:
    rate = Picture(FRAMES, 25).rate  # type: ignore[arg-type]
    assert isinstance(rate, Fraction) and 1 / rate == Fraction(1, 25)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Sound(SAMPLES.astype(np.float64), 8000), r"float32 samples \[channels, N\]; got float64 \[2, 200\]"),
        (lambda: Sound(SAMPLES[0], 8000), r"got float32 \[200\]"),
        (lambda: Sound(SAMPLES[:0], 8000), "one channel or more"),
        (lambda: Sound(SAMPLES, 0), "above 0; got 0"),
        (lambda: Picture(FRAMES[..., :1], Fraction(25)), r"got uint8 \[3, 4, 5, 1\]"),
        (lambda: Picture(FRAMES.astype(np.float32), Fraction(25)), "got float32"),
        (lambda: Picture(FRAMES, Fraction(-1)), "above 0; got -1"),
        (lambda: Clip(), "needs sound, picture or both"),
        (lambda: Clip.from_numpy(samples=SAMPLES), "need a sample_rate"),
        (lambda: Clip.from_numpy(frames=FRAMES), "need a rate"),
        (lambda: Clip.from_numpy(np.zeros(9, np.int16), 8000), "float, full scale .-1; got int16: divide whole"),
        (lambda: Clip.from_torch(torch.zeros(1, 9, dtype=torch.int32), 8000), "got int32: divide whole"),
    ],
)
def test_wrong_parts_are_refused(make: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()  # type: ignore[operator]


def test_numpy_goes_there_and_back_in_copies() -> None:
    told = clip().to_numpy()
    back = Clip.from_numpy(**told)
    assert back.sound is not None and back.picture is not None
    told["samples"][:] = 9
    told["frames"][:] = 9
    np.testing.assert_array_equal(back.sound.samples, SAMPLES)
    np.testing.assert_array_equal(back.picture.frames, FRAMES)
    assert (back.label, back.picture.rate) == ("dog", Fraction(24000, 1001))
    mono = Clip.from_numpy(samples=[0.0, 0.5], sample_rate=8000)  # type: ignore[arg-type]
    assert mono.sound is not None and mono.sound.samples.shape == (1, 2) and mono.picture is None
    assert Clip.from_numpy(frames=FRAMES, rate="24000/1001").seconds == Fraction(3003, 24000)


def test_torch_goes_there_and_back() -> None:
    told = clip().to_torch()
    assert told["frames"].shape == (3, 3, 4, 5) and told["frames"].dtype == torch.uint8
    assert told["samples"].dtype == torch.float32
    back = Clip.from_torch(**told)
    assert back.sound is not None and back.picture is not None
    np.testing.assert_array_equal(back.sound.samples, SAMPLES)
    np.testing.assert_array_equal(back.picture.frames, FRAMES)


def test_tags_are_added_to_a_copy() -> None:
    first = clip()
    assert first.with_tags(sampler="heun").tags == {"seed": "7", "sampler": "heun"}
    assert first.tags == {"seed": "7"}


def test_save_writes_by_the_ending(tmp_path: Path) -> None:
    assert clip().save(tmp_path / "a.mkv") == tmp_path / "a.mkv"
    with pytest.raises(UsageError, match="wav holds no picture"):
        clip().save(tmp_path / "a.wav")
