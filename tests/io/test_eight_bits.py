"""Weights in eight bits: how far off, what stays as it is, and that a second time changes nothing."""

from __future__ import annotations

import pytest
import torch

from mediadiff.errors import ModelError
from mediadiff.io.eight_bits import BLOCK, SCALE, to_eight_bits, to_floats
from mediadiff.rng import generator


def test_each_number_is_off_by_half_a_step_of_its_block():
    random = generator("eight bits", 0)
    weight = torch.randn(128, 3, 3, 64, generator=random) * torch.rand(128, 1, 1, 1, generator=random).pow(8)
    weight[5] = 0
    before = weight.clone()
    packed = to_eight_bits({"a": weight})
    back = to_floats(packed)["a"]
    assert torch.equal(weight, before) and packed["a"].dtype == torch.int8 and back.shape == weight.shape
    largest = weight.view(-1, BLOCK).abs().amax(1)
    off = (back - weight).view(-1, BLOCK).abs().amax(1)
    assert (off <= largest / 254 * 1.001).all() and not back[5].any()
    torch.testing.assert_close(back.view(-1, BLOCK).abs().amax(1), largest)
    assert packed["a" + SCALE].shape == largest.shape
    size = sum(x.numel() * x.element_size() for x in packed.values())
    assert size == weight.numel() * (1 + 4 / 64)


def test_what_is_small_or_odd_is_kept_in_bfloat16():
    weights = {"small": torch.full((63, 65), 1 / 3), "odd": torch.full((5000,), 1 / 3)}
    packed = to_eight_bits(weights)
    assert {name: w.dtype for name, w in packed.items()} == {"small": torch.bfloat16, "odd": torch.bfloat16}
    assert to_floats(packed)["odd"][0] == torch.tensor(1 / 3).bfloat16().float()


def test_a_second_time_changes_nothing():
    weight = torch.randn(400, 1024, generator=generator("eight bits", 1)) * torch.linspace(0.001, 3, 400)[:, None]
    once = to_eight_bits({"a": weight})
    twice = to_eight_bits(to_floats(once))
    assert set(once) == set(twice) and all(torch.equal(once[name], twice[name]) for name in once)


def test_what_is_not_finite_is_refused():
    with pytest.raises(ModelError, match="b is not finite in places"):
        to_eight_bits({"a": torch.ones(64, 64), "b": torch.full((64, 64), torch.inf)})
