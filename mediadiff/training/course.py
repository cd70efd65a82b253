"""Whether a training still gets better, or has broken while all of its numbers are finite."""

from __future__ import annotations

from dataclasses import dataclass

SPAN = 100
"""Steps that the running mean of the loss looks back over."""
RISE = 1.0
"""How far it may rise above its best. The loss of denoising holds the logarithm of the error: where that has been
learnt, a rise by 1 is errors e times as large."""


@dataclass
class Course:
    """The running mean of the loss, and the lowest that it has been."""

    steps: int = 0
    mean: float = 0.0
    best: float = 0.0

    def update(self, loss: float) -> None:
        """Takes in the loss of a step."""
        self.steps += 1
        self.mean += (loss - self.mean) / min(self.steps, SPAN)
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
