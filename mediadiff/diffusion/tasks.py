"""Every task is a map of noise over (stream x time): what is known has level 0, what is wanted starts at the top."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from mediadiff.diffusion.denoiser import cells
from mediadiff.diffusion.guidance import Denoise
from mediadiff.diffusion.sampling import sample
from mediadiff.diffusion.settings import SIGMA_MAX, SIGMA_MIN, SamplingSettings
from mediadiff.diffusion.streams import Packing, Streams

Strength = TypeVar("Strength", float, Tensor)


@dataclass(frozen=True)
class Task:
    """What of a batch of clips is known, and where sampling starts; as it stands, nothing is, and all is generated.

    Tensors are in the network's scale: zero mean, unit variance. A stream that is not named is wanted whole.
    """

    values: Mapping[str, Tensor] = field(default_factory=dict)
    """`[B, C, T, H, W]` for each stream of `known`; what stands where nothing is known does not matter."""
    known: Mapping[str, Tensor] = field(default_factory=dict)
    """bool `[B, T]`: true where the values are kept, bit for bit."""
    start: Mapping[str, Tensor] = field(default_factory=dict)
    """`[B, C, T, H, W]` of every stream: data to vary. Empty: from noise alone."""
    strength: float = 1.0
    """How far `start` may change: at 1 it is forgotten, at 0 it comes back as it is."""
    along: Mapping[str, Tensor] = field(default_factory=dict)
    """`[B, T]` of every stream: strengths along time, `strength` the highest of them. Empty: the same all along."""
    circular: bool = False
    """Whether the end of a clip goes on at its beginning."""


def sample_task(
    denoise: Denoise,
    packing: Packing,
    noise: Streams,
    condition: Any,
    settings: SamplingSettings,
    generators: Sequence[torch.Generator],
    task: Task,
) -> dict[str, Tensor]:
    """A batch of clips `[B, C, T, H, W]` for each stream, in the network's scale.

    `denoise(x, sigma, condition)` is the (guided) denoiser, `noise` is of unit variance, `generators` has one entry per
    clip. With `circular` the denoiser is expected to treat time as a circle itself.
    """
    if task.start and task.strength <= 0:
        return dict(task.start)
    batch = next(iter(noise.values())).shape[0]
    known = {name: task.known[name] for name in packing.shapes if name in task.known}
    values = {name: task.values[name] for name in known}
    for name, strength in task.along.items():
        if (still := strength <= 0).any():
            there = known.get(name, torch.zeros_like(still))
            values[name] = torch.where(cells(there), values.get(name, task.start[name]), task.start[name])
            known[name] = there | still

    def flat(x: Tensor, sigma: float) -> Tensor:
        levels = packing.steps(batch, sigma)
        levels |= {name: levels[name].masked_fill(mask, 0.0) for name, mask in known.items()}
        out = denoise(packing.unpack(x), levels, condition)
        for name, strength in task.along.items():
            # What may change less joins the walk later: until then it is the start, seen through noise.
            waits = level_of(strength) < sigma * 0.999
            out[name] = torch.where(cells(waits), task.start[name], out[name])
        return packing.pack(out)

    given = None
    if known:
        mask = {n: _cells(known.get(n), batch, shape) for n, shape in packing.shapes.items()}
        filled = {n: values.get(n, torch.zeros(batch, *shape)) for n, shape in packing.shapes.items()}
        given = packing.pack(mask), packing.pack(filled)
    top, steps = SIGMA_MAX, settings.steps
    if task.start:
        top, steps = level_of(task.strength), steps_of(settings, task.strength)
    start = None
    if task.along:
        start = packing.pack({n: x * cells(task.along[n] < 1) for n, x in task.start.items()})
    elif task.start and task.strength < 1:
        start = packing.pack(task.start)
    low = settings.sigma_min
    x = sample(flat, packing.pack(noise), settings.sampler, steps, generators, start, top, low, given)
    return packing.unpack(x)


def level_of(strength: Strength) -> Strength:
    """The noise level that a strength from 0 to 1 stands for: even steps of it are the steps of a full walk."""
    low, high = _place(SIGMA_MIN), _place(SIGMA_MAX)
    level: Strength = (low + strength * (high - low)) ** 7
    return level


def steps_of(settings: SamplingSettings, strength: float) -> int:
    """The steps from the level of a strength, as far apart as those of a full walk; one at least."""
    low, high = _place(settings.sigma_min), _place(SIGMA_MAX)
    # The part of the walk that is left; where it goes down to SIGMA_MIN, just the strength.
    part = strength - (1 - strength) * (low - _place(SIGMA_MIN)) / (high - low)
    return max(1, math.ceil(settings.steps * part))


def _place(sigma: float) -> float:
    """A noise level on the scale on which the levels of a walk lie evenly."""
    return sigma ** (1 / 7)


def _cells(known: Tensor | None, batch: int, shape: tuple[int, int, int, int]) -> Tensor:
    c, t, h, w = shape
    steps = torch.zeros(batch, t, dtype=torch.bool) if known is None else known
    return cells(steps).expand(batch, c, t, h, w)
