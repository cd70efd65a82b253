"""The sampling loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mediadiff.diffusion.schedulers import Solver, karras
from mediadiff.diffusion.settings import SIGMA_MAX, SIGMA_MIN, Sampler

FlatDenoise = Callable[[Tensor, float], Tensor]


def sample(
    denoise: FlatDenoise,
    noise: Tensor,
    sampler: Sampler,
    steps: int,
    generators: Sequence[torch.Generator],
    start: Tensor | None = None,
    sigma_max: float = SIGMA_MAX,
    sigma_min: float = SIGMA_MIN,
    given: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Samples `[B, N]` drawn with `steps` steps from `noise` `[B, N]` of unit variance.

    The levels fall from `sigma_max` to `sigma_min`, and from there at once to 0; a single step is at `sigma_max`.

    `denoise(x, sigma)` is `D` at data plus sigma times noise. `start` `[B, N]` is data to begin from at a lower
    `sigma_max` (zero if not given). `given` is `(mask, values)`: cells of the mask are kept at their values throughout.
    `generators` has one entry per clip, for samplers that draw noise on the way.
    """
    solver = Solver(sampler, karras(steps, sigma_min, sigma_max))
    x = noise * solver.visits[0][1]
    if start is not None:
        x = x + start
    x = solver.start(x)
    for t, sigma in solver.visits:
        seen = solver.seen(t, sigma, x)
        if given is not None:
            seen = torch.where(given[0], given[1], seen)
        x = solver.step(t, sigma, x, seen, denoise(seen, sigma), generators)
    return x if given is None else torch.where(given[0], given[1], x)
