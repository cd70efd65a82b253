"""A clip while it is made, window by window: its streams so far, and what it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.diffusion.streams import Standard
from mediadiff.diffusion.tasks import Task
from mediadiff.domains.base import Domain, Shape
from mediadiff.errors import ClipError, MediadiffError
from mediadiff.rendering import timeline
from mediadiff.rendering.given import Material, materials
from mediadiff.rendering.request import Request
from mediadiff.rendering.windows import Window


class Making:
    """One clip of `seconds`, made in `steps` time steps of each stream."""

    def __init__(
        self,
        request: Request,
        domains: Mapping[str, Domain],
        standards: Mapping[str, Standard],
        seconds: Fraction,
        steps: Mapping[str, int],
    ):
        self.request = request
        self.domains = domains
        self.standards = standards
        self.seconds = seconds
        self.steps = steps
        self.given: Mapping[str, Material] = {}
        self.start: Mapping[str, Tensor] = {}
        """The file to vary, `[C, T, H, W]` in the network's scale."""
        self.last: dict[str, Tensor] = {}
        """The last window, in the network's scale."""
        self.parts: dict[str, list[np.ndarray]] = {name: [] for name in domains}
        """What each window added: samples `[channels, N]`, or frames `[N, H, W, 3]`."""
        self.error: MediadiffError | None = None
        """Why there is no clip."""

    def prepare(self) -> None:
        """Reads the files that the clip is given."""
        try:
            self.given, start = materials(self.request, self.domains, self.seconds, self.steps)
            self.start = {name: self.standards[name].forward(x) for name, x in start.items()}
        except MediadiffError as error:
            self.error = error

    def known(self, name: str, window: Window) -> tuple[Tensor | None, Tensor]:
        """What of a window is known of a stream: values `[C, T, H, W]`, if any, and at which steps, bool `[T]`."""
        known = torch.zeros(window.steps[name], dtype=torch.bool)
        values = None
        if name in self.given:
            here = slice(window.begin[name], window.end(name))
            known = known | self.given[name].known[here]
            values = self.standards[name].forward(self.given[name].x[:, here])
        if window.number and name in self.last:
            done = window.done[name]
            values = torch.zeros_like(self.last[name]) if values is None else values.clone()
            # What the window before was given is in it, bit for bit.
            values[:, :done] = self.last[name][:, -done:]
            known[:done] = True
        return values, known

    def add(self, window: Window, x: Mapping[str, Tensor]) -> None:
        """Takes what a window came to: `[C, T, H, W]` for each stream, in the network's scale."""
        self.last = dict(x)
        for name, values in x.items():
            if self.error is None and not torch.isfinite(values).all():
                said = f"clip {self.request.index}: the model gave values that are not finite in stream {name}"
                self.error = ClipError("not finite", said)
            material = self.given.get(name)
            if self.error is None and (material is None or material.own is None):
                self._decode(name, window, self.standards[name].inverse(values), material)

    def clip(self) -> Clip:
        """The clip, cut to its length."""
        streams: dict[str, Any] = {}
        for name, domain in self.domains.items():
            own = self.given[name].own if name in self.given else None
            # A copy: what is given is kept for other clips, and whoever gets this one may change it.
            streams[domain.medium] = deepcopy(own) or self._joined(name, domain)
        return Clip(**streams, label=self.request.label)

    def _decode(self, name: str, window: Window, x: Tensor, material: Material | None) -> None:
        domain: Any = self.domains[name]
        stream: Sound | Picture
        if domain.medium == "picture":
            stream = domain.decode_around(x) if self.request.loop else domain.decode(x)
            assert isinstance(stream, Picture)
            frames = stream.frames
            if material is not None:
                kept, share = material.part(window.begin[name], len(frames))
                frames = np.where(share[:, None, None, None] == 1, kept, frames)
            # A copy: a part of an array would keep all of it.
            self.parts[name].append(frames[window.done[name] :].copy())
            return
        # Samples to a step.
        unit = domain.sample_rate / domain.rate
        begin, count, done = (round(steps * unit) for steps in (window.begin[name], x.shape[1], window.done[name]))
        settled, where = np.zeros((domain.channels, count), np.float32), np.zeros(count, bool)
        kept, share = material.part(begin, count) if material else (settled, np.zeros(count, np.float32))
        settled[:, share > 0], where[share > 0] = kept[:, share > 0], True
        if done:
            # A window makes about half of its length anew, a step less where clocks do not divide: the last three hold
            # all that it shares with the next.
            settled[:, :done] = np.concatenate(self.parts[name][-3:], axis=1)[:, -done:]
            where[:done] = True
        if where.any():
            stream = domain.decode_beside(x, Sound(settled, domain.sample_rate), where)
        else:
            stream = domain.decode_around(x) if self.request.loop else domain.decode(x)
        assert isinstance(stream, Sound)
        samples = stream.samples
        if material is not None:
            mixed = (samples * (1 - share) + kept * share).astype(np.float32)
            samples = np.where(share == 1, kept, mixed)
        self.parts[name].append(samples[:, done:].copy())

    def _joined(self, name: str, domain: Any) -> Sound | Picture:
        parts = self.parts[name]
        if domain.medium == "picture":
            rate = Fraction(getattr(domain, "frame_rate", domain.rate))
            return Picture(np.concatenate(parts)[: max(1, round(self.seconds * rate))], rate)
        samples = np.concatenate(parts, axis=1)
        return Sound(samples[:, : max(1, round(self.seconds * domain.sample_rate))], domain.sample_rate)


def task_of(rows: Sequence[Making], window: Window, shapes: Mapping[str, Shape]) -> Task:
    """What of a window of a micro-batch is known, and what it starts from."""
    found = {name: [row.known(name, window) for row in rows] for name in shapes}
    found = {name: each for name, each in found.items() if any(bool(known.any()) for _, known in each)}
    zeros = {name: torch.zeros(shape) for name, shape in shapes.items()}
    values = {n: torch.stack([zeros[n] if x is None else x for x, _ in each]) for n, each in found.items()}
    known = {n: torch.stack([known for _, known in each]) for n, each in found.items()}
    request = rows[0].request
    if not request.start:
        return Task(values, known, circular=request.loop)
    start = {}
    for name in shapes:
        here = slice(window.begin[name], window.end(name))
        start[name] = torch.stack([row.start[name][:, here] if row.start else zeros[name] for row in rows])
    highest = max((m.strength for m in request.timeline if m.strength is not None), default=None)
    if highest is None:
        return Task(values, known, start, request.strength)
    at = timeline.middles(window, rows[0].domains)
    along = {name: torch.stack([timeline.strength(row.request, at[name]) for row in rows]) for name in shapes}
    return Task(values, known, start, highest, along)
