"""Densities of the noise levels that training draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mediadiff.diffusion.settings import DiffusionSettings

DDPM_STEPS = 1000


def ddpm_sigmas(schedule: str) -> Tensor:
    """Sigma at each of the 1000 steps of a DDPM schedule, rising.

    `linear` is that of arXiv 2006.11239, section 4; `cosine` that of arXiv 2102.09672, equation 17.
    """
    if schedule == "linear":
        kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, DDPM_STEPS, dtype=torch.float64), 0)
    else:
        at = torch.arange(DDPM_STEPS + 1, dtype=torch.float64) / DDPM_STEPS
        curve = torch.cos((at + 0.008) / 1.008 * math.pi / 2) ** 2
        kept = torch.cumprod(1 - (1 - curve[1:] / curve[:-1]).clamp_max(0.999), 0)
    return ((1 - kept) / kept).sqrt().float()


def draw(settings: DiffusionSettings, count: int, generator: torch.Generator) -> Tensor:
    """`count` noise levels sigma for data of unit variance, float32.

    The quantiles are spread evenly over the batch and shuffled, so that a batch sees every part of the density. For
    rectified flow with logit-normal time (arXiv 2403.03206, section 3.1) sigma = t / (1 - t), hence log sigma is normal
    too: `edm` and `flow` differ in the numbers that suit them and in the target.
    """
    spread = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    if settings.levels in ("edm", "flow"):
        normal = torch.special.ndtri(spread.clamp(1e-6, 1 - 1e-6))
        return (settings.mean + settings.std * normal).exp()
    table = ddpm_sigmas(settings.levels.removeprefix("ddpm_"))
    return table[(spread * DDPM_STEPS).long().clamp_max(DDPM_STEPS - 1)]
