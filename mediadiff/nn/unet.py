"""The temporal UNet, for one stream or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff.errors import UsageError
from mediadiff.nn.aligned import Hear, Tell
from mediadiff.nn.attention import TrunkBlock
from mediadiff.nn.condition import Condition, ConditionEncoder, Timeline
from mediadiff.nn.embeddings import LevelEmbedding, rotary
from mediadiff.nn.layers import Block, Down, HeightWidth, Layout, TimeHeight, Up, linear, merge, norm, split, zeroed
from mediadiff.nn.settings import NetworkSettings

Streams = Mapping[str, Tensor]
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
    """The residual blocks of one level, one way."""

    def __init__(self, channels: int, out: int, embedding: int, temporal: bool, blocks: int):
        super().__init__()
        sizes = [channels] + [out] * (blocks - 1)
        self.blocks = nn.ModuleList(Block(size, out, embedding, temporal) for size in sizes)

    def forward(self, x: Tensor, e: Tensor, layout: Layout) -> Tensor:
        for block in self.blocks:
            x = block(x, e, layout)
        return x


class Inner(NamedTuple):
    """A stream at the innermost level, and what its way out needs of its way in."""

    tokens: Tensor
    """`[B, N, C]`, the places of each time step together."""
    layouts: list[Layout]
    seconds: Tensor
    """`[N]`, where each token lies in time."""
    skips: list[Tensor]
    embeddings: list[Tensor]
    """`[B, T, E]` for each level from the outermost inwards: noise level, condition, and what other streams tell."""


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
        # Low tones are not high ones: where a cell lies in the plane is told to convolutions, which cannot see it.
        outer = (
            (shape.height // height, channels[0])
            if flat
            else (shape.height // height, shape.width // width, channels[0])
        )
        self.origin = nn.Parameter(PLACE * torch.randn(outer))
        self.place = nn.Parameter(PLACE * torch.randn(inner[0] * inner[1], channels[-1]))
        sizes = range(len(channels))
        self.down = nn.ModuleList(Level(channels[i], channels[i], embedding, temporal, settings.blocks) for i in sizes)
        self.up = nn.ModuleList(
            Level(2 * channels[i], channels[i], embedding, temporal, settings.blocks) for i in sizes
        )
        self.shrink = nn.ModuleList(Down(a, b) for a, b in pairwise(channels))
        self.grow = nn.ModuleList(Up(b, a) for a, b in pairwise(channels))
        self.head = zeroed(linear(channels[0], folded))

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
        rows = self.head(norm(x).permute(0, 2, 3, 1))
        if self.flat:
            return self.layouts[0].unfold(split(rows, time, height), batch)
        x = self.layouts[0].unfold(split(rows, height, width), batch)
        b, c, t, h, w = x.shape
        return x.reshape(b, c // time, time, t, h, w).transpose(2, 3).reshape(b, c // time, t * time, h, w)

    def embeddings(self, e: Tensor) -> list[Tensor]:
        """Per-step embeddings `[B, T, E]` at the time resolution of each level."""
        levels = []
        for i in range(len(self.layouts)):
            steps = self.patch[0] if i == 0 else (2 if self.flat else 1)
            e = F.avg_pool1d(e.transpose(1, 2), steps).transpose(1, 2) if steps > 1 else e
            levels.append(e)
        return levels

    def moments(self, level: int, steps: int, device: torch.device) -> Tensor:
        """The middles, in seconds, of the time steps of a level: `[steps]`."""
        length = self.patch[0] * (2**level if self.flat else 1) / self.rate
        return (torch.arange(steps, device=device) + 0.5) * length

    def enter(self, x: Tensor, e: Tensor, circular: bool) -> Inner:
        """The way in: `x` `[B, C, T, H, W]` under the embedding `e` `[B, T, E]`, down to tokens."""
        layouts = [layout.closed() for layout in self.layouts] if circular else self.layouts
        embeddings = self.embeddings(e)
        h, skips = self.fold(x), []
        for i, level in enumerate(self.down):
            h = self.shrink[i - 1](h) if i else h
            h = level(h, F.silu(embeddings[i]), layouts[i])
            skips.append(h)
        tokens = layouts[-1].tokens(h, x.shape[0]) + self.place
        steps, places = tokens.shape[1:3]
        seconds = self.moments(len(layouts) - 1, steps, x.device).repeat_interleave(places)
        return Inner(tokens.flatten(1, 2), layouts, seconds, skips, embeddings)

    def leave(self, tokens: Tensor, inner: Inner) -> Tensor:
        """The way out: tokens `[B, T * S, C]` up to a prediction `[B, C, T, H, W]`."""
        h = self.layouts[-1].from_tokens(tokens.unflatten(1, (-1, self.place.shape[0])))
        for i in reversed(range(len(self.layouts))):
            h = self.up[i](torch.cat([h, inner.skips[i]], dim=1), F.silu(inner.embeddings[i]), inner.layouts[i])
            h = self.grow[i - 1](h) if i else h
        return self.unfold(h, tokens.shape[0])


class UNet(nn.Module):
    """Maps noisy streams and their levels to a prediction for each stream.

    Each stream has its own stem, levels and head; at the innermost level the tokens of all streams present meet in
    shared attention with positions in seconds. A stream that is absent is left out.
    """

    def __init__(
        self,
        streams: Mapping[str, StreamShape],
        settings: NetworkSettings,
        labels: int = 0,
        caption: bool = False,
        scalars: int = 0,
    ):
        super().__init__()
        if settings.channels[-1] % (2 * settings.heads):
            raise UsageError(
                "the innermost channels are a multiple of twice the heads; "
                f"got {settings.channels[-1]} and {settings.heads}"
            )
        for count in settings.channels:
            # As `norm` groups them.
            if count % max(1, count // 16):
                raise UsageError(f"above 32, channels are multiples of 16; got {count}: try {max(1, count // 16) * 16}")
        embedding = max(128, 2 * settings.channels[0])
        self.dense = linear(embedding, embedding)
        self.condition = ConditionEncoder(embedding, labels, caption, scalars)
        self.streams = nn.ModuleDict({n: StreamLevels(n, s, settings, embedding) for n, s in streams.items()})
        inner = settings.channels[-1]
        several = len(streams) > 1
        steps = {n: self._part(n).multiple / self._part(n).rate for n in streams}
        self.tell = nn.ModuleDict({n: Tell(inner, embedding, steps[n]) for n in streams if several})
        self.hear = nn.ModuleDict({n: Hear(embedding) for n in streams if several})
        self.trunk = nn.ModuleList(TrunkBlock(inner, settings.heads, embedding) for _ in range(settings.attention))
        self.rotated = inner // settings.heads

    def multiple(self, stream: str) -> int:
        """Time steps of this stream come in multiples of this."""
        return self._part(stream).multiple

    def forward(
        self, x: Streams, level: Streams, given: Streams, condition: Condition | Timeline, circular: bool = False
    ) -> dict[str, Tensor]:
        """The prediction for each stream of `x`.

        `x[name]` is `[B, C, T, H, W]` of unit variance, `level[name]` `[B, T]` is log sigma / 4, and `given[name]`
        `[B, T]` is true where the stream is free of noise. With `circular` a clip's end goes on at its beginning: to
        roll the input by a multiple of `multiple` steps is to roll the output.
        """
        dtype = self.dense.weight.dtype
        asked = self.asked(condition)
        parts = {name: self._part(name) for name in x}
        inner = {}
        for name, part in parts.items():
            if x[name].shape[2] % part.multiple:
                got = x[name].shape[2]
                raise UsageError(f"stream {name} takes time steps in multiples of {part.multiple}; got {got}")
            e = self.dense(F.silu(part.level(level[name], given[name]) + asked(name)))
            inner[name] = part.enter(x[name].to(dtype), e, circular)
        if len(inner) > 1:
            inner = self._told(inner, circular)

        tokens = torch.cat([i.tokens for i in inner.values()], dim=1)
        e = torch.cat([self._per_token(i) for i in inner.values()], dim=1)
        around = max(x[n].shape[2] / part.rate for n, part in parts.items()) if circular else None
        rotation = rotary(torch.cat([i.seconds for i in inner.values()]), self.rotated, around)
        for block in self.trunk:
            tokens = block(tokens, e, rotation)

        split = tokens.split([i.tokens.shape[1] for i in inner.values()], dim=1)
        return {n: parts[n].leave(t, inner[n]).float() for n, t in zip(parts, split, strict=True)}

    def asked(self, condition: Condition | Timeline) -> Callable[[str], Tensor]:
        """For each stream the embedding of what is asked for, `[B, T, E]`, or `[B, 1, E]` where it never changes."""
        if isinstance(condition, Condition):
            always = self.condition(condition)[:, None]
            return lambda name: always
        each = [self.condition(c)[:, None] for c in condition.conditions]
        shares = condition.shares
        # The shares are float32; what is asked for is in the network's own kind of numbers.
        parts = list(zip(shares, each, strict=True))
        return lambda name: torch.stack([s[name][..., None].to(e.dtype) * e for s, e in parts]).sum(0)

    def _told(self, inner: dict[str, Inner], circular: bool) -> dict[str, Inner]:
        """The same, each stream having heard what every other one holds at each of its moments."""
        tell = {n: cast(Tell, self.tell[n]) for n in inner}
        tracks = {n: tell[n](i.tokens.unflatten(1, (i.embeddings[-1].shape[1], -1))) for n, i in inner.items()}
        out = {}
        for name, one in inner.items():
            part, hear, embeddings = self._part(name), self.hear[name], list(one.embeddings)
            for other in (n for n in inner if n != name):
                for i, e in enumerate(embeddings):
                    moments = part.moments(i, e.shape[1], e.device)
                    embeddings[i] = e + hear(tracks[other], tell[other].seconds, moments, circular)
            out[name] = one._replace(embeddings=embeddings)
        return out

    @staticmethod
    def _per_token(inner: Inner) -> Tensor:
        e = F.silu(inner.embeddings[-1])
        return e.repeat_interleave(inner.tokens.shape[1] // e.shape[1], dim=1)

    def _part(self, name: str) -> StreamLevels:
        return cast(StreamLevels, self.streams[name])
