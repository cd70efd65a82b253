"""Guidance: steering the denoiser between what it predicts with and without the condition, or with weaker weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.diffusion.streams import Streams

Denoise = Callable[[Streams, Streams, Any], dict[str, Tensor]]


def guided(denoise: Denoise, settings: SamplingSettings, weight: Tensor, weak: Denoise | None = None) -> Denoise:
    """A denoiser that is guided inside the sigma interval of the settings.

    `weight` `[B]` is the classifier-free guidance of each clip (arXiv 2207.12598; 1 is none), `weak` an early snapshot
    of the same model for autoguidance (arXiv 2406.02507, eq. 3). The condition is hidden by its own `hidden` method.
    """
    free = bool((weight != 1).any())

    def run(x: Streams, sigma: Streams, condition: Any) -> dict[str, Tensor]:
        strong = denoise(x, sigma, condition)
        top = max(float(s.max()) for s in sigma.values())
        if not settings.guidance_low <= top <= settings.guidance_high:
            return strong
        out = strong
        if free:
            every = torch.ones(len(weight), dtype=torch.bool)
            blind = denoise(x, sigma, condition.hidden(every))
            by = (weight - 1)[:, None, None, None, None]
            out = {n: out[n] + by * (strong[n] - blind[n]) for n in out}
        if weak is not None and settings.autoguidance != 1:
            less = weak(x, sigma, condition)
            out = {n: out[n] + (settings.autoguidance - 1) * (strong[n] - less[n]) for n in out}
        return out

    return run
