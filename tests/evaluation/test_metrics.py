from __future__ import annotations

import numpy as np
import pytest

from mediadiff.evaluation import metrics
from mediadiff.rng import numpy_generator

CENTRES = 8 * np.eye(4, 6)


def clusters(count: int, key: str, centres: np.ndarray = CENTRES) -> np.ndarray:
    """`count` points about each centre, spread 1."""
    noise = numpy_generator("clusters", key).standard_normal((count, *centres.shape))
    return (centres + noise).reshape(-1, centres.shape[1])


REAL = clusters(150, "real")


def test_distances_are_those_of_the_definition_also_far_from_the_origin() -> None:
    a, b = clusters(5, "a"), clusters(7, "b")
    exact = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    assert np.allclose(metrics.distances(a, b), exact, atol=1e-9)
    assert np.allclose(metrics.distances(a + 1e6, b + 1e6), exact, atol=1e-5)
    assert metrics.distances(a, a).diagonal().max() < 1e-6


def test_a_share_has_wilsons_interval() -> None:
    # 98 of 100: the interval of the formula worked by hand.
    assert metrics.share(98, 100) == pytest.approx((0.98, 0.9300, 0.9945), abs=1e-4)
    assert metrics.share(10, 10) == pytest.approx((1.0, 0.7225, 1.0), abs=1e-4)


def test_precision_and_recall_by_hand() -> None:
    # With k = 1 the balls about 0, 1, 3 have the radii 1, 1, 2.
    reference, candidates = np.array([[0.0], [1.0], [3.0]]), np.array([[-0.9], [4.9], [5.1], [9.0]])
    assert metrics.precision(reference, candidates, k=1) == 0.5
    # Those about the candidates have 5.8, 0.2, 0.2, 3.9: the first holds 0, 1 and 3.
    assert metrics.recall(reference, candidates, k=1) == 1.0
    assert metrics.recall(reference, candidates[1:], k=1) == 0.0


def test_unseen_clips_of_the_same_kind_have_high_precision_and_recall() -> None:
    same = clusters(75, "same")
    assert metrics.precision(REAL, same) > 0.75
    assert metrics.recall(REAL, same) > 0.75


def test_dropped_modes_lower_recall_and_not_precision() -> None:
    same, fewer = clusters(75, "same"), clusters(150, "fewer", CENTRES[:2])
    assert len(same) == len(fewer)
    assert metrics.recall(REAL, fewer) < 0.6 * metrics.recall(REAL, same)
    assert metrics.precision(REAL, fewer) > 0.95 * metrics.precision(REAL, same)


def test_less_variety_lowers_recall_and_diversity_and_not_precision() -> None:
    same = clusters(75, "same")
    centres = np.tile(CENTRES, (75, 1))
    shrunk = centres + 0.4 * (same - centres)
    labels = ["abcd"[i % 4] for i in range(len(same))]
    assert metrics.precision(REAL, shrunk) >= metrics.precision(REAL, same)
    assert metrics.recall(REAL, shrunk) < 0.5 * metrics.recall(REAL, same)
    assert metrics.diversity(shrunk, labels) == pytest.approx(0.4 * metrics.diversity(same, labels))


def test_broken_clips_lower_precision_and_not_recall() -> None:
    same = clusters(75, "same")
    broken = same.copy()
    broken[::2] += 30
    assert metrics.precision(REAL, broken) == pytest.approx(0.5 * metrics.precision(REAL, same), abs=0.05)
    assert metrics.recall(REAL, np.concatenate([same, same + 30])) >= metrics.recall(REAL, same)


def test_copies_are_nearer_than_unseen_clips() -> None:
    unseen, copies = clusters(75, "same"), REAL[::2] + 0.01
    assert metrics.nearest(copies, REAL).max() < 0.1 < metrics.nearest(unseen, REAL).min()


def test_diversity_counts_within_labels_only() -> None:
    points = np.array([[0.0], [1.0], [100.0], [103.0]])
    assert metrics.diversity(points, ["a", "a", "b", "b"]) == 2.0
    assert metrics.diversity(points[:1], ["a"]) == 0.0


def test_discrepancy_is_near_zero_for_the_same_kind_and_above_for_another() -> None:
    same = metrics.discrepancy(REAL, clusters(75, "same"), 0)
    assert same.low < 0 < same.high
    assert abs(same.value) < 3
    moved = metrics.discrepancy(REAL, clusters(75, "same") + 0.5, 0)
    assert moved.low > 3
    assert metrics.discrepancy(REAL, clusters(75, "same"), 0) == same


def test_discrepancy_is_unbiased() -> None:
    values = [metrics.discrepancy(REAL[i::4], clusters(10, f"draw {i}"), i).value for i in range(4)]
    values += [metrics.discrepancy(clusters(40, f"r{i}"), clusters(10, f"c{i}"), i).value for i in range(20)]
    # A biased estimate of 40 points would lie near +15.
    assert abs(np.mean(values)) < 3 * np.std(values) / len(values) ** 0.5


def test_an_interval_of_few_clips_leaves_out_draws_of_one_alone() -> None:
    rng = numpy_generator("few")
    found = metrics.discrepancy(rng.normal(size=(20, 4)), rng.normal(size=(2, 4)))
    assert found.low <= found.value <= found.high


def test_reference_without_spread_is_no_division_by_zero() -> None:
    assert metrics.discrepancy(np.ones((5, 2)), np.ones((5, 2)), 0) == (0.0, 0.0, 0.0)
