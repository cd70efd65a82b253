"""Distribution matching: what moves a student, what it is shown, and what it makes in the end."""

from __future__ import annotations

import pytest
import torch

from mediadiff.diffusion.denoiser import Denoiser
from mediadiff.diffusion.lesson import Lesson
from mediadiff.diffusion.matching import Critic, Matching, towards
from mediadiff.diffusion.sampling import sample
from mediadiff.diffusion.schedulers import karras
from mediadiff.diffusion.settings import SIGMA_MAX, DiffusionSettings, MatchingSettings
from mediadiff.diffusion.streams import Standard
from mediadiff.rng import generator, normal
from mediadiff.training.settings import TuningSettings
from mediadiff.training.step import Trainer
from tests.diffusion import two_kinds

WALKS = {"a": torch.tensor([80.0, 7.0]), "b": torch.tensor([80.0, 3.0])}


def lowest(stream):
    return {"a": 0.5, "b": 2.0}[stream]


class Scaled(torch.nn.Module):
    """A network that answers with its input times one weight."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight))

    def forward(self, x, level, given, condition, circular):
        return {n: self.weight * v for n, v in x.items()}


def scaled(weight):
    return Denoiser(Scaled(weight), {n: torch.nn.Identity() for n in WALKS}, "x0")


def matching(teacher, critic, start=None, **settings):
    """Distribution matching of two streams."""
    chosen = MatchingSettings(**settings)
    return Matching(chosen, teacher, lowest, start or (lambda x, level, condition: x), Critic(critic, 1.0), WALKS)


@pytest.fixture
def clips():
    """Clips of two streams, noise, and levels; some steps are given, and one stream of a clip is given whole."""
    shapes = {"a": (3, 2, 4, 2, 1), "b": (3, 1, 8, 1, 3)}
    clean, noise = ({n: normal(shape, part, n) for n, shape in shapes.items()} for part in ("clean", "noise"))
    sigma = {n: 0.1 + 20 * torch.rand(3, shape[2], generator=generator("at", n)) for n, shape in shapes.items()}
    sigma["a"][0, 1] = 0
    sigma["b"][1] = 0
    return clean, noise, sigma


def test_a_step_leads_from_what_is_likely_to_what_is_wanted_in_units_of_the_teachers_error():
    made, wanted, likely = (
        torch.zeros(2, 1, 2, 1, 2),
        torch.full((2, 1, 2, 1, 2), 4.0),
        torch.full((2, 1, 2, 1, 2), 1.0),
    )
    noisy = torch.tensor([[True, True], [True, False]])
    wanted[1, :, 1] = 100
    step = towards(wanted, likely, made, noisy)
    assert torch.equal(step[0], torch.full((1, 2, 1, 2), 0.75))
    assert torch.equal(step[1, :, 0], torch.full((1, 1, 2), 0.75)) and not step[1, :, 1].any()
    # Where the teacher is right already, nothing is made infinite.
    assert not towards(made, made, made, noisy).any() and not towards(made, made, made, ~noisy & noisy).any()


def test_the_student_is_shown_its_own_answers_and_what_is_given(clips):
    clean, _, _ = clips
    given = {n: torch.zeros(x.shape[0], x.shape[2], dtype=torch.bool) for n, x in clean.items()}
    given["a"][0, 1] = True
    ends = set()
    for draw in range(8):
        seen = []

        def noted(x, level, condition, seen=seen):
            seen.append((x, level))
            assert not torch.is_grad_enabled()
            return {n: torch.full_like(v, 1000.0) for n, v in x.items()}

        objective = matching(scaled(0.0), scaled(0.0))
        seen.append(objective.shown(noted, clean, given, None, generator("shown", draw)))
        ends.add(len(seen))
        for i, (x, level) in enumerate(seen):
            for n, walk in WALKS.items():
                assert torch.equal(level[n], torch.where(given[n], 0.0, float(walk[i])))
            assert torch.equal(x["a"][0, :, 1], clean["a"][0, :, 1])
            assert float(x["b"].mean()) == pytest.approx(1000 * i, abs=20)
            assert float(x["b"].std()) == pytest.approx(float(WALKS["b"][i]), rel=0.3)
    assert ends == {1, 2}


def test_the_critic_learns_always_and_the_student_now_and_then(clips):
    clean, noise, sigma = clips
    learnt = []
    for draw in range(40):
        student, critic = scaled(0.5), scaled(0.1)
        objective = matching(scaled(0.9), critic, part=0.3, hold=0.0)
        loss, errors = objective(student, Lesson(clean, noise, sigma, None, generator("part", draw), 0.0))
        loss.backward()
        assert float(critic.network.weight.grad) != 0 and float(errors["b"][1]) == 0
        if student.network.weight.grad is not None:
            learnt.append(float(student.network.weight.grad))
            assert learnt[-1] != 0
    # The teacher answers with nine times as much as the critic: more of what was made.
    assert 5 <= len(learnt) <= 19 and sum(learnt) < 0


def test_a_student_that_makes_what_its_teacher_makes_stays_and_is_held_to_its_start(clips):
    clean, noise, sigma = clips

    def gradient(hold, start):
        student = scaled(0.5)
        objective = matching(scaled(0.3), scaled(0.3), scaled(start), part=1.0, hold=hold)
        objective(student, Lesson(clean, noise, sigma, None, generator("same"), 0.0))[0].backward()
        return float(student.network.weight.grad)

    assert gradient(0.0, 0.9) == 0 and gradient(1.0, 0.5) == 0
    # A start that answered with more of what it was shown pulls up, one that answered with less pulls down.
    up, down = gradient(1.0, 0.9), gradient(1.0, 0.1)
    assert up < 0 and down == pytest.approx(-up) and gradient(2.0, 0.9) == pytest.approx(2 * up)


def test_the_distributions_are_compared_where_the_teacher_is_asked(clips):
    clean, noise, sigma = clips
    asked = []

    def teacher(x, level, condition):
        asked.append(level)
        return x

    objective = matching(teacher, scaled(0.3), part=1.0)
    sigma["b"][2] = 500
    loss, _ = objective(scaled(0.5), Lesson(clean, noise, sigma, None, generator("levels"), 0.0))
    assert loss.requires_grad and len(asked) == 1
    for n, level in asked[0].items():
        assert torch.equal(level == 0, sigma[n] == 0)
        assert float(level[level > 0].min()) >= lowest(n) and float(level.max()) <= SIGMA_MAX
    with torch.no_grad():
        loss, _ = objective(scaled(0.5), Lesson(clean, noise, sigma, None, generator("levels"), 0.0))
    # Where nothing is to be learnt the teacher is not asked.
    assert not loss.requires_grad and len(asked) == 1


def test_a_student_comes_to_make_both_kinds_of_its_teachers_clips():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        student, critic = (Denoiser(two_kinds.Perceptron(), {"a": torch.nn.Identity()}) for _ in range(2))
    settings = TuningSettings(clips=128 * 1500, batch=128, learning_rate=1e-2, warmup=0, average=128 * 50, drop=0.0)
    levels, walk = DiffusionSettings(mean=0.5, std=1.7), karras(2, 0.5, SIGMA_MAX)
    exact, chosen = two_kinds.exact, MatchingSettings(0.5, hold=0.0)
    objective = Matching(chosen, exact, lambda stream: 0.03, exact, Critic(critic, 1.0), {"a": walk})
    trainer = Trainer(student, {"a": Standard(0.0, 1.0)}, {}, settings, levels, objective)
    # No clip of the data is needed where none is given.
    batch = two_kinds.batch(torch.zeros(128))
    for _ in range(1500):
        assert trainer.step(batch).finite
    student.load_state_dict(trainer.average.weights)

    @torch.no_grad()
    def at(x, sigma):
        return student(x, {"a": torch.full((2000, 1), sigma["a"])}, None)

    noise = {"a": torch.cat([normal((1, 1), "start", i) for i in range(2000)]).reshape(2000, 1, 1, 1, 1)}
    drawn = sample(at, noise, {"a": walk}, "lcm", [generator("sampler", i) for i in range(2000)])["a"].flatten()
    right = float((drawn > 0).float().mean())
    data = torch.cat([side + 0.1 * normal((1000,), "real", side) for side in (-1, 1)])
    # The distance of Wasserstein: the mean distance of numbers sorted by size. All at 0 it is 1.
    fault = float((drawn.sort().values - data.sort().values).abs().mean())
    assert 0.4 < right < 0.6 and fault < 0.2, (right, fault)
