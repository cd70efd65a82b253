"""Streams, and the scale in which the network sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

Streams = Mapping[str, Tensor]


@dataclass(frozen=True)
class Standard:
    """The mean and standard deviation by which a stream is brought to zero mean and unit variance."""

    mean: float
    std: float

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def inverse(self, x: Tensor) -> Tensor:
        return x * self.std + self.mean
