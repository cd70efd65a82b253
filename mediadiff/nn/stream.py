"""A stream's own part of the network: its levels on the way in to the trunk and on the way out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff.errors import UsageError
from mediadiff.nn.attention import TrunkBlock
from mediadiff.nn.embeddings import LevelEmbedding, rotary
from mediadiff.nn.layers import Block, Down, HeightWidth, Layout, TimeHeight, Up, linear, merge, norm, split, zeroed
from mediadiff.nn.settings import NetworkSettings

PLACE = 0.3
"""Of what a cell holds at the start of training, how strongly it is told where it lies: a condition can choose among
places (a pitch, say) only where places differ."""


@dataclass(frozen=True)
class StreamShape:
    """What the network needs to know of a stream: its extents and its time steps per second."""

    channels: int
    height: int
    width: int
    rate: Fraction


class Level(nn.Module):
    """The residual blocks of one level, one way, and its attention, if it has any."""

    def __init__(
        self,
        channels: int,
        out: int,
        embedding: int,
        temporal: bool,
        settings: NetworkSettings,
        attention: int,
        places: int,
    ):
        super().__init__()
        sizes = [channels] + [out] * (settings.blocks - 1)
        self.blocks = nn.ModuleList(Block(size, out, embedding, temporal) for size in sizes)
        self.attention = nn.ModuleList(TrunkBlock(out, settings.heads, embedding) for _ in range(attention))
        self.place = nn.Parameter(PLACE * torch.randn(places, out)) if attention else None
        self.rotated = out // settings.heads

    def forward(self, x: Tensor, e: Tensor, layout: Layout, seconds: Tensor, around: float | None) -> Tensor:
        for block in self.blocks:
            x = block(x, e, layout)
        if self.place is None:
            return x
        tokens = layout.tokens(x, e.shape[0]) + self.place
        shape, places = tokens.shape, tokens.shape[2]
        tokens = tokens.flatten(1, 2)
        rotation = rotary(seconds.repeat_interleave(places), self.rotated, around)
        for block in self.attention:
            tokens = block(tokens, [e], [places], rotation)
        return layout.from_tokens(tokens.reshape(shape)).contiguous(memory_format=torch.channels_last)


class Inner(NamedTuple):
    """A stream at the innermost level, and what its way out needs of its way in."""

    tokens: Tensor
    """`[B, T, S, C]`, `S` places for each time step."""
    layouts: list[Layout]
    moments: list[Tensor]
    """`[T]` for each level from the outermost inwards: the middles of its time steps, in seconds."""
    around: float | None
    """Where time is a circle: how long it is, in seconds."""
    skips: list[Tensor]
    embedding: Tensor
    """`[B, T, E]` for the steps of the stream: noise level, condition, and what was heard of other streams."""
    through: Tensor
    """`[B, C, T, H, W]`: the input as far as it goes straight to the output."""


class StreamLevels(nn.Module):
    """A stream's own part: stem, outer levels on the way in and on the way out, and head."""

    def __init__(self, name: str, shape: StreamShape, settings: NetworkSettings, embedding: int):
        super().__init__()
        channels = settings.channels
        self.patch = settings.patch.get(name, (1, 1, 1))
        flat = shape.width == 1
        time, height, width = self.patch
        deep = 2 ** (len(channels) - 1)
        self.multiple = settings.multiple(name, shape.width)
        """Time steps of the stream come in multiples of this."""
        if shape.height % (height * deep) or (not flat and shape.width % (width * deep)):
            raise UsageError(
                f"stream {name}: {shape.height}x{shape.width} (height x width) cannot be folded by patch "
                f"{height}x{width} and halved {len(channels) - 1} times: height is a multiple of {height * deep}"
                + ("" if flat else f", width of {width * deep}")
            )
        if flat and width != 1:
            raise UsageError(f"stream {name} has width 1: the last number of its patch is 1, not {width}")
        halved = settings.halved(name, shape.width)
        if halved >= len(channels):
            raise UsageError(
                f"stream {name}: {len(channels)} levels halve time at most {len(channels) - 1} times; got {halved}: "
                "lower `halvings`, or add to `channels`"
            )
        if flat and name in settings.halvings:
            raise UsageError(f"stream {name} has width 1, where every level halves time: take it out of `halvings`")
        self.steps = [2 if i < halved else 1 for i in range(len(channels) - 1)]
        """Of each level, that become one on the next."""
        self.rate = float(shape.rate)
        inner = (shape.height // height // deep, max(1, shape.width // width // deep))
        self.layouts: list[Layout] = []
        for level in range(len(channels)):
            size = (shape.height // height >> level, shape.width // width >> level)
            self.layouts.append(TimeHeight(size[0]) if flat else HeightWidth(*size))
        self.flat = flat

        folded = shape.channels * time * height * width
        temporal = not flat
        self.stem = linear(folded, channels[0])
        self.level = LevelEmbedding(64, embedding)
        # Of the steps of one patch some may be given and others not: which ones, an average would not tell.
        self.join = linear(time * embedding, embedding) if time > 1 and not flat else None
        # Low tones are not high ones: where a cell lies in the plane is told to convolutions, which cannot see it.
        outer = (
            (shape.height // height, channels[0])
            if flat
            else (shape.height // height, shape.width // width, channels[0])
        )
        self.origin = nn.Parameter(PLACE * torch.randn(outer))
        self.place = nn.Parameter(PLACE * torch.randn(inner[0] * inner[1], channels[-1]))
        lookout = settings.lookout.get(name, 0)
        if lookout and len(channels) < 2:
            raise UsageError(f"stream {name}: a lookout takes a level above the innermost; add one to `channels`")
        self.down = nn.ModuleList(
            Level(count, count, embedding, temporal, settings, lookout if i == len(channels) - 2 else 0, layout.places)
            for i, (count, layout) in enumerate(zip(channels, self.layouts, strict=True))
        )
        self.up = nn.ModuleList(
            Level(2 * count, count, embedding, temporal, settings, 0, layout.places)
            for count, layout in zip(channels, self.layouts, strict=True)
        )
        # In width 1 time lies in the plane, which is halved anyway.
        sizes = [(a, b, 1 if flat else time) for (a, b), time in zip(pairwise(channels), self.steps, strict=True)]
        self.shrink = nn.ModuleList(Down(a, b, time) for a, b, time in sizes)
        self.grow = nn.ModuleList(Up(b, a, time) for a, b, time in sizes)
        self.head = zeroed(linear(channels[0], folded))
        # Where a patch holds more numbers than a cell has channels, a linear head reaches a part of the patches only:
        # an edge that goes through one would never be sharp.
        hidden = settings.detail.get(name, 0)
        self.detail = (
            nn.Sequential(linear(channels[0], hidden), nn.SiLU(), zeroed(linear(hidden, folded))) if hidden else None
        )
        # Where the clean signal is nearly known, what is asked for is mostly the noise, cell by cell: more than the
        # channels of a level can carry. So the input itself is at hand, as much of it as suits the noise level.
        self.through = zeroed(linear(embedding, shape.channels))

    def fold(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to the outermost plane, with the patch folded into channels."""
        time, height, width = self.patch
        if self.flat:
            rows = merge(self.layouts[0].fold(x), time, height)
        else:
            b, c, t, h, w = x.shape
            x = x.reshape(b, c, t // time, time, h, w).transpose(2, 3).reshape(b, c * time, t // time, h, w)
            rows = merge(self.layouts[0].fold(x), height, width)
        return (self.stem(rows) + self.origin.to(rows.dtype)).permute(0, 3, 1, 2)

    def unfold(self, x: Tensor, batch: int) -> Tensor:
        """The way back of `fold`."""
        time, height, width = self.patch
        cells = norm(x).permute(0, 2, 3, 1)
        rows = self.head(cells) if self.detail is None else self.head(cells) + self.detail(cells)
        if self.flat:
            return self.layouts[0].unfold(split(rows, time, height), batch)
        x = self.layouts[0].unfold(split(rows, height, width), batch)
        b, c, t, h, w = x.shape
        return x.reshape(b, c // time, time, t, h, w).transpose(2, 3).reshape(b, c // time, t * time, h, w)

    def embeddings(self, e: Tensor) -> list[Tensor]:
        """What the blocks of each level are told, `[B, T, E]` at its time steps, of `e` `[B, T, E]` at the stream's."""
        time = self.patch[0]
        levels = [self.join(e.unflatten(1, (-1, time)).flatten(2)) if self.join else averaged(e, time)]
        for steps in self.steps:
            levels.append(averaged(levels[-1], steps))
        return [F.silu(e) for e in levels]

    def moments(self, e: Tensor, level: int | None = None) -> Tensor:
        """The middles, in seconds, of the time steps that `e` `[B, T, E]` tells of: `[T]`."""
        folded = 1 if level is None else self.patch[0] * math.prod(self.steps[:level])
        return (torch.arange(e.shape[1], device=e.device) + 0.5) * (folded / self.rate)

    def enter(self, x: Tensor, e: Tensor, circular: bool) -> Inner:
        """The way in: `x` `[B, C, T, H, W]` under the embedding `e` `[B, T, E]`, down to tokens."""
        layouts = [layout.closed() for layout in self.layouts] if circular else self.layouts
        embeddings = self.embeddings(e)
        moments = [self.moments(each, level) for level, each in enumerate(embeddings)]
        around = x.shape[2] / self.rate if circular else None
        h, skips = self.fold(x), []
        for i, level in enumerate(self.down):
            h = self.shrink[i - 1](h) if i else h
            h = level(h, embeddings[i], layouts[i], moments[i], around)
            skips.append(h)
        tokens = layouts[-1].tokens(h, x.shape[0]) + self.place
        through = x * self.through(F.silu(e)).transpose(1, 2)[..., None, None]
        return Inner(tokens, layouts, moments, around, skips, e, through)

    def leave(self, inner: Inner) -> Tensor:
        """The way out: tokens up to a prediction `[B, C, T, H, W]`."""
        h = self.layouts[-1].from_tokens(inner.tokens)
        embeddings = self.embeddings(inner.embedding)
        for i in reversed(range(len(self.layouts))):
            h = torch.cat([h, inner.skips[i]], dim=1)
            h = self.up[i](h, embeddings[i], inner.layouts[i], inner.moments[i], inner.around)
            h = self.grow[i - 1](h) if i else h
        return self.unfold(h, len(inner.tokens)) + inner.through


def averaged(e: Tensor, steps: int) -> Tensor:
    """`[B, T, E]` to `[B, T / steps, E]`, the mean of every so many steps."""
    return F.avg_pool1d(e.transpose(1, 2), steps).transpose(1, 2) if steps > 1 else e
