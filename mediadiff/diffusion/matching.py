"""Distribution matching (arXiv 2405.14867): what a student makes becomes as likely as what its teacher would make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mediadiff.diffusion.denoiser import Denoiser, cells
from mediadiff.diffusion.guidance import Denoise
from mediadiff.diffusion.lesson import Lesson
from mediadiff.diffusion.settings import SIGMA_MAX, MatchingSettings
from mediadiff.diffusion.streams import Streams

LEAST = 1e-3
"""The error of the teacher, in units of the data's deviation, below which differences are not made larger."""


@dataclass(frozen=True)
class Critic:
    """A denoiser that learns from what a student makes."""

    denoiser: Denoiser
    haste: float
    """Its learning rate by the student's."""


@dataclass(frozen=True)
class Matching:
    """The losses of a student and of its critic.

    The student makes clips by its own walk, from noise alone or around what is given. They are made noisy; from the
    critic's answer to the teacher's it is the way to where clips are likelier for the teacher than for the student,
    and the student goes along it (arXiv 2311.18828, eq. 7 and 8). A clip need only be one that the teacher might make,
    whatever noise it came from. Of kinds that no noise lies between, such as colours, the way tells nothing, so that
    one after the other would be lost: the student is held to what it answered at its start.
    """

    logarithmic: ClassVar[bool] = True
    settings: MatchingSettings
    teacher: Denoise
    """Guided as its clips are sampled."""
    lowest: Callable[[str], float]
    """The level of a stream below which the teacher is not asked in sampling."""
    start: Denoise
    """What the student was at its start."""
    critic: Critic
    """Starts as the teacher, unguided."""
    walks: Mapping[str, Tensor]
    """The falling noise levels `[steps]` of each stream at which the student is asked."""

    def __call__(self, denoiser: Denoiser, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The critic's loss, whose gradient moves the student, too, and the squared error of the critic per clip.

        The errors are `[B]` for each stream. The distributions are compared at the levels of the lesson. The student
        learns in a part of the calls only, drawn at random: a critic that lags behind would let it lose kinds of clips.
        """
        random, condition = lesson.random, lesson.condition
        level = {n: s.clamp(self.lowest(n), SIGMA_MAX).masked_fill(s == 0, 0.0) for n, s in lesson.sigma.items()}
        drawn = bool(torch.rand((), generator=random) < self.settings.part)
        learns = drawn and torch.is_grad_enabled()
        given = {n: s == 0 for n, s in level.items()}
        x, asked = self.shown(denoiser, lesson.clean, given, condition, random)
        with torch.set_grad_enabled(learns):
            made = denoiser(x, asked, condition)
        fixed = {n: value.detach() for n, value in made.items()}
        noisy = {n: fixed[n] + cells(level[n]) * lesson.noise[n] for n in fixed}
        critic = self.critic.denoiser
        predicted, levels = critic.raw(noisy, level, condition)
        total, errors = critic.weighed(fixed, noisy, level, predicted, levels)
        if learns:
            with torch.no_grad():
                likely = critic.answer(noisy, level, predicted)
                wanted, before = self.teacher(noisy, level, condition), self.start(x, asked, condition)
            for n, value in made.items():
                step = towards(wanted[n], likely[n], fixed[n], ~given[n]) - self.settings.hold * (fixed[n] - before[n])
                pull = _mean(value * step, ~given[n]).sum() / (~given[n]).any(1).sum().clamp_min(1)
                # Its value says nothing, only its gradient: the loss is the critic's.
                total = total + pull.detach() - pull
        return total, errors

    @torch.no_grad()
    def shown(
        self, denoiser: Denoiser, clean: Streams, given: Mapping[str, Tensor], condition: Any, random: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the student is shown at one of the levels of its walk, drawn for all clips, and the levels.

        It comes there by itself, as in sampling, since what it is shown there is its own answer (arXiv 2405.14867,
        section 4.5). Where `given`, bool `[B, T]`, is true, stays what is in `clean`.
        """
        last = int(torch.randint(len(self.walks[next(iter(clean))]), (), generator=random))

        def made_noisy(answer: Streams, i: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            level = {n: torch.where(mask, 0.0, float(self.walks[n][i])) for n, mask in given.items()}
            x = {n: torch.where(cells(given[n]), clean[n], value) for n, value in answer.items()}
            return {n: v + cells(level[n]) * torch.randn(v.shape, generator=random) for n, v in x.items()}, level

        x, level = made_noisy({n: torch.zeros_like(v) for n, v in clean.items()}, 0)
        for i in range(1, last + 1):
            x, level = made_noisy(denoiser(x, level, condition), i)
        return x, level


def towards(wanted: Tensor, likely: Tensor, made: Tensor, noisy: Tensor) -> Tensor:
    """The step of clips `made`, `[B, C, T, H, W]`, from what the critic finds `likely` to what the teacher `wanted`.

    In units of the teacher's own mean error, so that all levels count alike (arXiv 2311.18828, eq. 8); zero where
    `noisy`, bool `[B, T]`, is false.
    """
    error = _mean((made - wanted).abs(), noisy).clamp_min(LEAST)
    return torch.where(cells(noisy), wanted - likely, 0.0) / error[:, None, None, None, None]


def _mean(x: Tensor, noisy: Tensor) -> Tensor:
    """`[B]`: the mean of the noisy cells of each clip; 0 where there is none."""
    cell = x.mean(dim=(1, 3, 4))
    return (cell * noisy).sum(1) / noisy.sum(1).clamp_min(1)
