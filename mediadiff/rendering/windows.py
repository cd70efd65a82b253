"""A clip longer than the model's window, in overlapping windows: each is given the end of the one before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from mediadiff.domains.base import Domain


@dataclass(frozen=True)
class Window:
    """One pass of the network, in time steps of each stream."""

    number: int
    begin: Mapping[str, int]
    """The first step."""
    steps: Mapping[str, int]
    done: Mapping[str, int]
    """How many steps at its beginning the window before has made already; 0 in the first window."""

    def end(self, name: str) -> int:
        """The step after the last."""
        return self.begin[name] + self.steps[name]


def windows(
    domains: Mapping[str, Domain], multiples: Mapping[str, int], seconds: Fraction, longest: Fraction | None
) -> list[Window]:
    """The windows of a clip of `seconds`: one of its own length, or, where that is above `longest`, several as long.

    Each window begins half a window after the one before, rounded to a whole step of the slowest stream; the other
    streams begin at their step nearest to that moment. Steps come in `multiples`. The last window may go on beyond the
    clip. A window of one step overlaps with none, so that such a clip is made in one pass.
    """

    def rounded(length: Fraction) -> dict[str, int]:
        return {n: -(-domain.steps(length) // multiples[n]) * multiples[n] for n, domain in domains.items()}

    zero = dict.fromkeys(domains, 0)
    steps = rounded(seconds)
    if longest is None or seconds <= longest:
        return [Window(0, zero, steps, zero)]
    window = rounded(longest)
    slowest = min(domains, key=lambda name: domains[name].rate)
    stride = (window[slowest] // 2) / domains[slowest].rate
    if not stride:
        return [Window(0, zero, steps, zero)]
    needed = {n: domain.steps(seconds) for n, domain in domains.items()}
    found: list[Window] = []
    while not found or any(found[-1].end(n) < needed[n] for n in domains):
        at = len(found) * stride
        begin = {n: math.floor(at * domain.rate + Fraction(1, 2)) for n, domain in domains.items()}
        done = {n: found[-1].end(n) - begin[n] if found else 0 for n in domains}
        found.append(Window(len(found), begin, window, done))
    return found
