"""Attention: both ways of computing it, and what each token is told of its time step."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mediadiff.nn.attention import PLAIN_TOKENS, TrunkBlock, attend, per_token
from mediadiff.nn.embeddings import rotary
from mediadiff.rng import normal


@pytest.mark.parametrize("tokens", [16, PLAIN_TOKENS, PLAIN_TOKENS + 1])
def test_few_tokens_and_many_attend_alike(tokens):
    q, k, v = (normal((1, 2, tokens, 8), name) for name in "qkv")
    weights = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1)
    torch.testing.assert_close(attend(q, k, v), weights @ v, atol=1e-5, rtol=1e-4)


def test_each_token_is_told_of_its_own_step():
    steps = normal((2, 3, 5), "steps")
    assert torch.equal(per_token(steps, 4), steps.repeat_interleave(4, dim=1))

    block = TrunkBlock(16, 2, 8).eval()
    torch.nn.init.normal_(block.modulation.weight)
    torch.nn.init.normal_(block.narrow.weight)
    x, rotation = normal((1, 2 * 3 + 4, 16), "x"), rotary(torch.arange(10.0), 8)
    told = [normal((1, 2, 8), "a"), normal((1, 4, 8), "b")]
    before = block(x, told, (3, 1), rotation)
    # No attention yet, so that a token hears nothing of the others.
    changed = [told[0], told[1] + F.one_hot(torch.tensor(2), 4)[None, :, None]]
    after = block(x, changed, (3, 1), rotation)
    assert (before != after).any(-1)[0].nonzero().flatten().tolist() == [2 * 3 + 2]
