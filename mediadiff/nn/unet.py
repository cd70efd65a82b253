"""The temporal UNet, for one stream or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff.errors import UsageError
from mediadiff.nn.aligned import Exchange
from mediadiff.nn.attention import TrunkBlock
from mediadiff.nn.condition import Condition, ConditionEncoder, Timeline
from mediadiff.nn.embeddings import rotary
from mediadiff.nn.layers import linear
from mediadiff.nn.settings import NetworkSettings
from mediadiff.nn.stream import Inner, StreamLevels, StreamShape

Streams = Mapping[str, Tensor]


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
        for count in settings.channels[-2 if settings.lookout else -1 :]:
            if count % (2 * settings.heads):
                twice = 2 * settings.heads
                raise UsageError(
                    f"network.channels: where there is attention, multiples of twice network.heads, {twice}; "
                    f"got {count}: try {max(1, round(count / twice)) * twice}"
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
        steps = {n: self._part(n).multiple / self._part(n).rate for n in streams if len(streams) > 1}
        self.before = Exchange(steps, inner, embedding)
        """What the trunk hears, and the levels on the way out."""
        self.after = Exchange(steps, inner, embedding)
        """What the levels on the way out hear besides: what the trunk has made of it."""
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
        inner = self._meet(self._told(self.before, inner, circular))
        inner = self._told(self.after, inner, circular)
        return {n: parts[n].leave(i).float() for n, i in inner.items()}

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

    def _meet(self, inner: dict[str, Inner]) -> dict[str, Inner]:
        """The same after the trunk, where all tokens attend to each other."""
        shapes = [i.tokens.shape for i in inner.values()]
        tokens = torch.cat([i.tokens.flatten(1, 2) for i in inner.values()], dim=1)
        places = [shape[2] for shape in shapes]
        told = [self._part(n).embeddings(i.embedding)[-1] for n, i in inner.items()]
        seconds = [i.moments[-1].repeat_interleave(s) for i, s in zip(inner.values(), places, strict=True)]
        # All streams last equally long.
        around = next(iter(inner.values())).around
        rotation = rotary(torch.cat(seconds), self.rotated, around)
        for block in self.trunk:
            tokens = block(tokens, told, places, rotation)
        split = tokens.split([shape[1] * shape[2] for shape in shapes], dim=1)
        return {n: i._replace(tokens=t.reshape(i.tokens.shape)) for (n, i), t in zip(inner.items(), split, strict=True)}

    def _told(self, exchange: Exchange, inner: dict[str, Inner], circular: bool) -> dict[str, Inner]:
        """The same, each stream having heard what every other one holds at each of its moments."""
        if len(inner) < 2:
            return inner
        moments = {n: self._part(n).moments(i.embedding) for n, i in inner.items()}
        heard = exchange({n: i.tokens for n, i in inner.items()}, moments, circular)
        return {n: i._replace(embedding=i.embedding + heard[n]) for n, i in inner.items()}

    def _part(self, name: str) -> StreamLevels:
        return cast(StreamLevels, self.streams[name])
