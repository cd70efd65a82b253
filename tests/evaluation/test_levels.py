from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.evaluation.controls import noise_like
from mediadiff.evaluation.levels import levels
from tests.evaluation.known_clips import RATE, square, tone


def test_sound_levels_of_a_known_tone() -> None:
    t = np.arange(RATE) / RATE
    wave = np.where((t >= 0.25) & (t < 0.75), 0.5 * np.sin(2 * np.pi * 500 * t), 0).astype(np.float32)
    found = levels(Clip(Sound(wave[None], RATE)), "sound")
    assert found["active s"] == pytest.approx(0.5, abs=0.04)
    assert found["RMS dB"] == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.4)
    assert found["peak dB"] == pytest.approx(20 * np.log10(0.5), abs=0.01)


def test_louder_moves_loudness_only() -> None:
    clip = tone("mid", 1)
    assert clip.sound is not None
    louder = Clip(Sound(2 * clip.sound.samples, RATE))
    a, b = levels(clip, "sound"), levels(louder, "sound")
    assert b["active s"] == a["active s"]
    assert b["RMS dB"] - a["RMS dB"] == pytest.approx(6.0206, abs=1e-3)
    assert b["peak dB"] - a["peak dB"] == pytest.approx(6.0206, abs=1e-3)


@pytest.mark.parametrize("samples", [np.zeros((1, 4000), np.float32), np.zeros((2, 0), np.float32)])
def test_silence_has_no_active_seconds(samples: np.ndarray) -> None:
    assert levels(Clip(Sound(samples, RATE)), "sound") == {"active s": 0.0, "RMS dB": -120.0, "peak dB": -120.0}


def test_motion_that_stops_is_seen_in_the_second_half() -> None:
    moving = square("right", 1)
    assert moving.picture is not None
    frames = moving.picture.frames.copy()
    whole = levels(moving, "picture")
    assert whole["motion, second half"] == pytest.approx(whole["motion, first half"], rel=0.3) and whole["contrast"] > 5
    frames[4:] = frames[3]
    stopped = levels(Clip(picture=Picture(frames, Fraction(8))), "picture")
    assert stopped["motion, second half"] == pytest.approx(0, abs=1e-6) and stopped["motion, first half"] > 0.5


def test_still_image_has_no_motion() -> None:
    grey = Picture(np.full((1, 8, 8, 3), 100, np.uint8), Fraction(1))
    found = levels(Clip(picture=grey), "picture")
    assert found == pytest.approx({"brightness": 100.0, "contrast": 0.0}, abs=1e-3)


def test_a_clip_without_the_medium_is_refused() -> None:
    with pytest.raises(UsageError, match="clips with sound; got one with picture only"):
        levels(square("down", 1), "sound")


def test_noise_control_keeps_the_spectrum_and_loses_the_time() -> None:
    clip = tone("mid", 2)
    noise = noise_like(clip, 0)
    assert clip.sound is not None and noise.sound is not None and noise.label == "mid"
    a, b = clip.sound.samples[0], noise.sound.samples[0]
    assert np.allclose(np.abs(np.fft.rfft(a)), np.abs(np.fft.rfft(b)), atol=1e-2)
    assert np.sqrt(np.mean(b**2)) == pytest.approx(np.sqrt(np.mean(a**2)), rel=1e-3)
    assert levels(noise, "sound")["active s"] > 1.4 * levels(clip, "sound")["active s"]
    again, other = noise_like(clip, 0), noise_like(clip, 1)
    assert again.sound is not None and other.sound is not None
    assert np.array_equal(again.sound.samples[0], b) and not np.array_equal(other.sound.samples[0], b)


def test_noise_control_of_a_picture_keeps_its_brightness() -> None:
    clip = square("right", 3)
    noise = noise_like(clip, 0)
    assert clip.picture is not None and noise.picture is not None
    assert noise.picture.frames.shape == clip.picture.frames.shape
    assert levels(noise, "picture")["brightness"] == pytest.approx(levels(clip, "picture")["brightness"], abs=3)
    assert not np.array_equal(noise.picture.frames, clip.picture.frames)
