"""Sound beside what is known of it, and sound on a circle."""

import numpy as np
import pytest
import torch

from mediadiff import domains
from mediadiff.clip import Sound
from mediadiff.rng import normal
from tests.domains.test_conformance import make, stream_for

SOUNDS = [name for name in domains.names() if domains.get(name).medium == "sound"]


def known_half(name):
    """A stream of whole steps, its encoding, and its first half as known."""
    domain = make(name)
    sound = stream_for(domain)
    count = sound.samples.shape[1] // domain.hop * domain.hop
    sound = Sound(sound.samples[:, :count].copy(), domain.sample_rate)
    where = np.arange(count) < count // 2
    return domain, sound, where


@pytest.mark.parametrize("name", ["spectrogram", "mel"])
def test_what_is_known_lends_its_phase(name):
    domain, sound, where = known_half(name)
    edge, alone, beside = slice(where.sum(), where.sum() + domain.hop), [], []
    # Turned upside down a sound has the same magnitudes: only what is known of it can tell.
    for sign in (1, -1):
        true = sign * sound.samples
        x = domain.encode(Sound(true, sound.sample_rate))
        half = Sound(np.where(where, true, 0).astype(np.float32), sound.sample_rate)
        for errors, made in ((alone, domain.decode(x)), (beside, domain.decode_beside(x, half, where))):
            errors.append(np.square(made.samples - true)[:, edge].mean() / np.square(true[:, edge]).mean())
    assert max(beside) < 0.1 and max(alone) > 1


@pytest.mark.parametrize("name", SOUNDS)
def test_to_roll_the_steps_of_a_circle_is_to_roll_its_sound(name):
    domain = make(name)
    x = 0.3 * normal(domain.shape(0.5), "circle")
    once, turned = domain.decode_around(x).samples, domain.decode_around(x.roll(5, dims=1)).samples
    assert once.shape == (1, x.shape[1] * domain.hop)
    np.testing.assert_allclose(turned, np.roll(once, 5 * domain.hop, axis=1), atol=1e-5)


@pytest.mark.parametrize("name", SOUNDS)
def test_beyond_its_reach_a_step_knows_nothing(name):
    domain = make(name)
    sound = stream_for(domain)
    step = 40
    begin = round(step * domain.hop)
    reach = round(domain.reach * domain.sample_rate)
    outside = np.ones(sound.samples.shape[1], bool)
    outside[begin - reach : begin + reach] = False
    other = Sound(np.where(outside, 0.5, sound.samples).astype(np.float32), sound.sample_rate)
    a, b = domain.encode(sound), domain.encode(other)
    torch.testing.assert_close(a[:, step], b[:, step], atol=1e-4, rtol=0)
    assert (a[:, step + 1] - b[:, step + 1]).abs().max() > 1e-3
