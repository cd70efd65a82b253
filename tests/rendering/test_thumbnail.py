"""Small pictures of clips: what they show is where it should be, for any clip, the same bytes each time."""

from __future__ import annotations

import time
import warnings
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.rendering.thumbnail import SOUND_SIZE, draw

GREY = np.arange(24, dtype=np.uint8)[:, None, None, None] * 10 + np.zeros((24, 16, 32, 3), np.uint8)


def sine(hertz=1000.0, seconds=0.5, sample_rate=8000, amplitude=0.5):
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return Sound((amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32)[None], sample_rate)


def light(path):
    return np.asarray(Image.open(path).convert("L")).astype(int)


def test_a_clip_has_a_picture_of_each_stream(tmp_path):
    film = Picture(GREY, Fraction(12))
    assert draw(Clip(sine(), film), tmp_path, "a-1") == ["pictures/a-1-frames.png", "pictures/a-1-sound.png"]
    assert draw(Clip(sine()), tmp_path, "b.c") == ["pictures/b.c-sound.png"]
    assert draw(Clip(picture=film), tmp_path, "d") == ["pictures/d-frames.png"]
    assert draw(Clip(picture=Picture(GREY[:1], Fraction(1))), tmp_path, "still") == []
    made = sorted(file.name for file in (tmp_path / "pictures").iterdir())
    assert made == ["a-1-frames.png", "a-1-sound.png", "b.c-sound.png", "d-frames.png"]


@pytest.mark.parametrize("hertz", [200, 1000, 3500])
def test_a_tone_is_bright_at_its_place_on_the_mel_scale(tmp_path, hertz):
    (name,) = draw(Clip(sine(hertz, amplitude=0.1)), tmp_path, "a")
    column = light(tmp_path / name)[36:, 200]
    place = 1 - column.argmax() / len(column)
    assert place == pytest.approx(np.log1p(hertz / 700) / np.log1p(4000 / 700), abs=0.02)
    # what is far from the tone is as dark as silence
    assert np.median(column) == light(tmp_path / draw(Clip(sine(amplitude=0)), tmp_path, "b")[0])[80, 200]


def test_a_sound_twice_as_loud_is_brighter_and_the_wave_is_higher(tmp_path):
    quiet, loud = (light(tmp_path / draw(Clip(sine(amplitude=a)), tmp_path, f"{a}")[0]) for a in (0.2, 0.8))
    heights = [int((image[:36, 200] > 100).sum()) for image in (quiet, loud)]
    assert heights == pytest.approx([0.2**0.5 * 36, 0.8**0.5 * 36], abs=2)
    assert loud[36:].max() > quiet[36:].max()


def test_samples_above_full_scale_are_red(tmp_path):
    samples = np.zeros((1, SOUND_SIZE[0]), np.float32)
    samples[0, 100] = 1.5
    pixels = np.asarray(Image.open(tmp_path / draw(Clip(Sound(samples, 8000)), tmp_path, "a")[0]).convert("RGB"))
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 120)
    assert red.any(0).nonzero()[0].tolist() == [100]


def test_an_event_is_at_its_time_in_a_long_clip(tmp_path):
    samples = np.zeros((2, 16000 * 60), np.float32)
    samples[:, 16000 * 45 : 16000 * 46] = np.sin(np.arange(16000))
    image = light(tmp_path / draw(Clip(Sound(samples, 16000)), tmp_path, "a")[0])
    bright = (image[60:] > 100).any(0)
    bright[:40] = False  # the scale
    lit = bright.nonzero()[0] / SOUND_SIZE[0] * 60
    assert lit.min() == pytest.approx(45, abs=0.3) and lit.max() == pytest.approx(46, abs=0.3)


@pytest.mark.parametrize(
    "samples", [np.zeros((1, 0)), np.zeros((1, 1)), np.full((2, 50), np.nan), np.full((1, 900), 9.0), np.ones((9, 9))]
)
@pytest.mark.parametrize("sample_rate", [1, 400, 8000, 192_000])
def test_any_sound_can_be_drawn(tmp_path, samples, sample_rate):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (name,) = draw(Clip(Sound(samples.astype(np.float32), sample_rate)), tmp_path, "a")
    assert Image.open(tmp_path / name).size == SOUND_SIZE


def test_a_contact_sheet_has_the_frames_in_order(tmp_path):
    (name,) = draw(Clip(picture=Picture(GREY, Fraction(12))), tmp_path, "a")
    image = np.asarray(Image.open(tmp_path / name))
    # Frames of 16x32 are enlarged three times; 12 of 24, in three rows of four, 2 pixels apart.
    assert image.shape == (3 * 48 + 2 * 2, 4 * 96 + 3 * 2, 3)
    shown = [image[row * 50 + 24, column * 98 + 48, 0] for row in range(3) for column in range(4)]
    assert shown == [0, 20, 40, 60, 80, 100, 130, 150, 170, 190, 210, 230]


@pytest.mark.parametrize("size", [(2, 1, 1), (3, 1, 900), (13, 300, 200), (2, 1000, 1)])
def test_any_film_can_be_drawn_small(tmp_path, size):
    (name,) = draw(Clip(picture=Picture(np.zeros((*size, 3), np.uint8), Fraction(5))), tmp_path, "a")
    assert max(Image.open(tmp_path / name).size) <= 4 * 98


def test_the_same_clip_gives_the_same_bytes(tmp_path):
    clip = Clip(sine(), Picture(GREY, Fraction(12)))
    first, again = ([(tmp_path / name).read_bytes() for name in draw(clip, tmp_path, stem)] for stem in "ab")
    assert first == again


@pytest.mark.parametrize("stem", ["", "../a", "/a", "a/b", "a\0"])
def test_a_stem_is_a_name(tmp_path, stem):
    with pytest.raises(UsageError, match="without its folder"):
        draw(Clip(sine()), tmp_path / "new", stem)
    assert not (tmp_path / "new").exists()


def test_drawing_takes_milliseconds(tmp_path):
    clip = Clip(sine(440, 2, 16000), Picture(np.tile(GREY, (2, 4, 2, 1))[:32], Fraction(16)))
    took = []
    for _ in range(5):
        since = time.process_time()
        draw(clip, tmp_path, "a")
        took.append(time.process_time() - since)
    assert min(took) < 0.1  # 10 ms, with room for slow machines
