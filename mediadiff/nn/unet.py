"""The temporal UNet, for one stream or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff.errors import UsageError
from mediadiff.nn.attention import TrunkBlock
from mediadiff.nn.condition import Condition, ConditionEncoder
from mediadiff.nn.embeddings import LevelEmbedding, rotary
from mediadiff.nn.layers import Block, Down, HeightWidth, Layout, TimeHeight, Up, merge, norm, split, zeroed
from mediadiff.nn.settings import NetworkSettings

Streams = Mapping[str, Tensor]


@dataclass(frozen=True)
class StreamShape:
    """What the network needs to know of a stream: its extents and its time steps per second."""

    channels: int
    height: int
    width: int
    rate: Fraction


class StreamLevels(nn.Module):
    """A stream's own part: stem, outer levels on the way in and on the way out, and head."""

    def __init__(self, name: str, shape: StreamShape, settings: NetworkSettings, embedding: int):
        super().__init__()
        channels = settings.channels
        self.patch = settings.patch.get(name, (1, 1, 1))
        flat = shape.width == 1
        time, height, width = self.patch
        deep = 2 ** (len(channels) - 1)
        self.multiple = time * deep if flat else time
        """Time steps of the stream come in multiples of this."""
        if shape.height % (height * deep) or (not flat and shape.width % (width * deep)):
            raise UsageError(
                f"stream {name}: {shape.height}x{shape.width} (height x width) cannot be folded by patch "
                f"{height}x{width} and halved {len(channels) - 1} times: height is a multiple of {height * deep}"
                + ("" if flat else f", width of {width * deep}")
            )
        if flat and width != 1:
            raise UsageError(f"stream {name} has width 1: the last number of its patch is 1, not {width}")
        self.seconds_per_step = float(time / shape.rate)
        inner = (shape.height // height // deep, max(1, shape.width // width // deep))
        self.layouts: list[Layout] = []
        for level in range(len(channels)):
            size = (shape.height // height >> level, shape.width // width >> level)
            self.layouts.append(TimeHeight(size[0]) if flat else HeightWidth(*size))
        self.flat = flat

        folded = shape.channels * time * height * width
        temporal = not flat
        self.stem = nn.Linear(folded, channels[0])
        self.level = LevelEmbedding(64, embedding)
        self.place = nn.Parameter(torch.zeros(inner[0] * inner[1], channels[-1]))
        nn.init.normal_(self.place, std=0.02)
        self.down = nn.ModuleList(
            nn.ModuleList(Block(c, c, embedding, temporal) for _ in range(settings.blocks)) for c in channels
        )
        self.shrink = nn.ModuleList(Down(a, b) for a, b in zip(channels, channels[1:], strict=False))
        self.up = nn.ModuleList(
            nn.ModuleList(
                Block(2 * c if i == 0 else c, c, embedding, temporal) for i in range(settings.blocks)
            )
            for c in channels
        )
        self.grow = nn.ModuleList(Up(b, a) for a, b in zip(channels, channels[1:], strict=False))
        self.head = zeroed(nn.Linear(channels[0], folded))

    def fold(self, x: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to the outermost plane, with the patch folded into channels."""
        time, height, width = self.patch
        if self.flat:
            rows = merge(self.layouts[0].fold(x), time, height)
        else:
            b, c, t, h, w = x.shape
            x = x.reshape(b, c, t // time, time, h, w).transpose(2, 3).reshape(b, c * time, t // time, h, w)
            rows = merge(self.layouts[0].fold(x), height, width)
        return self.stem(rows).permute(0, 3, 1, 2)

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
        """Per-step embeddings `[B, T, E]` at the time resolution of each level, silu applied."""
        levels = []
        for i in range(len(self.layouts)):
            steps = self.patch[0] if i == 0 else (2 if self.flat else 1)
            e = F.avg_pool1d(e.transpose(1, 2), steps).transpose(1, 2) if steps > 1 else e
            levels.append(e)
        return [F.silu(e) for e in levels]


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
                f"the innermost channels are a multiple of twice the heads; got {settings.channels[-1]} and {settings.heads}"
            )
        embedding = max(128, 2 * settings.channels[0])
        self.embedding = nn.Sequential(nn.SiLU(), nn.Linear(embedding, embedding))
        self.condition = ConditionEncoder(embedding, labels, caption, scalars)
        self.streams = nn.ModuleDict({n: StreamLevels(n, s, settings, embedding) for n, s in streams.items()})
        inner = settings.channels[-1]
        self.trunk = nn.ModuleList(TrunkBlock(inner, settings.heads, embedding) for _ in range(settings.attention))
        self.rotated = inner // settings.heads

    def multiple(self, stream: str) -> int:
        """Time steps of this stream come in multiples of this."""
        return self.streams[stream].multiple  # type: ignore[return-value]

    def forward(self, x: Streams, level: Streams, given: Streams, condition: Condition) -> dict[str, Tensor]:
        """The prediction for each stream of `x`.

        `x[name]` is `[B, C, T, H, W]` of unit variance, `level[name]` `[B, T]` is log sigma / 4, and `given[name]`
        `[B, T]` is true where the stream is free of noise.
        """
        dtype = self.embedding[1].weight.dtype
        asked = self.condition(condition)[:, None]
        planes, skips, embeddings, tokens, places = {}, {}, {}, [], []
        for name in x:
            part = self.streams[name]
            if x[name].shape[2] % part.multiple:
                raise UsageError(f"stream {name} takes time steps in multiples of {part.multiple}; got {x[name].shape[2]}")
            e = part.embeddings(self.embedding(part.level(level[name], given[name]) + asked))
            h, kept = part.fold(x[name].to(dtype)), []
            for i, blocks in enumerate(part.down):
                if i:
                    h = part.shrink[i - 1](h)
                for block in blocks:
                    h = block(h, e[i], part.layouts[i])
                kept.append(h)
            planes[name], skips[name], embeddings[name] = h, kept, e
            token = part.layouts[-1].tokens(h, x[name].shape[0])
            tokens.append((token + part.place).flatten(1, 2))
            step = part.seconds_per_step * part.multiple / part.patch[0]
            seconds = (torch.arange(token.shape[1], device=token.device) + 0.5) * step
            places.append((seconds.repeat_interleave(token.shape[2]), e[-1].repeat_interleave(token.shape[2], dim=1)))

        mixed = torch.cat(tokens, dim=1)
        rotation = rotary(torch.cat([p[0] for p in places]), self.rotated)
        e = torch.cat([p[1] for p in places], dim=1)
        for trunk in self.trunk:
            mixed = trunk(mixed, e, rotation)

        out = {}
        for name, h in zip(x, mixed.split([t.shape[1] for t in tokens], dim=1), strict=True):
            part, batch = self.streams[name], x[name].shape[0]
            layout = part.layouts[-1]
            h = layout.from_tokens(h.unflatten(1, layout.tokens(planes[name], batch).shape[1:3]))
            for i in reversed(range(len(part.up))):
                h = torch.cat([h, skips[name][i]], dim=1)
                for block in part.up[i]:
                    h = block(h, embeddings[name][i], part.layouts[i])
                if i:
                    h = part.grow[i - 1](h)
            out[name] = part.unfold(h, batch).float()
        return out
