"""The time-aligned path between streams: what one stream holds at a moment, told to the others at that moment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff.nn.layers import linear, zeroed

RESOLUTION = 0.02
"""Seconds: each stream tells what it holds at steps about this long, or at its own where these are shorter."""


class Tell(nn.Module):
    """A stream's inner tokens `[B, T, S, C]` as a track `[B, T * pieces, E]` of what it holds, moment by moment.

    A step that is longer than `RESOLUTION` is told in several pieces, so that others may hear when in it something is.
    """

    def __init__(self, channels: int, embedding: int, step_seconds: float):
        super().__init__()
        self.pieces = max(1, math.ceil(step_seconds / RESOLUTION))
        self.seconds = step_seconds / self.pieces
        """The length of a piece."""
        self.place = linear(channels, embedding)
        self.moment = linear(embedding, self.pieces * embedding)

    def forward(self, tokens: Tensor) -> Tensor:
        # Not linear before the mean: a sum over places must still know what was where.
        steps = F.silu(self.place(F.layer_norm(tokens, tokens.shape[-1:]))).mean(dim=2)
        return F.silu(self.moment(steps).unflatten(-1, (self.pieces, -1)).flatten(1, 2))


class Hear(nn.Module):
    """A track `[B, N, E]` of another stream, read at this stream's own moments; begins as silence."""

    def __init__(self, embedding: int):
        super().__init__()
        self.linear = zeroed(linear(embedding, embedding))

    def forward(self, track: Tensor, piece_seconds: float, seconds: Tensor, circular: bool) -> Tensor:
        return self.linear(at(track, piece_seconds, seconds, circular))


class Exchange(nn.Module):
    """All streams telling each other what they hold, moment by moment."""

    def __init__(self, step_seconds: Mapping[str, float], channels: int, embedding: int):
        super().__init__()
        self.tell = nn.ModuleDict({n: Tell(channels, embedding, step) for n, step in step_seconds.items()})
        self.hear = nn.ModuleDict({n: Hear(embedding) for n in step_seconds})

    def forward(self, tokens: Mapping[str, Tensor], moments: Mapping[str, Tensor], circular: bool) -> dict[str, Tensor]:
        """What each of two or more streams hears, `[B, M, E]` at its own `moments` `[M]` in seconds.

        `tokens[name]` is `[B, T, S, C]`.
        """
        tell = {n: cast(Tell, self.tell[n]) for n in tokens}
        tracks = {n: tell[n](x) for n, x in tokens.items()}
        heard = {}
        for name, seconds in moments.items():
            each = [self.hear[name](tracks[n], tell[n].seconds, seconds, circular) for n in tokens if n != name]
            heard[name] = torch.stack(each).sum(0)
        return heard


def at(track: Tensor, piece_seconds: float, seconds: Tensor, circular: bool) -> Tensor:
    """The track `[B, N, E]`, whose pieces follow each other from second 0 on, at `seconds` `[M]`: `[B, M, E]`.

    Linear between the middles of pieces; beyond the ends it stays as it is, or goes around where time is a circle.
    """
    count = track.shape[1]
    place = seconds.double() / piece_seconds - 0.5
    if not circular:
        place = place.clamp(0, count - 1)
    low = place.floor()
    part = (place - low).to(track.dtype)[:, None]
    low = low.long() % count
    return torch.lerp(track[:, low], track[:, (low + 1) % count], part)
