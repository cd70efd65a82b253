"""One step of training, a pure function of the state, the batch and the number of clips seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mediadiff.data.loader import Batch
from mediadiff.diffusion.denoiser import Denoiser
from mediadiff.diffusion.lesson import Lesson
from mediadiff.diffusion.maps import draw_maps
from mediadiff.diffusion.matching import Critic
from mediadiff.diffusion.settings import DiffusionSettings
from mediadiff.diffusion.streams import Standard, Streams
from mediadiff.nn.condition import Condition
from mediadiff.rng import generator
from mediadiff.training.averages import Average
from mediadiff.training.course import Course
from mediadiff.training.optimizer import Optimizer
from mediadiff.training.settings import TrainingSettings


def learning_rate(settings: TrainingSettings, clips: int) -> float:
    """The learning rate after `clips` clips: a linear rise, a plateau, and a linear fall to zero at the end."""
    rise = min(1.0, (clips + settings.batch) / max(1, settings.rise))
    fall = min(1.0, max(0.0, settings.clips - clips) / max(1.0, settings.decay * settings.clips))
    return settings.learning_rate * rise * fall


@dataclass(frozen=True)
class Outcome:
    """What a step came to: weighted loss, mean squared error, the gradient's norm, and whether it was taken."""

    loss: float
    error: float
    gradient: float
    finite: bool


class Objective(Protocol):
    """What training minimises."""

    @property
    def logarithmic(self) -> bool:
        """Whether the loss has the logarithm of an error in it."""

    @property
    def critic(self) -> Critic | None:
        """A second network, which learns beside the denoiser from the same loss."""

    def __call__(self, denoiser: Denoiser, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the squared error per clip, `[B]` for each stream."""


class Denoising:
    """The loss of the denoiser itself, the same all through training."""

    logarithmic = True
    critic = None

    def __call__(self, denoiser: Denoiser, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the squared error per clip."""
        return denoiser.loss(lesson.clean, lesson.noise, lesson.sigma, lesson.condition)


class Trainer:
    """The state of training: weights, their average, the optimiser, the clips seen and the time it took."""

    def __init__(
        self,
        denoiser: Denoiser,
        standards: Mapping[str, Standard],
        scalars: Mapping[str, Standard],
        settings: TrainingSettings,
        diffusion: DiffusionSettings,
        objective: Objective | None = None,
    ):
        self.denoiser, self.standards, self.scalars = denoiser, standards, scalars
        self.settings, self.diffusion, self.objective = settings, diffusion, objective or Denoising()
        self.optimizer = Optimizer(denoiser, denoiser.bf16)
        critic = self.objective.critic
        self.critic = Optimizer(critic.denoiser, denoiser.bf16, critic.haste) if critic else None
        """What takes the steps of the objective's second network, where it has one."""
        self.average = Average(denoiser, settings.average)
        self.snapshot: dict[str, Tensor] | None = None
        """The average as it was early on, for autoguidance."""
        self.clips = 0
        self.seconds = 0.0
        """What it took to come here, in all runs together."""
        self.slowdown = 1.0
        """Falls when training had to be rolled back."""
        self.course = Course(self.objective.logarithmic)

    def loss(self, batch: Batch, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch after `key` clips, which key its noise too, and the mean squared error of each stream."""
        random = generator("training", self.settings.seed, key)
        size = len(batch.labels)
        steps = {name: x.shape[2] for name, x in batch.streams.items()}
        sigma = draw_maps(self.diffusion, steps, size, random)
        hide = torch.rand(size, generator=random) < self.settings.drop
        condition = self.condition(batch).hidden(hide)
        # By a key of its own, so that what is drawn besides does not depend on it.
        alone = bool(torch.rand((), generator=generator("alone", self.settings.seed, key)) < self.diffusion.mix.alone)
        return self._loss_at(sigma, batch, random, condition, key / self.settings.clips, alone)

    @torch.no_grad()
    def error_at(self, sigma: float, batch: Batch, key: int) -> float:
        """The mean squared error at one noise level, by the objective of the end of training."""
        level = {n: torch.full((len(batch.labels), x.shape[2]), sigma) for n, x in batch.streams.items()}
        random = generator("level", self.settings.seed, key)
        _, errors = self._loss_at(level, batch, random, self.condition(batch), 1.0)
        return sum(float(e) for e in errors.values()) / len(errors)

    def _loss_at(
        self,
        sigma: Streams,
        batch: Batch,
        random: torch.Generator,
        condition: Condition,
        progress: float,
        alone: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        clean = {n: self.standards[n].forward(x) for n, x in batch.streams.items()}
        noise = {n: torch.randn(x.shape, generator=random) for n, x in clean.items()}
        size = len(batch.labels)
        total, errors = torch.zeros(()), {n: torch.zeros(()) for n in clean}
        # A stream that a clip lacks is left out, and so are the clips that lack it: one pass for each set of streams.
        sets = _each_stream(batch) if alone else _by_streams(batch)
        for names, rows in sets:
            x, added, level = ({n: streams[n][rows] for n in names} for streams in (clean, noise, sigma))
            lesson = Lesson(x, added, level, condition.of_rows(rows), random, progress)
            loss, found = self.objective(self.denoiser, lesson)
            total = total + loss * (len(rows) / size)
            for n, error in found.items():
                errors[n] = errors[n] + error.mean() * (len(rows) / int(batch.present[n].sum()))
        return total, errors

    def condition(self, batch: Batch) -> Condition:
        columns = [standard.forward(batch.scalars[name]) for name, standard in self.scalars.items()]
        return Condition.of(batch.labels, batch.captions, torch.stack(columns, dim=1) if columns else None)

    def step(self, batch: Batch) -> Outcome:
        """Takes one step; one whose loss or gradient is not finite changes nothing but the number of clips seen."""
        loss, errors = self.loss(batch, self.clips)
        loss.backward()
        optimizers = [self.optimizer, self.critic] if self.critic else [self.optimizer]
        norm = torch.stack([o.clip(self.settings.clip_gradient) for o in optimizers]).norm()
        outcome = Outcome(
            float(loss.detach()),
            sum(float(e) for e in errors.values()) / len(errors),
            float(norm),
            bool(torch.isfinite(loss.detach()) and torch.isfinite(norm)),
        )
        if outcome.finite:
            self.course.update(outcome.loss)
            rate = learning_rate(self.settings, self.clips) * self.slowdown
            for optimizer in optimizers:
                optimizer.step(rate)
            self.average.update(self.denoiser, self.clips, self.settings.batch)
        for optimizer in optimizers:
            optimizer.clear()
        before = self.clips
        self.clips += self.settings.batch
        mark = math.ceil(self.settings.snapshot * self.settings.clips)
        if before < mark <= self.clips:
            self.snapshot = {name: value.clone() for name, value in self.average.weights.items()}
        return outcome


def _each_stream(batch: Batch) -> Iterator[tuple[list[str], Tensor]]:
    """Each stream by itself, and the rows that have it."""
    for name, there in batch.present.items():
        if there.any():
            yield [name], there.nonzero().flatten()


def _by_streams(batch: Batch) -> Iterator[tuple[list[str], Tensor]]:
    """The sets of streams that clips of the batch have, and the rows that have just these."""
    present = torch.stack([batch.present[name] for name in batch.streams], dim=1)
    sets, which = present.unique(dim=0, return_inverse=True)
    for i, row in enumerate(sets):
        names = [name for name, there in zip(batch.streams, row.tolist(), strict=True) if there]
        if names:
            yield names, (which == i).nonzero().flatten()
