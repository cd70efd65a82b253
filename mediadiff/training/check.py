"""Is training able to learn at all? Asked before it starts, on one clip."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from mediadiff.data.loader import Batch
from mediadiff.training.memory import kept
from mediadiff.training.step import Trainer

STEPS = 40
"""Enough for every network that learns to bring the error on one clip well below where it began."""
PASSES = 0.85


@kept()
def overfit(trainer: Trainer, batch: Batch) -> float:
    """The squared error on the first clip of `batch` after a short training on it alone, as a part of that before.

    The trainer itself is left as it is. A part above `PASSES` says that this data, domain and network do not fit.
    """
    settings = replace(trainer.settings, clips=10**9, batch=len(batch.labels), warmup=0, drop=0.0)
    parts = trainer.standards, trainer.scalars, settings, trainer.diffusion, trainer.objective
    probe = Trainer(copy.deepcopy(trainer.denoiser), *parts)
    alone = one_clip(batch)
    outcomes = [probe.step(alone) for _ in range(STEPS)]
    first = sum(o.error for o in outcomes[:5]) / 5
    last = sum(o.error for o in outcomes[-5:]) / 5
    return last / first


def one_clip(batch: Batch) -> Batch:
    """The first clip of a batch, repeated to its size."""
    size = len(batch.labels)
    return Batch(
        {n: x[:1].expand(size, *x.shape[1:]).contiguous() for n, x in batch.streams.items()},
        {n: x[:1].expand(size) for n, x in batch.present.items()},
        batch.labels[:1].expand(size),
        batch.captions[:1] * size,
        {n: x[:1].expand(size) for n, x in batch.scalars.items()},
        batch.names[:1] * size,
    )


@torch.no_grad()
def losses_by_level(trainer: Trainer, batches: list[Batch], levels: int = 16) -> tuple[list[float], list[float]]:
    """`(sigmas, errors)`: the squared error of the objective on these batches, at levels from low to high."""
    sigmas = torch.logspace(-2.0, 1.5, levels).tolist()
    errors = [
        sum(trainer.error_at(sigma, batch, key) for key, batch in enumerate(batches)) / len(batches) for sigma in sigmas
    ]
    return sigmas, errors
