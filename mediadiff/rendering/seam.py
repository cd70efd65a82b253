"""Loops: which lengths close, and how well a clip's end goes on at its beginning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from mediadiff.clip import Clip
from mediadiff.domains.base import Domain
from mediadiff.errors import UsageError
from mediadiff.nn.settings import NetworkSettings


def turns(domains: Mapping[str, Domain], network: NetworkSettings) -> list[Fraction]:
    """For each stream the seconds that the length of a loop is a multiple of."""
    return [network.multiple(name, domain.shape(1)[3]) / domain.rate for name, domain in domains.items()]


def circle(turns: Sequence[Fraction], seconds: Fraction, longest: Fraction, exact: bool) -> Fraction:
    """The length of a loop of `seconds`: a multiple of all of `turns`, no longer than `longest`.

    Where `seconds` is not one, the nearest below or above; or, if it is to be `exact`, a UsageError that names it.
    """
    turn = Fraction(math.lcm(*(t.numerator for t in turns)), math.gcd(*(t.denominator for t in turns)))
    most = longest // turn
    if not most:
        raise UsageError(
            f"this model makes no loops: its streams fit together every {float(turn):g} s, and it is made for "
            f"{float(longest):g} s"
        )
    near = min(most, max(1, round(seconds / turn))) * turn
    if exact and near != seconds:
        raise UsageError(
            f"a loop of this model lasts a multiple of {float(turn):g} s, at most {float(most * turn):g} s; "
            f"got {float(seconds):g}: try --seconds {float(near):g}"
        )
    return near


def seam(clip: Clip) -> dict[str, float]:
    """For each stream the step from its end to its beginning, as a multiple of the median step inside: 1 is no seam.

    A step is the mean difference between neighbours: samples, or frames.
    """
    found = {}
    if clip.sound is not None:
        samples = clip.sound.samples
        found["sound"] = _score(np.abs(samples - np.roll(samples, -1, axis=1)).mean(axis=0), 1e-6)
    if clip.picture is not None and not clip.picture.is_still:
        frames = clip.picture.frames
        pairs = zip(frames, np.roll(frames, -1, axis=0), strict=True)
        found["picture"] = _score(np.array([np.abs(a.astype(np.int16) - b).mean() for a, b in pairs]), 1 / 255)
    return found


def _score(steps: np.ndarray, least: float) -> float:
    """The last step by the median of the others, which counts as `least` where it is below."""
    return round(float(steps[-1] / max(np.median(steps[:-1]), least)), 4)
