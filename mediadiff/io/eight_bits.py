"""Weights in eight bits: little more than half the size of bfloat16."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mediadiff.errors import ModelError

BLOCK = 64
"""Numbers in a row that share a scale, so that a large one costs only few others their exactness."""
LEVELS = 127
SMALL = 4096
"""Numbers below which a tensor is not worth it."""
SCALE = ".scale"


def to_eight_bits(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Large tensors as int8, with a float32 `NAME.scale` `[numbers / 64]`: each number is off by half a scale at most.

    All else in bfloat16. ModelError where a number is not finite, which eight bits cannot tell.
    """
    packed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ModelError(f"{name} is not finite in places, so this model is broken: take an earlier checkpoint")
        if weight.numel() < SMALL or weight.numel() % BLOCK:
            packed[name] = weight.to(torch.bfloat16)
            continue
        blocks = weight.float().reshape(-1, BLOCK)
        # A block of zeros stays one, whatever its scale.
        scale = blocks.abs().amax(1).clamp_min(1e-30) / LEVELS
        packed[name] = (blocks / scale[:, None]).round().to(torch.int8).view(weight.shape)
        packed[name + SCALE] = scale
    return packed


def to_floats(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All weights in float32, whatever they are kept in. ModelError where what is in eight bits lacks its scale."""
    eight = {name for name, weight in kept.items() if weight.dtype == torch.int8}
    scales = {name + SCALE for name in eight}
    weights = {name: weight.float() for name, weight in kept.items() if name not in scales}
    for name in eight:
        shape, scale = kept[name].shape, kept.get(name + SCALE)
        if scale is None or scale.numel() * BLOCK != shape.numel():
            got = "none" if scale is None else f"{scale.numel()}"
            raise ModelError(
                f"{name} is in eight bits and needs a scale for each {BLOCK} of its {shape.numel()}; got {got}: the "
                "model is damaged; take it from a copy or train again"
            )
        weights[name] = (weights[name].view(-1, BLOCK) * scale.view(-1, 1)).view(shape)
    return weights


def is_eight_bits(kept: Mapping[str, Tensor]) -> bool:
    """Whether any of the weights are kept in eight bits."""
    return any(weight.dtype == torch.int8 for weight in kept.values())
