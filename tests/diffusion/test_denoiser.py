"""The denoiser: changes of variables, exactness at level 0, the loss, densities of levels, guidance, scale."""

import math
from dataclasses import dataclass

import pytest
import torch

from mediadiff.diffusion.denoiser import SCALINGS, Denoiser
from mediadiff.diffusion.guidance import guided
from mediadiff.diffusion.levels import ddpm_sigmas, draw
from mediadiff.diffusion.settings import DiffusionSettings, SamplingSettings
from mediadiff.diffusion.streams import Standard


class Oracle(torch.nn.Module):
    """A network that knows the clean data and answers with what a target asks for."""

    def __init__(self, target, clean, noise):
        super().__init__()
        self.target, self.clean, self.noise = target, clean, noise

    def forward(self, x, level, given, condition, circular):
        sigma = (4 * level["a"]).exp()[:, None, :, None, None]
        alpha = (1 + sigma**2).rsqrt()
        answers = {
            "eps": self.noise,
            "x0": self.clean,
            "flow": self.noise - self.clean,
            "v": alpha * self.noise - alpha * sigma * self.clean,
            "edm": alpha * sigma * self.clean - alpha * self.noise,
        }
        return {"a": answers[self.target]}


class Zero(torch.nn.Module):
    def forward(self, level):
        return torch.zeros_like(level)


@pytest.fixture
def streams():
    random = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(4, 2, 6, 3, 1, generator=random) for _ in range(2))
    sigma = torch.rand(4, 6, generator=random) * 3 + 0.05
    sigma[:, 2] = 0
    return clean, noise, sigma


@pytest.mark.parametrize("target", SCALINGS)
def test_every_target_is_a_view_of_the_same_denoiser(target, streams):
    clean, noise, sigma = streams
    denoiser = Denoiser(Oracle(target, clean, noise), {"a": Zero()}, target)
    x = clean + sigma[:, None, :, None, None] * noise
    out = denoiser({"a": x}, {"a": sigma}, None)["a"]
    torch.testing.assert_close(out, clean, rtol=1e-4, atol=1e-4)
    assert torch.equal(out[:, :, 2], x[:, :, 2])
    loss, errors = denoiser.loss({"a": clean}, {"a": noise}, {"a": sigma}, None)
    assert float(loss) < 1e-5 and errors["a"].shape == (4,)


@pytest.mark.parametrize("target", SCALINGS)
def test_what_is_given_comes_back_bit_for_bit(target, streams):
    clean, noise, _ = streams
    denoiser = Denoiser(Oracle(target, noise, noise), {"a": Zero()}, target)
    assert torch.equal(denoiser({"a": clean}, {"a": torch.zeros(4, 6)}, None)["a"], clean)


def test_given_cells_take_no_part_in_the_loss(streams):
    clean, noise, sigma = streams
    wrong = clean.clone()
    wrong[:, :, 2] += 100
    denoiser = Denoiser(Oracle("x0", clean, noise), {"a": Zero()}, "x0")
    assert float(denoiser.loss({"a": wrong}, {"a": noise}, {"a": sigma}, None)[0]) < 1e-5


def test_uncertainty_is_learned_as_the_log_of_the_error(streams):
    clean, noise, sigma = streams

    class Known(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.u = torch.nn.Parameter(torch.zeros(()))

        def forward(self, level):
            return self.u.expand_as(level)

    known = Known()
    denoiser = Denoiser(Oracle("x0", clean + 0.5, noise), {"a": known}, "x0")
    optimizer = torch.optim.SGD([known.u], 0.5)
    for _ in range(100):
        optimizer.zero_grad()
        denoiser.loss({"a": clean}, {"a": noise}, {"a": sigma}, None)[0].backward()
        optimizer.step()
    assert float(known.u) == pytest.approx(math.log(0.25), abs=0.01)


def test_levels_follow_their_densities():
    random = torch.Generator().manual_seed(0)
    log = draw(DiffusionSettings(mean=-0.3, std=1.1), 4096, random).log()
    assert float(log.mean()) == pytest.approx(-0.3, abs=0.01) and float(log.std()) == pytest.approx(1.1, abs=0.01)
    time = draw(DiffusionSettings(levels="flow", mean=0.0, std=1.0), 4096, random)
    # Rectified flow: t = sigma / (1 + sigma) is logit-normal, so its median is one half.
    assert float((time / (1 + time)).median()) == pytest.approx(0.5, abs=0.01)
    for schedule in ("linear", "cosine"):
        table = ddpm_sigmas(schedule)
        drawn = draw(DiffusionSettings(levels=f"ddpm_{schedule}"), 1000, random)
        assert torch.equal(drawn.sort().values, table)
        assert (table.diff() > 0).all()
    # sqrt(1 / alpha_bar - 1) at the last step of the linear schedule of DDPM, whose alpha_bar is 4.04e-5.
    assert float(ddpm_sigmas("linear")[-1]) == pytest.approx(157.4, rel=0.01)


@dataclass
class Asked:
    value: float

    def hidden(self, rows):
        return Asked(0.0)


def test_guidance_is_linear_per_clip_and_only_inside_its_interval():
    calls = []

    def denoise(x, sigma, condition):
        calls.append(condition.value)
        return {"a": torch.full((3, 1, 1, 1, 1), condition.value)}

    def weak(x, sigma, condition):
        return {"a": torch.full((3, 1, 1, 1, 1), condition.value - 1)}

    def at(sigma, weight, **settings):
        run = guided(denoise, SamplingSettings(**settings), {"a": torch.tensor(weight)}, settings and weak or None)
        return run({}, {"a": torch.full((3, 1), sigma)}, Asked(2.0))["a"].flatten().tolist()

    assert at(1.0, [1.0, 2.0, 0.0]) == [2.0, 4.0, 0.0]
    calls.clear()
    assert at(1.0, [1.0, 1.0, 1.0]) == [2.0, 2.0, 2.0] and calls == [2.0]
    assert at(1.0, [3.0] * 3, guidance_low=2.0) == [2.0] * 3
    assert at(1.0, [3.0] * 3, guidance_high=0.5) == [2.0] * 3
    assert at(1.0, [1.0] * 3, autoguidance=3.0) == [4.0] * 3


def test_each_stream_is_guided_by_its_own_level_and_not_where_it_is_known():
    def denoise(x, sigma, condition):
        return {n: torch.full_like(v, condition.value) for n, v in x.items()}

    x = {n: torch.zeros(1, 1, 2, 1, 1) for n in "ab"}
    sigma = {"a": torch.tensor([[40.0, 40.0]]), "b": torch.tensor([[10.0, 0.0]])}
    weight = {n: torch.tensor([3.0]) for n in "ab"}
    for high, a, b in [(20.0, [2.0, 2.0], [6.0, 2.0]), (50.0, [6.0, 6.0], [6.0, 2.0]), (5.0, [2.0, 2.0], [2.0, 2.0])]:
        found = guided(denoise, SamplingSettings(guidance_high=high), weight)(x, sigma, Asked(2.0))
        assert [found[n].flatten().tolist() for n in "ab"] == [a, b]


def test_guidance_may_differ_by_stream_and_time_and_synchrony_tells_streams_apart():
    def denoise(x, sigma, condition):
        # Together the streams say more than alone, and what is asked for adds its value.
        return {n: torch.full_like(v, condition.value + 10.0 * (len(x) - 1)) for n, v in x.items()}

    x = {n: torch.zeros(1, 1, 2, 1, 1) for n in "ab"}
    sigma = {n: torch.ones(1, 2) for n in "ab"}

    def at(weight, **settings):
        out = guided(denoise, SamplingSettings(**settings), weight)(x, sigma, Asked(2.0))
        return [v.flatten().tolist() for v in out.values()]

    along = {"a": torch.tensor([3.0]), "b": torch.tensor([[1.0, 2.0]])}
    assert at(along) == [[16.0, 16.0], [12.0, 14.0]]
    plain = {n: torch.ones(1) for n in "ab"}
    assert at(plain, synchrony=3.0) == [[32.0, 32.0], [32.0, 32.0]]
    settings = SamplingSettings(guidance={"a": 3.0})
    assert [settings.guidance_of(n) for n in "ab"] == [3.0, 1.0]
    assert SamplingSettings(guidance=2.0).guidance_of("a") == 2.0


def test_standard_comes_back():
    standard, x = Standard(-0.6, 0.3), torch.randn(5, 1, 4, 3, 1)
    torch.testing.assert_close(standard.inverse(standard.forward(x)), x)
    assert float(standard.forward(torch.tensor(-0.3))) == pytest.approx(1.0)
