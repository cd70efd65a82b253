import pytest
import torch
from torch import nn

from mediadiff.training.optimizer import DECAY, DECAY_MATRICES, NARROW, Optimizer

RATE = 1e-2


@pytest.fixture
def module():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "kernel": nn.Conv2d(32, 64, 3),
            "square": nn.Linear(48, 48),
            "narrow": nn.Linear(48, NARROW - 1),
            "table": nn.Embedding(40, 40),
        }
    )


def with_gradients(module, seed):
    random = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=random)
    return module


def moved(module):
    """What a step at `RATE` adds to each parameter, weight decay apart."""
    optimizer = Optimizer(module, False)
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    with_gradients(module, 0)
    optimizer.step(RATE)
    decay = {"kernel.weight": DECAY_MATRICES, "square.weight": DECAY_MATRICES}
    kept = {n: 1 - RATE * decay.get(n, DECAY) for n in before}
    return {n: (p - kept[n] * before[n]).detach() for n, p in module.named_parameters()}


@pytest.mark.parametrize("name", ["kernel.weight", "square.weight"])
def test_a_matrix_moves_orthogonally_as_far_as_adamw_would(module, name):
    change = moved(module)[name].flatten(1)
    strengths = torch.linalg.svdvals(change) / (0.2 * RATE * max(change.shape) ** 0.5)
    # Five steps of Newton and Schulz bring singular values near 1, not to it.
    assert 0.5 < strengths.min() and strengths.max() < 1.3


@pytest.mark.parametrize("name", ["kernel.bias", "square.bias", "narrow.weight", "table.weight"])
def test_all_else_moves_as_adamw_moves_it(module, name):
    # The first step of AdamW is the sign of the gradient.
    assert moved(module)[name].abs() == pytest.approx(RATE, rel=1e-3)


def test_gradients_are_scaled_down_to_what_is_allowed_and_left_alone_below(module):
    optimizer = Optimizer(with_gradients(module, 0), False)
    before = [p.grad.clone() for p in module.parameters()]
    versions = [p.grad._version for p in module.parameters()]
    norm = torch.cat([g.flatten() for g in before]).norm()
    assert optimizer.clip(float(norm) * 1.01) == pytest.approx(float(norm))
    assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), before, strict=True))
    assert [p.grad._version for p in module.parameters()] == versions
    assert optimizer.clip(2.0) == pytest.approx(float(norm))
    for parameter, gradient in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.grad, gradient * (2.0 / norm))


def test_gradients_that_are_not_finite_have_a_norm_that_is_not(module):
    optimizer = Optimizer(with_gradients(module, 0), False)
    module["square"].bias.grad[3] = torch.nan
    assert not torch.isfinite(optimizer.clip(1.0))


def test_a_step_drops_the_gradients(module):
    optimizer = Optimizer(with_gradients(module, 0), False)
    optimizer.step(RATE)
    assert all(p.grad is None for p in [*module.parameters(), *optimizer.views])


def test_what_has_no_gradient_stays(module):
    before = module["square"].weight.detach().clone()
    with_gradients(module, 0)["square"].weight.grad = None
    Optimizer(module, False).step(RATE)
    assert torch.equal(module["square"].weight, before)


def test_goes_on_from_its_state_to_the_same_bits(module):
    optimizer = Optimizer(with_gradients(module, 0), False)
    optimizer.step(RATE)
    weights, state = {n: p.clone() for n, p in module.state_dict().items()}, optimizer.state()
    state = {n: moment.clone() for n, moment in state.items()}
    with_gradients(module, 1)
    optimizer.step(RATE)
    expected = {n: p.clone() for n, p in module.state_dict().items()}

    module.load_state_dict(weights)
    again = Optimizer(module, False)
    again.load(state)
    with_gradients(module, 1)
    again.step(RATE)
    assert all(torch.equal(p, expected[n]) for n, p in module.state_dict().items())


def test_takes_a_module_without_a_matrix():
    module = nn.Linear(3, 2)
    with_gradients(module, 0)
    Optimizer(module, False).step(RATE)
    assert module.weight.grad is None
