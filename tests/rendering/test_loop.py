"""Loops: time is a circle in all streams, and a roll of the noise is a roll of the clip."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from mediadiff import build
from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.rendering import generator
from mediadiff.rendering import seam as seams
from mediadiff.rendering.seam import circle, seam
from mediadiff.rng import normal
from tests.tiny import BOTH, PICTURE, SOUND, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = tiny_model(tmp_path_factory.mktemp("model"), BOTH)
    # In bfloat16 a sum may be rounded otherwise where a cell lies elsewhere in memory.
    model.generator.denoiser.network.float()
    return model


def test_rolling_the_noise_rolls_the_clip(model, monkeypatch):
    still = next(model.render(label="a", loop=True, guidance=2.0))

    def rolled(shape, *key):
        # A turn of the circle: two frames, and the 32 steps of sound that last as long.
        return normal(shape, *key).roll(2 if shape[0] == 3 else 32, dims=1)

    monkeypatch.setattr(generator, "normal", rolled)
    turned = next(model.render(label="a", loop=True, guidance=2.0))
    apart = np.abs(turned.picture.frames.astype(int) - np.roll(still.picture.frames, 2, axis=0))
    assert apart.max() <= 1 and apart.mean() < 0.01  # a value that lies between two levels
    np.testing.assert_allclose(turned.sound.samples, np.roll(still.sound.samples, 1024, axis=1), atol=1e-5)
    line = next(model.render(label="a", guidance=2.0))
    monkeypatch.setattr(generator, "normal", normal)
    other = np.roll(next(model.render(label="a", guidance=2.0)).picture.frames, 2, axis=0)
    assert np.abs(line.picture.frames.astype(int) - other).mean() > 1


def test_a_loop_of_sound_closes_where_a_line_does_not(tmp_path):
    model = tiny_model(tmp_path, {"sound": {**SOUND["sound"], "iterations": 32}})
    # Smooth bands instead of noise: a seam is heard only where there is a tone.
    x = torch.full((1, 64, 64, 1), -1.0)
    x[:, :, 5:8] = 0.8
    domain = model.recipe.streams["sound"]
    around, line = seam(Clip(domain.decode_around(x))), seam(Clip(domain.decode(x)))
    assert around["sound"] < 3 < line["sound"]


def test_the_seam_is_the_last_step_by_the_median_step():
    ramp = np.arange(10, dtype=np.float32)[None] / 100
    frames = np.broadcast_to(np.array([0, 10, 20, 30, 5], np.uint8)[:, None, None, None], (5, 2, 2, 3))
    clip = Clip(Sound(ramp, 100), Picture(frames.copy(), Fraction(5)))
    assert seam(clip) == {"sound": 9.0, "picture": 0.5}
    whole = np.sin(2 * np.pi * np.arange(100) / 100).astype(np.float32)[None]
    assert 1 < seam(Clip(Sound(whole, 100)))["sound"] < 1.5
    assert seam(Clip(picture=Picture(frames[:1].copy(), Fraction(5)))) == {}
    assert seam(Clip(Sound(np.zeros((1, 10), np.float32), 100))) == {"sound": 0.0}


@pytest.mark.parametrize("no", [False, 0, np.False_])
def test_what_is_asked_not_to_loop_does_not(model, no):
    assert not model.requests(1, task={"loop": no})[0].loop and model.requests(1, task={"loop": True})[0].loop


def test_a_loop_is_a_circle_of_whole_steps(model, tmp_path):
    turns = seams.turns(model.recipe.streams, model.recipe.network)
    assert turns == [Fraction(4, 125), Fraction(32, 125)]
    window = Fraction(64, 125)
    assert circle(turns, window, window, True) == window
    assert circle(turns, Fraction(1, 10), window, False) == Fraction(32, 125)
    with pytest.raises(UsageError, match="a multiple of 0.256 s, at most 0.512 s; got 0.3: try --seconds 0.256"):
        model.length(0.3, loop=True)
    with pytest.raises(UsageError, match="told to a millionth; got 1e-07"):
        model.length(1e-7)
    with pytest.raises(UsageError, match="makes no loops: its streams fit together every 1 s"):
        circle([Fraction(1, 12), Fraction(1, 125)], window, window, False)
    said = []
    build.render(model, tmp_path, task={"loop": True}, seconds=0.256, report=said.append, format="mkv")
    assert [event["event"] for event in said] == ["together", "seam", "clip"]
    assert said[1]["sound"] > 0 and said[1]["picture"] > 0


def test_a_loop_of_pictures_goes_on_at_its_beginning(tmp_path, monkeypatch):
    model = tiny_model(tmp_path, PICTURE)
    model.generator.denoiser.network.float()

    def turned_by_a_frame(**task):
        """How far the clip of rolled noise is from the rolled clip, at most."""
        still = next(model.render(label="a", **task)).picture
        assert still.seconds == model.seconds
        with monkeypatch.context() as patch:
            patch.setattr(generator, "normal", lambda shape, *key: normal(shape, *key).roll(1, dims=1))
            turned = next(model.render(label="a", **task)).picture
        return np.abs(turned.frames.astype(int) - np.roll(still.frames, 1, axis=0)).max()

    assert turned_by_a_frame(loop=True) <= 1 < turned_by_a_frame()
