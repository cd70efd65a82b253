"""Guidance: steering the denoiser between what it predicts with and without the condition, or with weaker weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mediadiff.diffusion.denoiser import cells
from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.diffusion.streams import Streams

Denoise = Callable[[Streams, Streams, Any], dict[str, Tensor]]


def guided(
    denoise: Denoise, settings: SamplingSettings, weight: Mapping[str, Tensor], weak: Denoise | None = None
) -> Denoise:
    """A denoiser that is guided where the noise level is inside the interval of the settings.

    `weight` is the classifier-free guidance of each stream (arXiv 2207.12598; 1 is none), `[B]`, or `[B, T]` where it
    changes along time; `weak` an early snapshot of the same model for autoguidance (arXiv 2406.02507, eq. 3). Synchrony
    is guidance by what the same model predicts for each stream alone. The condition is hidden by its own `hidden`.
    """
    free = any(bool((w != 1).any()) for w in weight.values())
    every = torch.ones(len(next(iter(weight.values()))), dtype=torch.bool)
    by = {n: (w - 1).reshape(len(w), 1, -1, 1, 1) for n, w in weight.items()}

    def run(x: Streams, sigma: Streams, condition: Any) -> dict[str, Tensor]:
        strong = denoise(x, sigma, condition)
        inside = {n: (settings.guidance_low <= s) & (s <= settings.guidance_high) & (s > 0) for n, s in sigma.items()}
        if not any(bool(mask.any()) for mask in inside.values()):
            return strong
        here = {n: cells(mask).float() for n, mask in inside.items()}
        out = strong
        if free:
            blind = denoise(x, sigma, condition.hidden(every))
            out = {n: out[n] + here[n] * by[n] * (strong[n] - blind[n]) for n in out}
        if weak is not None and settings.autoguidance != 1:
            less = weak(x, sigma, condition)
            out = {n: out[n] + here[n] * (settings.autoguidance - 1) * (strong[n] - less[n]) for n in out}
        if settings.synchrony != 1 and len(x) > 1:
            alone = {n: denoise({n: x[n]}, {n: sigma[n]}, condition)[n] for n in x}
            out = {n: out[n] + here[n] * (settings.synchrony - 1) * (strong[n] - alone[n]) for n in out}
        return out

    return run
