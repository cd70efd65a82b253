"""Figures that compare two sets of clips by their features: arrays `[N, D]`, one row a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mediadiff.rng import numpy_generator

NEIGHBOURS = 3
"""The k of precision and recall everywhere, so that figures of different runs can be compared."""
RESAMPLES = 200


class Interval(NamedTuple):
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def share(hits: int, total: int) -> Interval:
    """`hits / total` with Wilson's score interval (E. B. Wilson, JASA 22, 1927), which holds near 0 and 1 too."""
    z = 1.959964
    p = hits / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return Interval(p, max(0.0, middle - half), min(1.0, middle + half))


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances `[len(a), len(b)]`, float64, never negative."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    # Squares about a common point: far from the origin the difference of two large squares would lose its digits.
    middle = b.mean(0)
    a, b = a - middle, b - middle
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
    out: np.ndarray = np.sqrt(squares.clip(0))
    return out


def precision(reference: np.ndarray, candidates: np.ndarray, k: int = NEIGHBOURS) -> float:
    """The share of candidates that lie within the reference: in the ball of some reference clip to its k-th neighbour.

    Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019, eq. 1-3.
    """
    return float((distances(candidates, reference) <= _radii(reference, k)).any(1).mean())


def recall(reference: np.ndarray, candidates: np.ndarray, k: int = NEIGHBOURS) -> float:
    """The share of reference clips within the candidates: `precision` with the parts exchanged (same source).

    It grows with the number of candidates, so compare it only with that of as many others.
    """
    return precision(candidates, reference, k)


def nearest(candidates: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The distance `[N]` from each candidate to the nearest of the known clips."""
    return distances(candidates, known).min(1)


def diversity(features: np.ndarray, labels: Sequence[str | None]) -> float:
    """The mean distance between two different clips of one label, averaged over the labels; 0 when all are alike."""
    groups = np.array([label or "" for label in labels])
    means = []
    for label in np.unique(groups):
        rows = features[groups == label]
        if len(rows) > 1:
            means.append(distances(rows, rows).sum() / (len(rows) * (len(rows) - 1)))
    return float(np.mean(means)) if means else 0.0


def discrepancy(reference: np.ndarray, candidates: np.ndarray, *key: int | str) -> Interval:
    """The squared maximum mean discrepancy times 1000, unbiased (it may fall below 0), with a bootstrap interval.

    Gretton et al., "A kernel two-sample test", JMLR 13, 2012, eq. 3, with a Gaussian kernel whose width is the median
    distance within the reference, as in KAD (arXiv 2502.15602): so it is comparable only at the same reference. The
    bootstrap draws clips again `RESAMPLES` times by `key`; a clip is never paired with its own double.
    """
    near = distances(reference, reference)
    width = np.median(near[~np.eye(len(near), dtype=bool)])
    if width == 0:
        return Interval(0.0, 0.0, 0.0)

    def kernel(squared: np.ndarray) -> np.ndarray:
        out: np.ndarray = np.exp(-squared / (2 * width**2))
        return out

    kxx, kyy = kernel(near**2), kernel(distances(candidates, candidates) ** 2)
    kxy = kernel(distances(reference, candidates) ** 2)
    np.fill_diagonal(kxx, 0)
    np.fill_diagonal(kyy, 0)

    def value(x: np.ndarray, y: np.ndarray) -> float:
        with np.errstate(invalid="ignore"):
            within = x @ kxx @ x / (x.sum() ** 2 - x @ x) + y @ kyy @ y / (y.sum() ** 2 - y @ y)
        return float(1000 * (within - 2 * (x @ kxy @ y) / (x.sum() * y.sum())))

    n, m = len(reference), len(candidates)
    rng = numpy_generator("discrepancy", *key)
    draws = [
        value(
            np.bincount(rng.integers(0, n, n), minlength=n).astype(float),
            np.bincount(rng.integers(0, m, m), minlength=m).astype(float),
        )
        for _ in range(RESAMPLES)
    ]
    # A draw of one clip alone has no two that could be alike.
    draws = [one for one in draws if math.isfinite(one)] or [math.nan]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value(np.ones(n), np.ones(m)), float(low), float(high))


def _radii(points: np.ndarray, k: int) -> np.ndarray:
    """The distance `[N]` of each point to its k-th neighbour in the set, itself not counted."""
    within = distances(points, points)
    np.fill_diagonal(within, np.inf)
    k = min(k, len(points) - 1)
    out: np.ndarray = np.partition(within, k - 1, axis=1)[:, k - 1]
    return out
