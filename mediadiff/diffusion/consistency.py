"""Easy consistency tuning (arXiv 2406.14548): a denoiser learns to answer alike all along a path from noise to data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mediadiff.diffusion.denoiser import Denoiser, cells
from mediadiff.diffusion.guidance import Denoise
from mediadiff.diffusion.lesson import Lesson
from mediadiff.diffusion.settings import SIGMA_MAX, ConsistencySettings
from mediadiff.diffusion.streams import Streams

SOFT = 1e-3
"""Below this weighed error the metric is a square, above it a distance (a pseudo-Huber loss)."""


@dataclass(frozen=True)
class Consistency:
    """The loss of a student: its answer at a level t against its own, held fixed, at a lower level r of the same path.

    The path goes straight from the noisy clip to where the guided teacher sends it (arXiv 2303.01469, algorithm 2, with
    Euler's step), so that the student has the guidance in it and is sampled without. The clean clip in its place is one
    of many that may lie behind the noisy one: a student that is shown now one, now another learns to answer between.
    Every cell of a map of noise has a path of its own; what is given stays.
    """

    logarithmic: ClassVar[bool] = False
    critic: ClassVar[None] = None
    settings: ConsistencySettings
    teacher: Denoise
    """Guided as its clips are sampled."""
    lowest: Callable[[str], float]
    """The level of a stream below which the teacher is not asked in sampling."""

    def __call__(self, denoiser: Denoiser, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the squared distance of the two answers per clip, `[B]` for each stream."""
        # A walk begins at SIGMA_MAX: what is drawn above it makes the answer there, which counts most, better.
        t = {n: s.clamp_max(SIGMA_MAX) for n, s in lesson.sigma.items()}
        x = {n: clean + cells(t[n]) * lesson.noise[n] for n, clean in lesson.clean.items()}
        target = self.target(denoiser, x, t, lesson.condition, lesson.progress)
        total, errors = torch.zeros(()), {}
        for name, answer in denoiser(x, t, lesson.condition).items():
            noisy = t[name] > 0
            count = noisy.sum(1).clamp_min(1)
            # 1 / t^2 + 1 / sigma_data^2, for data of unit variance: as the paper weighs distances.
            weight = 1 + t[name].masked_fill(~noisy, 1.0) ** -2
            error = (answer - target[name]).square().mean(dim=(1, 3, 4)) * noisy
            weighed = (weight**2 * error).sum(1) / count
            # By clip, so that one far off does not outweigh the others; from the root the paper takes.
            distance = (weighed + SOFT**2).sqrt() - SOFT
            total = total + distance.sum() / noisy.any(1).sum().clamp_min(1)
            errors[name] = error.sum(1).detach() / count
        return total, errors

    @torch.no_grad()
    def target(self, denoiser: Denoiser, x: Streams, t: Streams, condition: Any, progress: float) -> Streams:
        """What the student answers at the lower levels of the paths through `x`.

        Their ends at level 0, and below the level where the teacher's sampling ends.
        """
        ends = self.teacher(x, t, condition)
        part = {n: kept(self.settings, level, progress) for n, level in t.items()}
        # Where the teacher's own sampling no longer asks, its network takes noise for detail, and the student would
        # learn to leave a grain: there the path's end is the answer.
        part = {n: p * (p * t[n] >= self.lowest(n)) for n, p in part.items()}
        below = {n: torch.lerp(ends[n], x[n], cells(part[n])) for n in x}
        levels = {n: level * part[n] for n, level in t.items()}
        # Where all of a batch comes down to level 0 there is nothing to ask.
        return denoiser(below, levels, condition) if any(r.any() for r in levels.values()) else below


def kept(settings: ConsistencySettings, t: Tensor, progress: float) -> Tensor:
    """`r / t`, in 0..1: the part of a level that is left at the lower end, nearer to 1 from stage to stage.

    `1 - n(t) / q^stage` with `n(t) = 1 + 8 sigmoid(-t)`, t in units of the data's deviation in the paper, which is 0.5
    (section 3.2): at low levels the step goes further down than at high ones, and in the first stages down to 0.
    """
    stage = min(int(progress * settings.stages), settings.stages - 1) + 1
    return (1 - (1 + 8 * torch.sigmoid(-t / 2)) / settings.q**stage).clamp_min(0)
