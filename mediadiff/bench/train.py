"""What training by a recipe does on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from mediadiff.bench.counting import count
from mediadiff.bench.peak import Peak, peak
from mediadiff.bench.profile import phase, where
from mediadiff.bench.subject import Subject, peak_memory
from mediadiff.bench.timing import Timing, timed
from mediadiff.recipe import TrainRecipe
from mediadiff.training.memory import kept
from mediadiff.training.muon import TURNS


@dataclass(frozen=True)
class Training:
    """Figures of one recipe. A step is all that training does for a batch, its loading among it."""

    parameters: int
    batch: int
    threads: int
    step: Timing
    forward: Timing
    """The network's prediction for a batch, and nothing else."""
    step_flops: int
    forward_flops: int
    operations: int
    """Of a step, as torch dispatches them."""
    clips_per_second: float
    media_seconds_per_second: float
    peak: Peak
    step_share: float
    """Of the machine's peak."""
    forward_share: float
    memory_bytes: int
    where: dict[str, float]
    """Shares of a step's time."""


def measure(recipe: TrainRecipe, folder: Path, budget: float) -> Training:
    """Measures some steps, for about `budget` seconds each figure; what it makes goes into `folder`."""
    subject = Subject.of(recipe, folder)
    trainer, batches = subject.trainer, subject.batches()
    before = peak(trainer.denoiser.bf16, budget / 20)
    with kept():
        step = timed(lambda: trainer.step(next(batches)), budget)
    memory = peak_memory()

    batch = subject.batch(0)
    x = {name: trainer.standards[name].forward(values) for name, values in batch.streams.items()}
    sigma = {name: torch.ones(values.shape[0], values.shape[2]) for name, values in x.items()}

    @torch.no_grad()
    def predict() -> None:
        trainer.denoiser.raw(x, sigma, trainer.condition(batch))

    def loaded_step() -> None:
        with phase("data"):
            loaded = next(batches)
        trainer.step(loaded)

    forward = timed(predict, budget / 2)
    highest = peak(trainer.denoiser.bf16, budget / 20).beside(before)
    counts, forward_flops = count(lambda: trainer.step(batch), TURNS), count(predict).flops
    with kept():
        spent = where(loaded_step)
    size = recipe.training.batch
    return Training(
        parameters=sum(p.numel() for p in trainer.optimizer.parameters),
        batch=size,
        threads=torch.get_num_threads(),
        step=step,
        forward=forward,
        step_flops=counts.flops,
        forward_flops=forward_flops,
        operations=counts.operations,
        clips_per_second=size / step.seconds,
        media_seconds_per_second=size * recipe.seconds / step.seconds,
        peak=highest,
        step_share=counts.flops / step.seconds / highest.rate,
        forward_share=forward_flops / forward.seconds / highest.rate,
        memory_bytes=memory,
        where=spent,
    )
