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
from mediadiff.diffusion.schedulers import karras
from mediadiff.diffusion.settings import SIGMA_MAX, SIGMA_MIN, SamplingSettings
from mediadiff.diffusion.streams import Streams

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
    known = {name: task.known[name] for name in noise if name in task.known}
    values = {name: task.values[name] for name in known}
    for name, strength in task.along.items():
        if (still := strength <= 0).any():
            there = known.get(name, torch.zeros_like(still))
            values[name] = torch.where(cells(there), values.get(name, task.start[name]), task.start[name])
            known[name] = there | still

    def asked(x: Streams, sigma: Mapping[str, float]) -> dict[str, Tensor]:
        levels = {n: torch.full((len(value), value.shape[2]), sigma[n]) for n, value in x.items()}
        levels |= {name: levels[name].masked_fill(mask, 0.0) for name, mask in known.items()}
        out = denoise(x, levels, condition)
        for name, strength in task.along.items():
            # What may change less joins the walk later, at its last level at the latest: until then it is the start,
            # seen through noise.
            joins = level_of(strength).clamp_min(float(walks[name][-1]))
            waits = joins < sigma[name] * 0.999
            out[name] = torch.where(cells(waits), task.start[name], out[name])
        return out

    top, steps, start = SIGMA_MAX, settings.steps, dict(task.start)
    if task.start:
        top, steps = level_of(task.strength), steps_of(settings, task.strength)
    if task.along:
        start = {n: x * cells(task.along[n] < 1) for n, x in start.items()}
    elif task.strength == 1:
        start = {}
    walks = {name: karras(steps, settings.sigma_min_of(name), top) for name in noise}
    given = {name: (cells(mask), values[name]) for name, mask in known.items()}
    return sample(asked, noise, walks, settings.sampler, generators, start, given)


def level_of(strength: Strength) -> Strength:
    """The noise level that a strength from 0 to 1 stands for: even steps of it are the steps of a full walk."""
    low, high = _place(SIGMA_MIN), _place(SIGMA_MAX)
    level: Strength = (low + strength * (high - low)) ** 7
    return level


def steps_of(settings: SamplingSettings, strength: float) -> int:
    """The steps from the level of a strength, as far apart as those of a full walk; one at least."""
    # Of several walks the shortest: the others have so many steps too.
    lowest = settings.sigma_min.values() if isinstance(settings.sigma_min, dict) else [settings.sigma_min]
    low, high = _place(max(lowest)), _place(SIGMA_MAX)
    # The part of the walk that is left; where it goes down to SIGMA_MIN, just the strength.
    part = strength - (1 - strength) * (low - _place(SIGMA_MIN)) / (high - low)
    return max(1, math.ceil(settings.steps * part))


def _place(sigma: float) -> float:
    """A noise level on the scale on which the levels of a walk lie evenly."""
    return sigma ** (1 / 7)
