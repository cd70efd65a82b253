"""Whether a training still gets better, or has broken while all of its numbers are finite."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

SPAN = 100
"""Steps that the running mean of the loss looks back over."""
LEAST = 1e-3
"""Losses without a logarithm count as this where they are smaller: there is nothing left to learn."""
RISE = 1.0
"""How far it may rise above its best."""


@dataclass
class Course:
    """The running mean of the loss, and the lowest that it has been.

    The loss of denoising holds the logarithm of the error: where that has been learnt, a rise by 1 is errors e times as
    large. Of other losses the decimal logarithm is taken: a student's may double while it leaves its teacher, and has
    broken where it is ten times as large.
    """

    logarithmic: bool = True
    """Whether the loss has a logarithm in it."""
    steps: int = 0
    mean: float = 0.0
    best: float = 0.0

    def update(self, loss: float) -> None:
        """Takes in the loss of a step."""
        value = loss if self.logarithmic else log10(max(loss, LEAST))
        self.steps += 1
        self.mean += (value - self.mean) / min(self.steps, SPAN)
        # What the first steps come to says nothing yet.
        self.best = self.mean if self.steps <= SPAN else min(self.best, self.mean)

    @property
    def is_rising(self) -> bool:
        """Whether the loss may be about to be lost: no state to come back to."""
        return self.mean > self.best + RISE / 2

    @property
    def is_lost(self) -> bool:
        """Whether the loss has risen and stays there."""
        return self.mean > self.best + RISE

    def __str__(self) -> str:
        """The loss at its best and now, in words."""
        best, mean = (value if self.logarithmic else 10**value for value in (self.best, self.mean))
        return f"from {best:.3g} to {mean:.3g}"
