"""Solvers on data whose exact answer is known: for Gaussian data the denoiser and the flow have closed forms."""

import math

import pytest
import torch

from mediadiff.diffusion.sampling import sample
from mediadiff.diffusion.schedulers import Solver, karras, names
from mediadiff.diffusion.settings import SIGMA_MAX, SIGMA_MIN, SamplingSettings
from mediadiff.diffusion.tasks import level_of, steps_of
from mediadiff.errors import UsageError
from mediadiff.rng import generator, normal

MEAN, STD = 1.5, 2.0
ORDERS = {"ddim": 1, "euler": 1, "heun": 2, "dpmpp_2m": 2, "deis": 2, "unipc": 2}
"""What each deterministic sampler promises. UniPC corrects each step of order 2, and so reaches 3."""
RANDOM = ["ddpm", "euler_a", "dpmpp_2m_sde"]
STUDENTS = ["lcm"]
"""For a consistency function; with a denoiser, which answers with a mean, they lose what the mean leaves out."""


def gaussian(x, sigma):
    """The exact denoiser for data from N(MEAN, STD^2)."""
    return MEAN + (x - MEAN) * STD**2 / (STD**2 + sigma**2)


def walked(denoise, noise, sampler, steps, generators, start=None, top=SIGMA_MAX, low=SIGMA_MIN, given=None):
    """The samples of a single stream, `[B, N]`."""
    start, given = (None if it is None else {"a": it} for it in (start, given))
    levels = {"a": karras(steps, low, top)}
    out = sample(
        lambda x, sigma: {"a": denoise(x["a"], sigma["a"])}, {"a": noise}, levels, sampler, generators, start, given
    )
    return out["a"]


def draw(sampler, steps, cells=20_000):
    return walked(gaussian, normal((1, cells), 0, "noise"), sampler, steps, [generator(0, "sampler")])


def exact(cells=20_000):
    """Where the probability flow takes each noise: deviations shrink as sqrt(STD^2 + sigma^2)."""
    start = SIGMA_MAX * normal((1, cells), 0, "noise")
    return MEAN + (start - MEAN) * STD / math.hypot(STD, SIGMA_MAX)


def test_all_samplers_are_covered():
    assert sorted([*ORDERS, *RANDOM, *STUDENTS]) == sorted(names())


@pytest.mark.parametrize("sampler", ORDERS)
def test_the_measured_order_is_the_promised_one(sampler):
    errors = [float((draw(sampler, steps, 500) - exact(500)).square().mean().sqrt()) for steps in (40, 80)]
    order = math.log2(errors[0] / errors[1])
    assert ORDERS[sampler] - 0.15 < order < ORDERS[sampler] + 1.3, (errors, order)


@pytest.mark.parametrize("sampler", [*ORDERS, *RANDOM])
def test_every_sampler_reaches_the_distribution(sampler):
    # Ancestral samplers of order 1 are slow to: their own noise hides the error of a step until steps are small.
    steps = {"ddpm": 1000, "euler_a": 1000, "euler": 400, "ddim": 400}.get(sampler, 100)
    x = draw(sampler, steps)[0]
    assert abs(float(x.mean()) - MEAN) < 0.04
    assert abs(float(x.std()) - STD) < 0.04
    assert abs(float((((x - x.mean()) / x.std()) ** 4).mean()) - 3) < 0.15


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_perfect_student_draws_exactly_in_any_number_of_steps(steps):
    asked = []

    def student(x, sigma):
        asked.append(sigma)
        return MEAN + (x - MEAN) * STD / math.hypot(STD, sigma)

    noise = normal((1, 100_000), 0, "noise")
    start = torch.full_like(noise, MEAN)
    x = walked(student, noise, "lcm", steps, [generator(0, "sampler")], start, low=3.0)[0]
    # Ancestral Euler, which is nearly this, would spread them 2 % too far in two steps and 12 % in four.
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(x.std()) == pytest.approx(STD, rel=0.006)
    assert len(asked) == steps and asked[0] == pytest.approx(80, rel=1e-4)
    assert steps == 1 or asked[-1] == pytest.approx(3, rel=1e-4)


@pytest.mark.parametrize("sampler", names())
def test_a_clip_does_not_depend_on_its_neighbours(sampler):
    noise = torch.cat([normal((1, 64), clip, "noise") for clip in range(3)])
    together = walked(gaussian, noise, sampler, 6, [generator(clip, "sampler") for clip in range(3)])
    alone = walked(gaussian, noise[1:2], sampler, 6, [generator(1, "sampler")])
    assert torch.equal(together[1:2], alone)


@pytest.mark.parametrize("sampler", names())
def test_given_cells_come_back_bit_for_bit(sampler):
    noise, mask, values = normal((2, 32), 0, "noise"), torch.arange(32) < 10, normal((2, 32), 0, "values")
    seen = []

    def spy(x, sigma):
        seen.append(x)
        return gaussian(x, sigma)

    generators = [generator(clip, "sampler") for clip in range(2)]
    x = walked(spy, noise, sampler, 5, generators, given=(mask.expand(2, 32), values))
    assert torch.equal(x[:, :10], values[:, :10])
    assert all(torch.equal(s[:, :10], values[:, :10]) for s in seen)


def test_varying_starts_at_a_lower_level():
    start = torch.full((1, 5000), 3.0)
    x = walked(gaussian, normal((1, 5000), 0, "noise"), "heun", 30, [generator(0)], start, top=0.5)
    # At sigma 0.5 the sample is data plus a little noise; the flow shrinks both towards the mean by the same factor.
    factor = STD / math.hypot(STD, 0.5)
    assert abs(float(x.mean()) - (MEAN + 1.5 * factor)) < 0.02
    assert abs(float(x.std()) - 0.5 * factor) < 0.02


def test_varying_takes_the_steps_of_the_walk_that_are_left():
    assert [steps_of(SamplingSettings(steps=12), k / 12) for k in range(1, 13)] == list(range(1, 13))
    assert all(steps_of(SamplingSettings(steps=n), s) == math.ceil(n * s) for n in (7, 10, 35) for s in (0.1, 0.3, 0.6))
    # A student asked at 80 and 3 is asked at 3 and above once more only from high levels; below, once where it begins.
    few = SamplingSettings(sampler="lcm", steps=2, sigma_min=3.0)
    assert [steps_of(few, s) for s in (0.01, 0.4, 0.6, 0.8, 1.0)] == [1, 1, 1, 2, 2]
    for strength in (0.01, 0.4, 0.6, 0.8, 1.0):
        levels = karras(steps_of(few, strength), few.sigma_min, level_of(strength))
        assert (levels.diff() < 0).all() and float(levels[0]) == pytest.approx(level_of(strength))


@pytest.mark.parametrize("sampler", names())
def test_streams_walk_side_by_side_each_along_its_own_levels(sampler):
    noise = {n: normal((1, 64), 0, n) for n in "ab"}
    levels = {"a": karras(6, 0.004, 80.0), "b": karras(6, 2.0, 80.0)}
    told = []

    def denoise(x, sigma):
        told.append(dict(sigma))
        return {n: gaussian(x[n], sigma[n]) for n in x}

    both = sample(denoise, noise, levels, sampler, [generator(0, "sampler")])
    if sampler in ORDERS:
        assert torch.equal(both["a"], walked(gaussian, noise["a"], sampler, 6, [generator(0, "sampler")]))
        assert torch.equal(both["b"], walked(gaussian, noise["b"], sampler, 6, [generator(0, "sampler")], low=2.0))
    ends = [{n: pytest.approx(float(levels[n][k]), rel=0.05) for n in levels} for k in (0, -1)]
    assert [told[0], told[-1]] == ends


def test_the_solver_visits_the_levels_it_is_given():
    levels = karras(12, 0.004, 80.0)
    for name in names():
        visited = [sigma for _, sigma in Solver(name, levels).visits]
        assert len(visited) == (23 if name == "heun" else 12)
        torch.testing.assert_close(torch.tensor(visited[:1]), torch.tensor([80.0]), rtol=1e-3, atol=0)
        assert min(visited) == pytest.approx(0.004, rel=0.05)
    with pytest.raises(UsageError, match="there is no sampler 'heum'"):
        Solver("heum", levels)
