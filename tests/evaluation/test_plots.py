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
from mediadiff.training.log import read

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


@pytest.mark.parametrize(
    "samples", [np.zeros((1, 0)), np.zeros((1, 1)), np.full((2, 50), np.nan), np.full((1, 900), 9.0)]
)
def test_any_sound_can_be_drawn(tmp_path, samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip = Clip(Sound(samples.astype(np.float32), 8000))
        assert len(np.asarray(Image.open(plots.sheet([plots.Row("any", [clip])], tmp_path / "a.png")))) > 96


def test_a_sheet_has_a_cell_for_each_clip(tmp_path):
    real = [Clip(picture=Picture(GREY, Fraction(10)), label="car")] * 2
    rendered = [Clip(sine(), Picture(GREY, Fraction(10)), "car"), Clip(sine(), label="3")]
    path = plots.sheet([plots.Row("real", real), plots.Row("rendered", rendered)], tmp_path / "a.png")
    image = np.asarray(Image.open(path).convert("L")).astype(int)
    inked = (image < 200).mean(0) > 0.05
    assert image.shape[0] < image.shape[1] and inked.mean() > 0.5
    with pytest.raises(UsageError, match="at least one clip"):
        plots.sheet([plots.Row("real", [])], tmp_path / "b.png")


def test_loss_by_level_is_drawn_from_the_log_of_a_killed_run(tmp_path):
    log = tmp_path / "log.jsonl"
    events = [{"event": "step"}] + [
        {"event": "levels", "clips": n, "sigma": [0.01, 1, 80], "loss": [1 / n, 2, 3]} for n in range(1, 12)
    ]
    log.write_text("\n".join(map(json.dumps, events)) + '\n{"event": "lev')
    assert Image.open(plots.loss_by_level(read(log), tmp_path / "a.png")).width == 660
    with pytest.raises(UsageError, match="no loss by noise level yet"):
        plots.loss_by_level([{"event": "step"}], tmp_path / "b.png")
