from __future__ import annotations

import json
import warnings
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.evaluation import plots

GREY = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20 + np.zeros((10, 16, 32, 3), np.uint8)


def sine(hertz=1000.0, seconds=0.5, sample_rate=8000, amplitude=1.0):
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return Sound((amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32)[None], sample_rate)


def test_decibels_of_a_full_scale_sine():
    found = plots.decibels(sine())
    middle = found[:, found.shape[1] // 2]
    assert middle.max() == pytest.approx(0, abs=0.5)
    assert middle.argmax() * 4000 / (len(middle) - 1) == pytest.approx(1000, abs=20)
    assert plots.decibels(sine(amplitude=0.1)).max() == pytest.approx(-20, abs=0.5)
    assert (plots.decibels(Sound(np.zeros((2, 100), np.float32), 8000)) == -80).all()


def test_a_spectrogram_shows_the_tone_where_it_is(tmp_path):
    path = plots.spectrogram(sine(amplitude=0.1), tmp_path / "a.png", "cost $5 & <x>")
    image = np.asarray(Image.open(path).convert("L")).astype(int)
    assert image.shape == (416, 640)
    # The panel, from 4 kHz at its top to 0 at its foot, is the longest run without white.
    column = image[:, 250]
    edges = np.flatnonzero(np.diff(np.r_[0, column < 200, 0]))
    top, foot = max(edges.reshape(-1, 2), key=lambda run: run[1] - run[0])
    row = top + column[top:foot].argmax()
    assert (foot - row) / (foot - top) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    "samples", [np.zeros((1, 0)), np.zeros((1, 1)), np.full((2, 50), np.nan), np.full((1, 900), 9.0)]
)
def test_any_sound_can_be_drawn(tmp_path, samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plots.spectrogram(Sound(samples.astype(np.float32), 8000), tmp_path / "a.png").stat().st_size > 1000


def test_a_contact_sheet_has_the_frames_in_order(tmp_path):
    path = plots.contact_sheet(Picture(GREY, Fraction(10)), tmp_path / "a.png", columns=3, most=6)
    image = np.asarray(Image.open(path))
    # Frames of 16x32 are enlarged four times; six of ten, in two rows of three, 3 pixels apart.
    assert image.shape == (2 * 64 + 3, 3 * 128 + 2 * 3, 3)
    shown = [image[row * 67 + 32, column * 131 + 64, 0] for row in range(2) for column in range(3)]
    assert shown == [0, 40, 80, 100, 140, 180]
    assert Image.open(plots.contact_sheet(Picture(GREY[:1], Fraction(1)), tmp_path / "b.png")).size == (128, 64)


def test_a_sheet_has_a_cell_for_each_clip(tmp_path):
    real = [Clip(picture=Picture(GREY, Fraction(10)), label="car")] * 2
    rendered = [Clip(sine(), Picture(GREY, Fraction(10)), "car"), Clip(sine(), label="3")]
    path = plots.sheet([plots.Row("real", real), plots.Row("rendered", rendered)], tmp_path / "a.png")
    image = np.asarray(Image.open(path).convert("L")).astype(int)
    inked = (image < 200).mean(0) > 0.05
    assert image.shape[0] < image.shape[1] and inked.mean() > 0.5
    with pytest.raises(UsageError, match="at least one clip"):
        plots.sheet([plots.Row("real", [])], tmp_path / "b.png")


def test_loss_by_level_reads_the_log_of_a_killed_run(tmp_path):
    log = tmp_path / "log.jsonl"
    events = [{"event": "step"}] + [
        {"event": "levels", "clips": n, "sigma": [0.01, 1, 80], "loss": [1 / n, 2, 3]} for n in range(1, 12)
    ]
    log.write_text("\n".join(map(json.dumps, events)) + '\n{"event": "lev')
    assert Image.open(plots.loss_by_level(log, tmp_path / "a.png")).width == 660
    log.write_text('{"event": "step"}\n')
    with pytest.raises(UsageError, match="no loss by noise level yet"):
        plots.loss_by_level(log, tmp_path / "b.png")
