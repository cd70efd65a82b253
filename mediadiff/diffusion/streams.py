"""Streams as one flat tensor, which is what a solver steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
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


@dataclass(frozen=True)
class Packing:
    """The shapes `[C, T, H, W]` of the streams, in the order in which they are packed."""

    shapes: Mapping[str, tuple[int, int, int, int]]

    def pack(self, streams: Streams) -> Tensor:
        """`[B, C, T, H, W]` of each stream, side by side as `[B, N]`."""
        return torch.cat([streams[name].flatten(1) for name in self.shapes], dim=1)

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """The way back of `pack`."""
        sizes = [c * t * h * w for c, t, h, w in self.shapes.values()]
        parts = zip(self.shapes.items(), flat.split(sizes, dim=1), strict=True)
        return {name: part.unflatten(1, shape) for (name, shape), part in parts}

    def steps(self, batch: int, value: Tensor | float) -> dict[str, Tensor]:
        """`value` at every time step of every stream: `[B, T]` each."""
        level = torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1)
        return {name: level.expand(batch, shape[1]) for name, shape in self.shapes.items()}
