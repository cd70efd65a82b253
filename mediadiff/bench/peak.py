"""What this machine can do at most: the highest rates of a convolution and of a matrix product, measured now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F

from mediadiff.bench.timing import timed

# Clips or frames, channels, side: of the sizes that our networks have, those that fill a core best.
CONVOLUTIONS = ((16, 64, 64), (16, 128, 32), (8, 256, 32))
PRODUCTS = (1024, 2048)


@dataclass(frozen=True)
class Peak:
    """Floating point operations per second, with as many threads as torch had."""

    precision: Literal["bf16", "float32"]
    convolution: float
    """Of the quickest 3x3 convolution, channels_last."""
    product: float
    """Of the quickest product of square matrices."""

    @property
    def rate(self) -> float:
        """The higher of the two."""
        return max(self.convolution, self.product)

    def beside(self, other: Peak) -> Peak:
        """The higher rates of two measurements: one may have met a busy machine."""
        return replace(
            self,
            convolution=max(self.convolution, other.convolution),
            product=max(self.product, other.product),
        )


@torch.no_grad()
def peak(bf16: bool, budget: float = 0.3) -> Peak:
    """The peak in bfloat16 or in float32; each size is tried for `budget` seconds, and its median counts."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    convolution = max(_convolutions(dtype, budget))
    product = max(_products(dtype, budget))
    return Peak("bf16" if bf16 else "float32", convolution, product)


def _convolutions(dtype: torch.dtype, budget: float) -> Iterable[float]:
    for number, channels, side in CONVOLUTIONS:
        x = torch.ones(number, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
        weight = torch.ones(channels, channels, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
        taken = timed(lambda x=x, weight=weight: F.conv2d(x, weight, padding=1), budget)  # type: ignore[misc]
        yield 2 * 9 * number * channels**2 * side**2 / taken.seconds


def _products(dtype: torch.dtype, budget: float) -> Iterable[float]:
    for size in PRODUCTS:
        a = torch.ones(size, size, dtype=dtype)
        yield 2 * size**3 / timed(lambda a=a: a @ a, budget).seconds  # type: ignore[misc]
