"""Training stays as fast as it is: no step of a shipped recipe comes to more than was written down."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mediadiff.bench.counting import Counts, count
from mediadiff.nn import layers
from tests.bench import counts
from tests.tiny import BOTH, tiny_recipe

RENEW = (
    "A training step has grown. If it is meant, write in CHANGELOG.md what it is for and what it costs, and record the "
    "counts anew with: python -m tests.bench.counts"
)


def tiny(**network):
    return tiny_recipe(BOTH, data={"folder": None, "label": "", "bounce": {"clips": 20}}, network=network)


def test_no_training_step_has_grown_without_a_word():
    found = counts.faults(counts.recorded(), counts.now())
    assert not found, "\n".join([RENEW, *found])


def test_counts_are_those_of_the_arithmetic():
    a, b = torch.ones(8, 16), torch.ones(16, 4)
    assert count(lambda: a @ b) == Counts(2 * 8 * 16 * 4, 1, 4 * (8 * 16 + 16 * 4 + 8 * 4))
    # A view is an operation that moves nothing.
    assert count(lambda: a.view(16, 8)) == Counts(0, 1, 0)
    assert count(lambda: a + 1) == Counts(0, 1, 4 * 2 * 8 * 16)
    x, w = torch.ones(1, 3, 8, 8), torch.ones(5, 3, 3, 3)
    assert count(lambda: F.conv2d(x, w, padding=1)).flops == 2 * 9 * 3 * 5 * 64


def test_a_step_counts_the_same_each_time():
    assert counts.of_recipe(tiny()) == counts.of_recipe(tiny())


def test_a_second_block_is_found():
    before, after = counts.of_recipe(tiny()), counts.of_recipe(tiny(blocks=2))
    assert counts.faults(before, before) == []
    found = counts.faults(before, after)
    parts, whats = ("tiny, step", "tiny, gradient"), ("flops", "operations", "bytes")
    assert [text.split(" grew by ")[0] for text in found] == [f"{part}: {what}" for part in parts for what in whats]
    assert found[0].endswith(f"from {before['tiny, step'].flops} to {after['tiny, step'].flops}")


def test_work_that_is_no_arithmetic_is_found(monkeypatch):
    """Copies and casts cost as much as convolutions, and no count of arithmetic sees them."""
    before = counts.of_recipe(tiny())
    plain = layers.norm
    monkeypatch.setattr(layers, "norm", lambda x: plain(x.float().clone().clone().clone().clone().to(x.dtype)))
    found = counts.faults(before, counts.of_recipe(tiny()))
    assert [text.split(" grew by ")[0] for text in found] == ["tiny, step: bytes", "tiny, gradient: bytes"]


def test_recipes_and_record_go_together():
    one = Counts(1, 1, 1)
    assert counts.faults({"a": one}, {"b": one}) == ["b: not in counts.json", "a: in counts.json, but no recipe"]
