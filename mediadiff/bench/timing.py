"""How long something takes: the median of several runs, and how far they lie apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds of a run: the median of `runs`, the quickest and the slowest."""

    seconds: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """The timing of runs that took these seconds each."""
        return cls(statistics.median(seconds), min(seconds), max(seconds), len(seconds))


def timed(run: Callable[[], object], budget: float) -> Timing:
    """Runs once to warm up, then at least three times and for `budget` seconds, at most 50 times."""
    run()
    taken: list[float] = []
    while len(taken) < 3 or (sum(taken) < budget and len(taken) < 50):
        begun = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begun)
    return Timing.of(taken)
