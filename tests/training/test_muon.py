"""Muon against torch's own, in both kinds of numbers."""

import pytest
import torch

from mediadiff.training.muon import COEFFICIENTS, STEPS, TURNS, Muon, orthogonal, turns

SHAPES = [(48, 96), (96, 48), (64, 64)]


def gradients(shape):
    random = torch.Generator().manual_seed(0)
    # Of uneven singular values, as real ones are.
    uneven = torch.diag(torch.logspace(-2, 0, shape[1]))
    return [torch.randn(shape, generator=random) @ uneven for _ in range(4)]


def moves(matrix, optimizer, gradient, rate=1e-2, decay=0.1):
    """What a step adds to a matrix, weight decay apart."""
    before = matrix.detach().clone()
    matrix.grad = gradient.clone()
    optimizer.step()
    assert torch.equal(matrix.grad, gradient)
    return matrix.detach() - (1 - rate * decay) * before


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bf16", [False, True])
def test_moves_a_matrix_as_torchs_does_and_between_its_turns_as_before(shape, bf16):
    begin = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    ours, theirs = begin.clone(), begin.clone().requires_grad_()
    muon = Muon([ours], 1e-2, 0.1, bf16)
    reference = torch.optim.Muon([theirs], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for number, gradient in enumerate(gradients(shape)):
        mine, its = moves(ours, muon, gradient), moves(theirs, reference, gradient)
        if number % TURNS == 0:
            last = mine
            # torch's rounds to bfloat16 on the way.
            assert (mine - its).norm() < 0.04 * its.norm()
        else:
            assert (mine - its).norm() > 0.1 * its.norm()
            torch.testing.assert_close(mine, last, atol=1e-6, rtol=0)


def test_every_shape_has_a_turn_and_turns_are_about_equally_long():
    shapes = [(48, 432), (64, 64), (64, 64), (64, 576), (96, 64), (64, 32), (32, 288), (32, 288)]
    found = turns([torch.Size(shape) for shape in shapes])
    assert set(found) == set(shapes)
    work = [0, 0]
    for rows, columns in shapes:
        work[found[torch.Size((rows, columns))]] += min(rows, columns) ** 2 * max(rows, columns)
    assert max(work) < 1.3 * min(work)
    assert found == turns([torch.Size(shape) for shape in reversed(shapes)])


def test_each_matrix_has_its_turn_in_every_other_step_and_all_of_them_in_the_first():
    random = torch.Generator().manual_seed(0)
    matrices = [torch.randn(shape, generator=random) for shape in ((40, 40), (40, 80))]
    muon = Muon(matrices, 1e-2, 0.1, False)
    turned = []
    for _ in range(5):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape, generator=random)
        before = [muon.state[matrix].get("direction") for matrix in matrices]
        muon.step()
        turned.append([muon.state[m]["direction"] is not was for m, was in zip(matrices, before, strict=True)])
    assert turned == [[True, True], [True, False], [False, True], [True, False], [False, True]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "across"), [(torch.float32, 1e-2), (torch.bfloat16, 5e-2)])
def test_brings_singular_values_near_one_and_keeps_their_directions(shape, dtype, across):
    x = gradients(shape)[0]
    out = orthogonal(x.to(dtype)[None])[0].float()
    assert out.shape == x.shape
    u, before, v = torch.linalg.svd(x, full_matrices=False)
    inside = u.T @ out @ v.T
    after = inside.diagonal()
    assert after.min() > 0 and after.max() < 1.3
    # Five steps lift what is a hundredth of the whole or more.
    lifted = after[before > 0.01 * before.norm()]
    assert len(lifted) > 20 and lifted.min() > 0.6
    # In the directions of x the result has no part across them.
    assert (inside - torch.diag(inside.diagonal())).abs().max() < across


@pytest.mark.parametrize("lowest", [-1, -8])
def test_in_float32_it_is_exact_enough_for_the_smallest_singular_values(lowest):
    random = torch.Generator().manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(48, 432, generator=random, dtype=torch.float64), full_matrices=False)
    before = torch.logspace(0, lowest, 48, dtype=torch.float64)
    a, b, c = COEFFICIENTS
    after = before / before.norm()
    for _ in range(STEPS):
        after = a * after + b * after**3 + c * after**5
    out = orthogonal((u * before @ v).float()[None])[0].double()
    assert (out - u * after @ v).norm() < 1e-3 * after.norm()


@pytest.mark.parametrize("lowest", [-1, -3])
def test_in_bfloat16_a_kernel_comes_near_what_it_is_in_float32(lowest):
    random = torch.Generator().manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(64, 576, generator=random), full_matrices=False)
    kernel = u * torch.logspace(0, lowest, 64) @ v
    exact = orthogonal(kernel[None])[0]
    near = orthogonal(kernel.bfloat16()[None])[0].float()
    # Of steps all taken on one square the small singular values would come out many times too large.
    assert (near - exact).norm() < 0.1 * exact.norm()
    assert torch.linalg.svdvals(near).max() < 1.3


def test_goes_on_from_a_momentum_alone():
    matrix = torch.zeros(40, 80)
    muon = Muon([matrix], 1e-2, 0.0, False)
    muon.state[matrix]["momentum"] = 100 * torch.eye(40, 80)
    matrix.grad = torch.randn(40, 80, generator=torch.Generator().manual_seed(0))
    muon.step()
    assert (matrix / matrix.norm() + torch.eye(40, 80) / 40**0.5).norm() < 0.1


def test_a_matrix_without_a_gradient_or_with_one_of_zeros_stays():
    left, right = torch.ones(40, 40), torch.ones(40, 40)
    right.grad = torch.zeros(40, 40)
    Muon([left, right], 1e-2, 0.0, False).step()
    assert torch.equal(left, torch.ones(40, 40)) and torch.equal(right, torch.ones(40, 40))


@pytest.mark.parametrize("bf16", [False, True])
def test_a_matrix_moves_as_it_would_without_others_of_its_shape(bf16):
    random = torch.Generator().manual_seed(2)
    begin = [torch.randn(shape, generator=random) for shape in ((48, 96), (96, 48), (48, 96), (48, 96))]
    gradient = [torch.randn(matrix.shape, generator=random) for matrix in begin]

    def moved(chosen):
        matrices = [begin[i].clone() for i in chosen]
        for matrix, i in zip(matrices, chosen, strict=True):
            matrix.grad = gradient[i]
        Muon(matrices, 1e-2, 0.1, bf16).step()
        return matrices

    for i, matrix in enumerate(moved(range(4))):
        assert not torch.equal(matrix, begin[i])
        torch.testing.assert_close(matrix, moved([i])[0], atol=1e-5, rtol=0)
