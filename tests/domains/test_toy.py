"""A newcomer adds a domain with one new file and one recipe: nothing else knows its name."""

import numpy as np
import pytest

from mediadiff import build, domains
from mediadiff.clip import Clip, Sound
from mediadiff.errors import RecipeError
from mediadiff.recipe import load_recipe
from tests.domains import test_conformance

FILE = '''
"""Waves: the samples themselves, a row of them per time step."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, ClassVar

from annotated_types import Ge

from mediadiff.clip import Sound
from mediadiff.domains.base import Domain


@dataclass(frozen=True)
class Waves(Domain):
    medium: ClassVar[str] = "sound"
    tolerance: ClassVar[str] = "exact"
    sample_rate: Annotated[int, Ge(100)] = 4000
    channels: int = 1
    row: int = 32

    @property
    def rate(self):
        return Fraction(self.sample_rate, self.row)

    def shape(self, seconds):
        return (self.channels, self.steps(seconds), self.row, 1)

    def encode(self, stream):
        import torch

        x = torch.from_numpy(stream.samples)
        x = torch.nn.functional.pad(x, (0, -x.shape[1] % self.row))
        return x.reshape(self.channels, -1, self.row, 1).clone()

    def decode(self, x):
        return Sound(x.float().reshape(self.channels, -1).numpy().copy(), self.sample_rate)
'''

RECIPE = """
mediadiff: 1
task: train
name: toy
seconds: 0.512
data: {folder: %s}
streams:
  sound: {domain: waves, row: 32}
network: {channels: [16, 32], blocks: 1, attention: 1, heads: 2, patch: {sound: [2, 4, 1]}}
training: {clips: 16, batch: 4, warmup: 4}
sampling: {steps: 2, batch: 2}
"""


@pytest.fixture
def waves(tmp_path, monkeypatch):
    """The new file, as if it lay in mediadiff/domains."""
    (tmp_path / "domains").mkdir()
    (tmp_path / "domains" / "waves.py").write_text(FILE)
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(tmp_path / "domains")])
    return "waves"


def test_a_new_file_is_found_and_conforms(waves):
    assert waves in domains.names()
    test_conformance.test_conformance(waves)


def test_a_recipe_trains_and_renders_it(waves, tmp_path):
    (tmp_path / "media").mkdir()
    for take in range(4):
        wave = 0.5 * np.sin(np.arange(2048) * (0.1 + 0.02 * take))
        Clip.from_numpy(wave, 4000).save(tmp_path / "media" / f"{take}.wav")
    (tmp_path / "toy.yaml").write_text(RECIPE % (tmp_path / "media"))
    out = build.train(load_recipe(tmp_path / "toy.yaml"), tmp_path / "run")
    clip = next(build.load(out).render())
    assert isinstance(clip.sound, Sound) and clip.sound.samples.shape == (1, 2048)
    (tmp_path / "toy.yaml").write_text((RECIPE % "x").replace("row: 32", "rows: 32"))
    with pytest.raises(RecipeError, match="did you mean 'row'|row"):
        load_recipe(tmp_path / "toy.yaml")


def test_without_its_file_the_name_is_unknown(tmp_path):
    (tmp_path / "toy.yaml").write_text(RECIPE % "x")
    with pytest.raises(RecipeError, match="frames, mel, spectrogram, stft; got 'waves'"):
        load_recipe(tmp_path / "toy.yaml")
