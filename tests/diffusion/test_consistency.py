"""Consistency tuning, on data for which the denoiser and the consistency function have closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch

from mediadiff.diffusion.consistency import Consistency, kept
from mediadiff.diffusion.denoiser import Denoiser
from mediadiff.diffusion.lesson import Lesson
from mediadiff.diffusion.sampling import sample
from mediadiff.diffusion.schedulers import karras
from mediadiff.diffusion.settings import SIGMA_MAX, ConsistencySettings, DiffusionSettings
from mediadiff.diffusion.streams import Standard
from mediadiff.rng import generator, normal
from mediadiff.training.settings import TuningSettings
from mediadiff.training.step import Trainer
from tests.diffusion import two_kinds

STD = 0.7
RANDOM = torch.Generator()
"""Nothing is drawn from it."""


@dataclass
class Asked:
    """A condition that is the data's mean for each clip; hidden, it is 0."""

    mean: torch.Tensor

    def hidden(self, rows):
        return Asked(self.mean.masked_fill(rows, 0.0))

    def of_rows(self, rows):
        return Asked(self.mean[rows])

    def at(self, x):
        return self.mean.reshape(-1, 1, 1, 1, 1).to(x)


def spread(sigma):
    return (STD**2 + sigma[:, None, :, None, None] ** 2).sqrt()


def best(x, sigma, asked):
    """The exact denoiser for data from N(mean, STD^2)."""
    return {n: asked.at(v) + (v - asked.at(v)) * STD**2 / spread(sigma[n]) ** 2 for n, v in x.items()}


def exact(scale=1.0):
    """Where the probability flow takes a noisy clip, for data from N(scale * mean, STD^2)."""

    def run(x, sigma, asked):
        return {n: scale * asked.at(v) + (v - scale * asked.at(v)) * STD / spread(sigma[n]) for n, v in x.items()}

    return run


def guided_by(weight):
    """The exact denoiser, guided: `blind + weight (strong - blind)`."""

    def run(x, sigma, asked):
        strong, blind = best(x, sigma, asked), best(x, sigma, Asked(0 * asked.mean))
        return {n: torch.lerp(blind[n], strong[n], weight) for n in x}

    return run


def everywhere(stream):
    """A teacher that is asked at every level."""
    return 0.0


@pytest.fixture
def noisy():
    """Noisy clips of two streams in double precision, their levels, and means."""
    random = torch.Generator().manual_seed(0)
    x = {
        n: 20 * torch.randn(4, 2, steps, 3, 1, generator=random, dtype=torch.float64)
        for n, steps in (("a", 6), ("b", 3))
    }
    t = {n: torch.rand(4, v.shape[2], generator=random, dtype=torch.float64) * 30 + 2 for n, v in x.items()}
    return x, t, Asked(torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64))


def gaps(loss, function, x, t, asked):
    """How far the answers at both ends of the path are apart in the last stages."""
    found = []
    for stages in (6, 7):
        at = replace(loss, settings=ConsistencySettings(stages, 2.0))
        target = at.target(function, x, t, asked, 1.0)
        answer = function(x, t, asked)
        found.append(max(float((answer[n] - target[n]).abs().max()) for n in x))
    return found


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_the_exact_function_agrees_with_itself_to_second_order_and_no_other_does(noisy, weight):
    loss = Consistency(ConsistencySettings(), guided_by(weight), everywhere)
    # Guided by w, Gaussian data of mean m have the mean w m.
    right = gaps(loss, exact(weight), *noisy)
    assert right[0] / right[1] == pytest.approx(4, rel=0.1) and right[1] < 0.05
    for other in (best, exact(weight + 1)):
        wrong = gaps(loss, other, *noisy)
        assert wrong[0] / wrong[1] == pytest.approx(2, rel=0.15) and wrong[1] > 4 * right[1]


def test_the_lower_end_of_a_path_lies_on_the_way_to_the_teachers_answer(noisy):
    x, t, asked = noisy
    settings, seen = ConsistencySettings(6, 2.0), {}

    def noted(below, levels, condition):
        seen.update(below)
        assert all(torch.equal(levels[n], t[n] * kept(settings, t[n], 1.0)) for n in t)
        return below

    Consistency(settings, best, everywhere).target(noted, x, t, asked, 1.0)
    for n, answer in best(x, t, asked).items():
        part = kept(settings, t[n], 1.0)[:, None, :, None, None]
        torch.testing.assert_close(seen[n], answer + part * (x[n] - answer))


def test_below_the_teachers_last_level_its_answer_is_the_students(noisy):
    x, t, asked = noisy
    settings, lowest = ConsistencySettings(6, 2.0), {"a": 12.0, "b": 5.0}
    r = {n: level * kept(settings, level, 1.0) for n, level in t.items()}
    asked_at = {}

    def noted(below, levels, condition):
        asked_at.update(levels)
        return {n: v + 1 for n, v in below.items()}

    target = Consistency(settings, best, lowest.__getitem__).target(noted, x, t, asked, 1.0)
    for n, level in r.items():
        low = level < lowest[n]
        assert low.any() and (~low).any()
        assert torch.equal(asked_at[n], level.masked_fill(low, 0))
        answer = best(x, t, asked)[n].transpose(1, 2)
        assert torch.equal(target[n].transpose(1, 2)[low], answer[low] + 1)
        assert not torch.isclose(target[n].transpose(1, 2)[~low], answer[~low] + 1).all()


def test_the_lower_level_rises_to_the_upper_one_over_the_stages():
    settings, t = ConsistencySettings(stages=4, q=4.0), torch.logspace(-2, 2, 50)
    parts = [kept(settings, t, progress) for progress in (0.0, 0.24, 0.26, 0.5, 0.75, 0.99, 1.0)]
    assert torch.equal(parts[0], parts[1]) and torch.equal(parts[-2], parts[-1])
    assert float(parts[0][0]) == 0 and float(parts[0][-1]) == 0.75
    assert all((b >= a).all() for a, b in zip(parts, parts[1:], strict=False))
    assert all((part.diff() >= 0).all() and (part < 1).all() for part in parts)
    # 1 + 8 sigmoid(0) = 5 parts in 4^4 at the lowest levels, 1 part at the highest.
    assert float(parts[-1][0]) == pytest.approx(1 - 5 / 256, abs=1e-3)
    assert float(parts[-1][-1]) == pytest.approx(1 - 1 / 256, abs=1e-6)


class Known(torch.nn.Module):
    """A network with one weight, of the kind that a denoiser wraps."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.3))

    def forward(self, x, level, given, condition, circular):
        return {n: self.weight * v.cos() for n, v in x.items()}


def test_what_is_given_stays_given_and_weighs_nothing():
    clean, noise = ({"a": normal((3, 1, 5, 2, 1), part)} for part in ("clean", "noise"))
    sigma = {"a": torch.rand(3, 5, generator=generator("sigma")) * 9 + 0.1}
    sigma["a"][:, 1] = 0
    sigma["a"][2] = 0
    denoiser, asked = Denoiser(Known(), {}), Asked(torch.ones(3))

    def teacher(x, sigma, condition):
        return {n: torch.where(sigma[n][:, None, :, None, None] == 0, x[n], 0.5 * v) for n, v in x.items()}

    loss = Consistency(ConsistencySettings(), teacher, everywhere)
    x = {"a": clean["a"] + sigma["a"][:, None, :, None, None] * noise["a"]}
    for progress in (0.0, 1.0):
        target = loss.target(denoiser, x, sigma, asked, progress)["a"]
        assert torch.equal(target[:, :, 1], clean["a"][:, :, 1]) and torch.equal(target[2], clean["a"][2])
    total, errors = loss(denoiser, Lesson(clean, noise, sigma, asked, RANDOM, 0.5))
    total.backward()
    assert math.isfinite(float(denoiser.network.weight.grad)) and float(denoiser.network.weight.grad) != 0
    assert float(errors["a"][2]) == 0 and float(errors["a"][0]) > 0
    other = {"a": noise["a"].clone()}
    other["a"][:, :, 1] += 100
    other["a"][2] += 100
    assert torch.equal(loss(denoiser, Lesson(clean, other, sigma, asked, RANDOM, 0.5))[0].detach(), total.detach())


def test_data_of_one_value_leave_no_loss_and_levels_end_where_a_walk_begins():
    clean, noise = {"a": torch.full((2, 1, 3, 2, 1), 0.4)}, {"a": normal((2, 1, 3, 2, 1), "noise")}
    seen = []

    def same(x, sigma, condition):
        seen.append(float(sigma["a"].max()))
        return {"a": torch.full_like(x["a"], 0.4)}

    def teacher(x, sigma, condition):
        return {"a": torch.full_like(x["a"], 0.4)}

    loss = Consistency(ConsistencySettings(), teacher, everywhere)
    sigma = {"a": torch.full((2, 3), 500.0)}
    total, errors = loss(same, Lesson(clean, noise, sigma, Asked(torch.zeros(2)), RANDOM, 0.9))
    assert float(total) == 0 and float(errors["a"].max()) == 0
    assert sorted(seen) == pytest.approx([80 * (1 - 1 / 5), 80.0])


def test_a_student_draws_in_two_steps_what_its_teacher_needs_many_for():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        denoiser = Denoiser(two_kinds.Perceptron(), {"a": torch.nn.Identity()})
    settings = TuningSettings(clips=128 * 700, batch=128, learning_rate=1e-2, warmup=0, average=128 * 50, drop=0.0)
    levels = DiffusionSettings(mean=0.5, std=1.7)
    objective = Consistency(ConsistencySettings(stages=6, q=2.0), two_kinds.exact, everywhere)
    trainer = Trainer(denoiser, {"a": Standard(0.0, 1.0)}, {}, settings, levels, objective)
    for step in range(700):
        side = 2.0 * (torch.rand(128, generator=generator("side", step)) < 0.5) - 1
        trainer.step(two_kinds.batch(side + 0.1 * normal((128,), "data", step)))
    denoiser.load_state_dict(trainer.average.weights)

    count = 4000

    @torch.no_grad()
    def drawn(denoise, sampler, sigma_min):
        def at(x, sigma):
            return denoise(x, {"a": torch.full((count, 1), sigma["a"])}, None)

        noise = torch.cat([normal((1, 1), "start", i) for i in range(count)]).reshape(count, 1, 1, 1, 1)
        generators = [generator("sampler", i) for i in range(count)]
        levels = {"a": karras(2, sigma_min, SIGMA_MAX)}
        return sample(at, {"a": noise}, levels, sampler, generators)["a"].flatten()

    def fault(x):
        """The distance of Wasserstein to the data: the mean distance of numbers sorted by size."""
        other = torch.cat([side + 0.1 * normal((count // 2,), "real", side) for side in (-1, 1)])
        return float((x.sort().values - other.sort().values).abs().mean())

    student = fault(drawn(denoiser, "lcm", 0.5))
    rivals = {
        (s, low): fault(drawn(two_kinds.exact, s, low))
        for s in ("unipc", "dpmpp_2m", "euler_a")
        for low in (0.004, 0.5)
    }
    assert student < 0.2 and student < 0.5 * min(rivals.values()), (student, rivals)
