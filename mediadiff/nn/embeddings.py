"""Embeddings of noise levels and of time in seconds."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fourier(x: Tensor, features: int, low: float, high: float) -> Tensor:
    """Cosines and sines of `x` at `features / 2` frequencies, `low` to `high` cycles per unit: `[..., features]`."""
    octaves = torch.linspace(math.log(low), math.log(high), features // 2, device=x.device)
    angles = 2 * math.pi * x.float().unsqueeze(-1) * octaves.exp()
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class LevelEmbedding(nn.Module):
    """The noise level of each cell, `[B, T]` of log sigma / 4 and a flag for what is given, as `[B, T, E]`."""

    def __init__(self, features: int, embedding: int):
        super().__init__()
        self.features = features
        self.linear = nn.Linear(features + 1, embedding)

    def forward(self, level: Tensor, given: Tensor) -> Tensor:
        # A given cell has no log sigma: only the flag speaks for it.
        waves = fourier(level, self.features, 0.05, 4.0) * (~given).unsqueeze(-1)
        return self.linear(torch.cat([waves, given.unsqueeze(-1).float()], dim=-1).to(self.linear.weight.dtype))


class Uncertainty(nn.Module):
    """The learned log-variance `u` of the loss at each noise level (EDM2, arXiv 2312.02696, equation 21): `[B, T]`."""

    def __init__(self, features: int = 32):
        super().__init__()
        self.features = features
        self.linear = nn.Linear(features, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, level: Tensor) -> Tensor:
        return F.linear(fourier(level, self.features, 0.05, 2.0), self.linear.weight, self.linear.bias).squeeze(-1)


def rotary(seconds: Tensor, features: int, around: float | None = None) -> tuple[Tensor, Tensor]:
    """Cosine and sine `[tokens, features / 2]` for rotary positions in seconds (arXiv 2104.09864, section 3.2).

    Periods go from a twentieth of a second to a minute. Where time is a circle of `around` seconds, each is the nearest
    that fits into it a whole number of times; none at all (no turning) where the nearest number is 0.
    """
    periods = torch.linspace(math.log(0.05), math.log(60.0), features // 2, device=seconds.device).exp()
    turns = 1 / periods if around is None else (around / periods).round() / around
    angles = 2 * math.pi * seconds.float().unsqueeze(-1) * turns
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns pairs of features of `[B, heads, tokens, features]` by their token's angles."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
