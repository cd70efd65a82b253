"""Easy consistency tuning (arXiv 2406.14548): a denoiser learns to answer alike all along a path from noise to data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mediadiff.diffusion.denoiser import Denoiser, cells
from mediadiff.diffusion.guidance import Denoise
from mediadiff.diffusion.settings import SIGMA_MAX, ConsistencySettings, SamplingSettings
from mediadiff.diffusion.streams import Streams

SOFT = 1e-3
"""Below this weighed error the metric is a square, above it a distance (a pseudo-Huber loss)."""


@dataclass(frozen=True)
class Consistency:
    """The loss of a student: its answer at a level t against its own, held fixed, at a lower level r of the same path.

    The path is straight, from the noisy clip to where the guided teacher would send it, so that the student has the
    guidance in it and is sampled without. Every cell of a map of noise has a path of its own; what is given stays.
    """

    settings: ConsistencySettings
    teacher: Denoise
    sampling: SamplingSettings
    """The teacher's. Of this the classifier-free guidance, where it is 1 the teacher is not run, its interval, and
    `sigma_min`."""

    def __call__(
        self, denoiser: Denoiser, clean: Streams, noise: Streams, sigma: Streams, condition: Any, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the squared distance of the two answers per clip, `[B]` for each stream."""
        # A walk begins at SIGMA_MAX: what is drawn above it makes the answer there, which counts most, better.
        t = {n: s.clamp_max(SIGMA_MAX) for n, s in sigma.items()}
        x = {n: clean[n] + cells(t[n]) * noise[n] for n in clean}
        target = self.target(denoiser, clean, x, t, condition, progress)
        total, errors = torch.zeros(()), {}
        for name, answer in denoiser(x, t, condition).items():
            noisy = t[name] > 0
            count = noisy.sum(1).clamp_min(1)
            # 1 / t^2 + 1 / sigma_data^2, for data of unit variance: what the network's output is scaled by, undone.
            weight = 1 + t[name].masked_fill(~noisy, 1.0) ** -2
            error = (answer - target[name]).square().mean(dim=(1, 3, 4)) * noisy
            weighed = (weight**2 * error).sum(1) / count
            # By clip, so that one far off does not outweigh the others; from the root the paper takes.
            distance = (weighed + SOFT**2).sqrt() - SOFT
            total = total + distance.sum() / noisy.any(1).sum().clamp_min(1)
            errors[name] = error.sum(1).detach() / count
        return total, errors

    @torch.no_grad()
    def target(
        self, denoiser: Denoiser, clean: Streams, x: Streams, t: Streams, condition: Any, progress: float
    ) -> Streams:
        """What the student answers at the lower levels of the paths through `x`.

        Their ends at level 0, and below the level where the teacher's sampling ends.
        """
        ends = self.ends(clean, x, t, condition)
        part = {n: kept(self.settings, level, progress) for n, level in t.items()}
        # Where the teacher's own sampling no longer asks, its network takes noise for detail, and the student would
        # learn to leave a grain: there the path's end is the answer.
        part = {n: p * (p * t[n] >= self.sampling.sigma_min_of(n)) for n, p in part.items()}
        below = {n: torch.lerp(ends[n], x[n], cells(part[n])) for n in x}
        levels = {n: level * part[n] for n, level in t.items()}
        # In the first stage most of a batch may come down to level 0, where there is nothing to ask.
        return denoiser(below, levels, condition) if any(r.any() for r in levels.values()) else below

    @torch.no_grad()
    def ends(self, clean: Streams, x: Streams, t: Streams, condition: Any) -> Streams:
        """The clean clips, moved by what guidance adds to the teacher's answer at `x`: `x0 + (w - 1) (D - D_blind)`.

        On average over the clips that may lie behind `x` this is where the guided teacher points.
        """
        low, high = self.sampling.guidance_low, self.sampling.guidance_high
        push = {
            n: (self.sampling.guidance_of(n) - 1) * ((level > 0) & (low <= level) & (level <= high))
            for n, level in t.items()
        }
        rows = torch.stack([p.any(1) for p in push.values()]).any(0).nonzero().flatten()
        if not len(rows):
            return clean
        x, t = {n: v[rows] for n, v in x.items()}, {n: v[rows] for n, v in t.items()}
        asked = condition.of_rows(rows)
        strong = self.teacher(x, t, asked)
        blind = self.teacher(x, t, asked.hidden(torch.ones(len(rows), dtype=torch.bool)))
        return {
            n: clean[n].index_add(0, rows, cells(push[n][rows]) * (strong[n] - blind[n]).to(clean[n])) for n in clean
        }


def kept(settings: ConsistencySettings, t: Tensor, progress: float) -> Tensor:
    """`r / t`, in 0..1: the part of a level that is left at the lower end, nearer to 1 from stage to stage.

    `1 - n(t) / q^stage` with `n(t) = 1 + 8 sigmoid(-t)`, t in units of the data's deviation in the paper, which is 0.5
    (section 3.2): at low levels the step goes further down than at high ones, and in the first stages down to 0.
    """
    stage = min(int(progress * settings.stages), settings.stages - 1) + 1
    return (1 - (1 + 8 * torch.sigmoid(-t / 2)) / settings.q**stage).clamp_min(0)
