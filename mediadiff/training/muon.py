"""Muon: a matrix moves by its momentum made orthogonal, so that all that a batch teaches counts alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from math import sqrt

import torch
from torch import Tensor

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial x -> a x + b x^3 + c x^5 that takes singular values from 0..1 near 1, steepest at 0."""
STEPS = 5
TURNS = 2
"""Steps in which each matrix has a turn to be made orthogonal once."""


class Muon(torch.optim.Optimizer):
    """Steps over matrices `[rows, columns]`.

    What torch's own does (Nesterov momentum; steps as long as AdamW's, arXiv 2502.16982, eq. 4), but also in float32:
    torch's computes in bfloat16 always, which takes several times as long where a processor is not made for it. And it
    makes momenta orthogonal in turns, about half of the work in each step: between its turns a matrix goes on in its
    last direction, as its momentum changes by little. That halves what it takes, and a clip teaches about as much.
    """

    def __init__(self, matrices: Iterable[Tensor], learning_rate: float, weight_decay: float, bf16: bool):
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        super().__init__(matrices, {"lr": learning_rate, "weight_decay": weight_decay})
        self.turns = turns([matrix.shape for group in self.param_groups for matrix in group["params"]])

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Changes the matrices in place by their gradients; one without a gradient stays."""
        for group in self.param_groups:
            moved = [matrix for matrix in group["params"] if matrix.grad is not None]
            # Matrices of one shape at once: most are so small that a product takes less time than its call.
            due: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in moved:
                state = self.state[matrix]
                if "direction" not in state:
                    # A training that was begun without turns has its momenta.
                    state.setdefault("momentum", torch.zeros_like(matrix))
                    state["step"] = torch.zeros(())
                state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
                if "direction" not in state or int(state["step"]) % TURNS == self.turns[matrix.shape]:
                    due[matrix.shape].append(matrix)
                state["step"] += 1
            for matrices in due.values():
                directions = orthogonal(torch.stack([self._ahead(matrix) for matrix in matrices]))
                for matrix, direction in zip(matrices, directions, strict=True):
                    # In memory as the matrix lies, where `orthogonal` may have turned it.
                    self.state[matrix]["direction"] = torch.empty_like(matrix).copy_(direction)
            for matrix in moved:
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(self.state[matrix]["direction"], alpha=-0.2 * sqrt(max(matrix.shape)) * group["lr"])

    def _ahead(self, matrix: Tensor) -> Tensor:
        """The gradient of a matrix, most of the way towards its momentum (Nesterov)."""
        assert matrix.grad is not None
        return matrix.grad.lerp(self.state[matrix]["momentum"], MOMENTUM).to(self.dtype)


def turns(shapes: Iterable[torch.Size]) -> Mapping[torch.Size, int]:
    """When matrices of each shape have their turn, from 0 to `TURNS` - 1, so that turns are about equally long."""
    work = {shape: count * min(shape) ** 2 * max(shape) for shape, count in Counter(shapes).items()}
    found, taken = {}, [0] * TURNS
    for shape in sorted(work, key=lambda shape: (-work[shape], shape)):
        found[shape] = taken.index(min(taken))
        taken[found[shape]] += work[shape]
    return found


def orthogonal(x: Tensor) -> Tensor:
    """Matrices `[K, M, N]`, the singular values of each near 1 (0.7 to 1.2), by five steps of Newton and Schulz."""
    if x.shape[1] > x.shape[2]:
        return orthogonal(x.mT).mT
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(1e-7)
    for steps in _rounds(x):
        x = _stepped(x, steps)
    return x


def _rounds(x: Tensor) -> tuple[int, ...]:
    """How many of the steps are taken on each square of `x`."""
    if x.dtype != torch.bfloat16:
        return (STEPS,)
    # A square holds in bfloat16 nothing of singular values below a twentieth, so it is taken again after three steps,
    # which bring all that count above; of a matrix hardly wider than high after each, as it saves little there.
    return (3, STEPS - 3) if x.shape[2] > 2 * x.shape[1] else (1,) * STEPS


def _stepped(x: Tensor, steps: int) -> Tensor:
    """`x` after so many steps, all taken on `x x^T`, `[K, M, M]`: of a convolution's kernel a ninth as wide as `x`."""
    square = torch.bmm(x, x.mT)
    factor = whole = _factor(square)
    for _ in range(steps - 1):
        square = torch.bmm(factor, torch.bmm(factor, square))
        factor = _factor(square)
        whole = torch.bmm(factor, whole)
    return torch.bmm(whole, x)


def _factor(square: Tensor) -> Tensor:
    """What a step multiplies by."""
    a, b, c = COEFFICIENTS
    out = torch.baddbmm(square, square, square, beta=b, alpha=c)
    out.diagonal(dim1=1, dim2=2).add_(a)
    return out
