"""Clips from a denoiser: keyed noise, a fixed micro-batch, the sampling loop, and the domains' way back to media."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.diffusion.denoiser import Denoiser
from mediadiff.diffusion.guidance import guidance_of, guided
from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.diffusion.streams import Packing, Standard
from mediadiff.diffusion.tasks import Task, sample_task
from mediadiff.domains.base import Domain
from mediadiff.errors import ClipError, UsageError
from mediadiff.nn.condition import Condition
from mediadiff.rendering.request import Request
from mediadiff.rng import generator, normal


@dataclass(frozen=True)
class Generator:
    """A denoiser with all that turns its output into clips."""

    denoiser: Denoiser
    domains: Mapping[str, Domain]
    standards: Mapping[str, Standard]
    labels: Sequence[str]
    scalars: Mapping[str, Standard]
    weak: Denoiser | None = None
    """An early snapshot of the same training, for autoguidance."""

    @property
    def bf16(self) -> bool:
        """Whether the network computes in bfloat16."""
        return next(self.denoiser.network.parameters()).dtype == torch.bfloat16

    def render(
        self, requests: Iterator[Request] | Sequence[Request], seconds: Fraction, sampling: SamplingSettings
    ) -> Iterator[Clip]:
        """One clip for each request, in order, each `seconds` long.

        A clip's bytes depend on its request and these settings alone: its noise is drawn from the key (seed, index,
        stream), and the network always sees `sampling.batch` clips, the last batch padded.
        """
        queue = iter(requests)
        while group := list(islice(queue, sampling.batch)):
            for clip in self.attempts(group, seconds, sampling):
                if isinstance(clip, Exception):
                    raise clip
                yield clip

    def attempts(
        self, group: Sequence[Request], seconds: Fraction, sampling: SamplingSettings
    ) -> Iterator[Clip | Exception]:
        """For each request of one micro-batch its clip, or the error that it met."""
        if sampling.autoguidance != 1 and self.weak is None:
            raise UsageError("this model has no early snapshot for autoguidance: leave autoguidance at 1")
        # A dummy fills the batch up: the shape that the network sees is part of what the bits depend on.
        padded = [*group, *[replace(group[0], index=-1)] * (sampling.batch - len(group))]
        encoded = self.encoded(padded, seconds, sampling)
        for row, request in enumerate(group):
            try:
                yield self.decode({name: x[row] for name, x in encoded.items()}, request, seconds, sampling.threads)
            except Exception as error:
                yield error

    @torch.no_grad()
    def encoded(self, requests: Sequence[Request], seconds: Fraction, sampling: SamplingSettings) -> dict[str, Tensor]:
        """The clips of one micro-batch in their domains: `[B, C, T, H, W]` for each stream."""
        packing = Packing({name: self._shape(name, seconds) for name in self.domains})
        noise = {
            name: torch.stack([normal(shape, r.seed, r.index, name) for r in requests])
            for name, shape in packing.shapes.items()
        }
        condition = Condition.of(
            torch.tensor([-1 if r.label is None else self.labels.index(r.label) for r in requests]),
            [r.caption for r in requests],
            torch.tensor(
                [[(r.scalars.get(n, math.nan) - s.mean) / s.std for n, s in self.scalars.items()] for r in requests]
            ),
        )
        # Where nothing is asked for there is nothing to guide towards.
        asked = [r.label is not None or bool(r.caption or r.scalars) for r in requests]
        weight = {n: torch.tensor([guidance_of(sampling, n) if a else 1.0 for a in asked]) for n in packing.shapes}
        denoise = guided(self.denoiser, sampling, weight, self.weak)

        generators = [generator(r.seed, r.index, "sampler") for r in requests]
        with threads(sampling.threads):
            x = sample_task(denoise, packing, noise, condition, sampling, generators, Task())
        return {name: self.standards[name].inverse(value) for name, value in x.items()}

    def decode(self, encoded: Mapping[str, Tensor], request: Request, seconds: Fraction, count: int = 1) -> Clip:
        """The clip of one row of `encoded`, cut to `seconds`, computed with `count` threads."""
        streams: dict[str, Any] = {}
        for name, x in encoded.items():
            if not torch.isfinite(x).all():
                said = f"clip {request.index}: the model gave values that are not finite in stream {name}"
                raise ClipError("not finite", said)
            domain = self.domains[name]
            with threads(count):
                streams[domain.medium] = trim(domain.decode(x), seconds)
        return Clip(**streams, label=request.label)

    def _shape(self, name: str, seconds: Fraction) -> tuple[int, int, int, int]:
        """The stream's shape, its time steps rounded up to what the network takes."""
        channels, steps, height, width = self.domains[name].shape(seconds)
        multiple = self.denoiser.network.multiple(name)  # type: ignore[operator]
        return (channels, -(-steps // multiple) * multiple, height, width)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch computes with `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def trim(stream: Sound | Picture, seconds: Fraction) -> Sound | Picture:
    """The stream without what lies beyond `seconds`."""
    if isinstance(stream, Sound):
        return Sound(stream.samples[:, : max(1, round(seconds * stream.sample_rate))], stream.sample_rate)
    return Picture(stream.frames[: max(1, round(seconds * stream.rate))], stream.rate)
