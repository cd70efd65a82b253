"""Layers of the network. Activations are 4-D and channels_last; a stream's layout says which axes lie in the plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff.nn.convolution import along_time, convolve

TIME = 5
"""Time steps that a convolution along time sees: what moves through noise shows over several frames only."""


class Layout(Protocol):
    """How a stream's `[B, C, T, H, W]` becomes the 4-D plane `[N, C, P, Q]` that convolutions see."""

    @property
    def temporal(self) -> bool:
        """Whether time needs a convolution of its own, because it is not in the plane."""

    @property
    def circular(self) -> bool:
        """Whether the last time step lies beside the first."""

    @property
    def places(self) -> int:
        """The places of a time step."""

    def closed(self) -> Layout:
        """The same with time as a circle."""

    def fold(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[N, C, P, Q]`, channels_last."""

    def unfold(self, x: Tensor, batch: int) -> Tensor:
        """The way back of `fold`."""

    def per_step(self, e: Tensor) -> Tensor:
        """Values per time step `[B, T, C]` in a shape that broadcasts over `[N, C, P, Q]`."""

    def tokens(self, x: Tensor, batch: int) -> Tensor:
        """`[N, C, P, Q]` as tokens `[B, T, S, C]`, `S` places per time step."""

    def from_tokens(self, x: Tensor) -> Tensor:
        """The way back of `tokens`."""


@dataclass(frozen=True)
class TimeHeight:
    """For streams of width 1, such as spectrograms: the plane is (time, height)."""

    height: int
    circular: bool = False
    temporal = False

    @property
    def places(self) -> int:
        return self.height

    def closed(self) -> TimeHeight:
        return replace(self, circular=True)

    def fold(self, x: Tensor) -> Tensor:
        return x.squeeze(-1).contiguous(memory_format=torch.channels_last)

    def unfold(self, x: Tensor, batch: int) -> Tensor:
        return x.unsqueeze(-1)

    def per_step(self, e: Tensor) -> Tensor:
        return e.transpose(1, 2).unsqueeze(-1)

    def tokens(self, x: Tensor, batch: int) -> Tensor:
        return x.permute(0, 2, 3, 1)

    def from_tokens(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class HeightWidth:
    """For streams of frames: the plane is (height, width), and time is folded into the batch."""

    height: int
    width: int
    circular: bool = False
    temporal = True

    @property
    def places(self) -> int:
        return self.height * self.width

    def closed(self) -> HeightWidth:
        return replace(self, circular=True)

    def fold(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)

    def unfold(self, x: Tensor, batch: int) -> Tensor:
        return x.unflatten(0, (batch, -1)).transpose(1, 2)

    def per_step(self, e: Tensor) -> Tensor:
        return e.flatten(0, 1)[:, :, None, None]

    def tokens(self, x: Tensor, batch: int) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(0, (batch, -1))

    def from_tokens(self, x: Tensor) -> Tensor:
        return x.flatten(0, 1).unflatten(1, (self.height, self.width)).permute(0, 3, 1, 2)


def norm(x: Tensor) -> Tensor:
    """Group normalisation of `[N, C, P, Q]`, 16 channels a group: places keep their strength relative to each other."""
    return F.group_norm(x, max(1, x.shape[1] // 16))


def linear(channels: int, out: int) -> nn.Linear:
    """A linear layer that keeps the variance of its input; torch's own first weights would take two thirds of it."""
    return _preserving(nn.Linear(channels, out), channels)


def conv(channels: int, out: int, size: tuple[int, int]) -> nn.Conv2d:
    """A convolution that keeps extent and variance of its input."""
    layer = nn.Conv2d(channels, out, size, padding=(size[0] // 2, size[1] // 2))
    return _preserving(layer, channels * size[0] * size[1])


Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def _preserving(layer: Layer, inputs: int) -> Layer:
    nn.init.normal_(layer.weight, std=inputs**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def zeroed(layer: Layer) -> Layer:
    """The same layer, started at zero, so that the branch it ends begins as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def merge(x: Tensor, p: int, q: int) -> Tensor:
    """Space to depth: `[N, C, P, Q]` to channels-last rows `[N, P / p, Q / q, p * q * C]`."""
    n, c, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, height // p, p, width // q, q, c)
    return x.transpose(2, 3).reshape(n, height // p, width // q, p * q * c)


def split(x: Tensor, p: int, q: int) -> Tensor:
    """Depth to space, the way back of `merge`: `[N, P, Q, p * q * C]` to `[N, C, P * p, Q * q]`."""
    n, height, width, c = x.shape
    x = x.reshape(n, height, width, p, q, c // (p * q)).transpose(2, 3)
    return x.reshape(n, height * p, width * q, c // (p * q)).permute(0, 3, 1, 2)


class Down(nn.Module):
    """Halves both axes of the plane, and folds `time` frames into one: space to depth and a linear layer."""

    def __init__(self, channels: int, out: int, time: int = 1):
        super().__init__()
        self.time = time
        self.linear = linear(4 * time * channels, out)

    def forward(self, x: Tensor) -> Tensor:
        rows = merge(x, 2, 2).unflatten(0, (-1, self.time))
        rows = rows.permute(0, 2, 3, 1, 4).flatten(3) if self.time > 1 else rows.squeeze(1)
        return self.linear(rows).permute(0, 3, 1, 2)


class Up(nn.Module):
    """Doubles both axes of the plane, and unfolds a frame into `time`: a linear layer and depth to space."""

    def __init__(self, channels: int, out: int, time: int = 1):
        super().__init__()
        self.time = time
        self.linear = linear(channels, 4 * time * out)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.linear(x.permute(0, 2, 3, 1))
        if self.time > 1:
            rows = rows.unflatten(3, (self.time, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1)
        return split(rows, 2, 2)


class Block(nn.Module):
    """A residual block: two 3x3 convolutions in the plane, one along time where the plane lacks it.

    The embedding `[B, T, E]` scales and shifts the inner activations, each time step by its own.
    """

    def __init__(self, channels: int, out: int, embedding: int, temporal: bool):
        super().__init__()
        self.first = conv(channels, out, (3, 3))
        self.modulation = zeroed(linear(embedding, 2 * out))
        self.second = zeroed(conv(out, out, (3, 3)))
        self.skip = conv(channels, out, (1, 1)) if channels != out else nn.Identity()
        self.time = zeroed(conv(out, out, (TIME, 1))) if temporal else None

    def forward(self, x: Tensor, e: Tensor, layout: Layout) -> Tensor:
        around = layout.circular and not layout.temporal
        scale, shift = layout.per_step(self.modulation(e)).chunk(2, dim=1)
        h = convolve(self.first, F.silu(norm(x)), around)
        h = convolve(self.second, F.silu(torch.addcmul(shift, norm(h), scale + 1)), around)
        x = self.skip(x) + h
        if self.time is not None:
            x = x + along_time(self.time, F.silu(norm(x)), e.shape[0], layout.circular)
        return x
