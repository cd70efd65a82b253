"""Weights in eight bits: little more than half the size of bfloat16."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

BLOCK = 64
"""Numbers in a row that share a scale, so that a large one costs only few others their exactness."""
LEVELS = 127
SMALL = 4096
"""Numbers below which a tensor is not worth it."""
SCALE = ".scale"


def to_eight_bits(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Large tensors as int8, with a float32 `NAME.scale` `[numbers / 64]`: each number is off by half a scale at most.

    All else in bfloat16.
    """
    packed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.numel() < SMALL or weight.numel() % BLOCK:
            packed[name] = weight.to(torch.bfloat16)
            continue
        blocks = weight.float().reshape(-1, BLOCK)
        # A block of zeros stays one, whatever its scale.
        scale = blocks.abs().amax(1).clamp_min(1e-30) / LEVELS
        packed[name] = (blocks / scale[:, None]).round().to(torch.int8).view(weight.shape)
        packed[name + SCALE] = scale
    return packed


def to_floats(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All weights in float32, whatever they are kept in. KeyError where a scale is missing."""
    eight = {name for name, weight in packed.items() if weight.dtype == torch.int8}
    scales = {name + SCALE for name in eight}
    weights = {name: weight.float() for name, weight in packed.items() if name not in scales}
    for name in eight:
        blocks = weights[name].view(-1, BLOCK) * packed[name + SCALE][:, None]
        weights[name] = blocks.view(weights[name].shape)
    return weights
