"""Clips from a denoiser: keyed noise, a fixed micro-batch, and the sampling loop, window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from mediadiff.clip import Clip
from mediadiff.diffusion.denoiser import Denoiser
from mediadiff.diffusion.guidance import guided
from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.diffusion.streams import Standard
from mediadiff.diffusion.tasks import sample_task
from mediadiff.domains.base import Domain, Shape
from mediadiff.errors import UsageError
from mediadiff.nn.condition import Condition, Timeline
from mediadiff.rendering import timeline
from mediadiff.rendering.abreast import abreast, processors
from mediadiff.rendering.given import notes
from mediadiff.rendering.making import Making, task_of
from mediadiff.rendering.request import Request
from mediadiff.rendering.windows import Window, windows
from mediadiff.rng import generator, normal

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    longest: Fraction | None = None
    """The length that the model was trained at, in seconds: longer clips are made in windows of it. None: in one."""
    check: Callable[[], object] = lambda: None
    """Called before each evaluation of the network; what it raises ends the work."""

    @property
    def bf16(self) -> bool:
        """Whether the network computes in bfloat16."""
        return next(self.denoiser.network.parameters()).dtype == torch.bfloat16

    def render(
        self, requests: Iterator[Request] | Sequence[Request], seconds: Fraction, sampling: SamplingSettings
    ) -> Iterator[Clip]:
        """One clip for each request, in order, each `seconds` long; micro-batches are made side by side.

        A clip's bytes depend on its request and these settings alone: its noise is drawn from the key (seed, index,
        stream), and the network always sees `sampling.batch` clips, the last batch padded.
        """
        queue = iter(requests)
        groups = iter(lambda: list(islice(queue, sampling.batch)), [])

        def made(generator: Generator, group: list[Request]) -> list[Clip | Exception]:
            return list(generator.attempts(group, seconds, sampling))

        for clips in self.abreast(made, groups, sampling.threads):
            for clip in clips:
                if isinstance(clip, Exception):
                    raise clip
                yield clip

    def abreast(self, work: Callable[[Generator, Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
        """`work(generator, item)` for each item, in order, as many at the same time as processors allow.

        `count` is the threads that one takes. The generator is this one, but gives up once nobody waits for the work.
        """
        at_once = max(1, processors() // count)
        try:
            yield from abreast(lambda item, check: work(replace(self, check=check), item), items, at_once)
        finally:
            # A thread that begins later takes the number that was set last, in whichever thread.
            torch.set_num_threads(torch.get_num_threads())

    def attempts(
        self, group: Sequence[Request], seconds: Fraction, sampling: SamplingSettings
    ) -> Iterator[Clip | Exception]:
        """For each request of one micro-batch its clip, or the error that it met."""
        if sampling.autoguidance != 1 and self.weak is None:
            raise UsageError("this model has no early snapshot for autoguidance: leave autoguidance at 1")
        passes = self._passes(seconds)
        # A dummy fills the batch up: the shape that the network sees is part of what the bits depend on.
        dummies = [replace(group[0], index=-1, files={})] * (sampling.batch - len(group))
        rows = [self._making(request, seconds, passes) for request in [*group, *dummies]]
        made = rows[: len(group)]
        for row in made:
            row.prepare()
        for window in passes[:-1]:
            for row, x in zip(made, self.encoded(rows, window, sampling), strict=False):
                with threads(sampling.threads):
                    row.add(window, x)
        # What the last window comes to is decoded clip by clip, as each is asked for.
        able = any(row.error is None for row in made)
        encoded = self.encoded(rows, passes[-1], sampling) if able else [{}] * len(made)
        for row, x in zip(made, encoded, strict=False):
            yield row.error or self._finished(row, passes[-1], x, sampling.threads)

    @staticmethod
    def _finished(row: Making, window: Window, x: Mapping[str, Tensor], count: int) -> Clip | Exception:
        """The clip after its last window, made with `count` threads, or the error that it met."""
        try:
            with threads(count):
                row.add(window, x)
                return row.error or row.clip()
        except Exception as error:
            return error

    def fitted(self, request: Request, seconds: Fraction) -> list[str]:
        """How the files of a request are fitted to the model, in words. Raises what its clip would meet."""
        row = self._making(request, seconds, self._passes(seconds))
        row.prepare()
        if row.error:
            raise row.error
        return notes(request, self.domains, seconds)

    @torch.no_grad()
    def encoded(self, rows: Sequence[Making], window: Window, sampling: SamplingSettings) -> list[dict[str, Tensor]]:
        """One window of each clip of a micro-batch, in the network's scale: `[C, T, H, W]` for each stream."""
        requests = [row.request for row in rows]
        shapes = {n: self._shape(n, steps) for n, steps in window.steps.items()}
        # The first window is what a short clip would be.
        key = (window.number,) if window.number else ()
        noise = {
            name: torch.stack([normal(shape, r.seed, r.index, name, *key) for r in requests])
            for name, shape in shapes.items()
        }
        around = {"circular": requests[0].loop}
        weak = self.weak and partial(self.weak, **around)
        at = timeline.middles(window, self.domains)

        def strong(*seen: Any) -> dict[str, Tensor]:
            self.check()
            out: dict[str, Tensor] = self.denoiser(*seen, **around)
            return out

        denoise = guided(strong, sampling, self._weight(requests, sampling, at), weak)
        generators = [generator(r.seed, r.index, "sampler", *key) for r in requests]
        task = task_of(rows, window, shapes)
        with threads(sampling.threads):
            x = sample_task(denoise, noise, self._condition(requests, at), sampling, generators, task)
        return [{name: values[i] for name, values in x.items()} for i in range(len(rows))]

    def _passes(self, seconds: Fraction) -> list[Window]:
        multiples = {name: self._multiple(name) for name in self.domains}
        return windows(self.domains, multiples, seconds, self.longest)

    def _making(self, request: Request, seconds: Fraction, passes: Sequence[Window]) -> Making:
        steps = {name: passes[-1].end(name) for name in self.domains}
        return Making(request, self.domains, self.standards, seconds, steps)

    def _multiple(self, name: str) -> int:
        return self.denoiser.network.multiple(name)  # type: ignore[operator]

    def _condition(self, requests: Sequence[Request], at: Mapping[str, np.ndarray]) -> Condition | Timeline:
        turns = [timeline.labels(request) for request in requests]
        if not turns[0]:
            return self._asked([request.label for request in requests], requests)
        conditions = [self._asked(list(names), requests) for names in zip(*turns, strict=True)]
        return Timeline(conditions, timeline.shares(requests, at))

    def _asked(self, labels: Sequence[str | None], requests: Sequence[Request]) -> Condition:
        return Condition.of(
            torch.tensor([-1 if label is None else self.labels.index(label) for label in labels]),
            [r.caption for r in requests],
            torch.tensor(
                [[(r.scalars.get(n, math.nan) - s.mean) / s.std for n, s in self.scalars.items()] for r in requests]
            ),
        )

    def _weight(
        self, requests: Sequence[Request], sampling: SamplingSettings, at: Mapping[str, np.ndarray]
    ) -> dict[str, Tensor]:
        """Each stream's guidance; where nothing is asked for there is nothing to guide towards."""
        asked = [bool(r.label is not None or r.caption or r.scalars or timeline.labels(r)) for r in requests]
        usual = {n: [sampling.guidance_of(n) if a else 1.0 for a in asked] for n in self.domains}
        if not requests[0].timeline:
            return {n: torch.tensor(weight) for n, weight in usual.items()}
        return {
            n: torch.stack([timeline.guidance(r, at[n], w) for r, w in zip(requests, weight, strict=True)])
            for n, weight in usual.items()
        }

    def _shape(self, name: str, steps: int) -> Shape:
        channels, _, height, width = self.domains[name].shape(steps / self.domains[name].rate)
        return (channels, steps, height, width)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch computes with `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
