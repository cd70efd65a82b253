"""Maps of noise over (stream x time) that training draws, so that one model does every task (arXiv 2405.13762)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mediadiff.diffusion.levels import draw
from mediadiff.diffusion.settings import DiffusionSettings

KINDS = ("together", "apart", "across", "stretch")


def draw_maps(
    settings: DiffusionSettings, steps: Mapping[str, int], count: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Noise levels `[B, T]` for each stream of `count` clips, 0 where the clip is given.

    `steps` are the time steps of each stream; all streams last equally long. With one stream, `apart` and `across` are
    `together`.
    """
    mix = settings.mix
    weights = torch.tensor([mix.together, mix.apart, mix.across, mix.stretch])
    kinds = torch.multinomial(weights, count, replacement=True, generator=generator)
    levels = {name: draw(settings, count, generator) for name in steps}
    first = levels[next(iter(steps))]
    apart = kinds == KINDS.index("apart")
    sigma = {n: torch.where(apart, level, first)[:, None].repeat(1, steps[n]) for n, level in levels.items()}

    names = list(steps)
    chosen = torch.randint(len(names), (count,), generator=generator)
    if len(names) > 1:
        across = kinds == KINDS.index("across")
        for i, name in enumerate(names):
            sigma[name][across & (chosen == i)] = 0.0

    stretch = kinds == KINDS.index("stretch")
    all_streams = torch.rand(count, generator=generator) < 0.5
    low, high, outside = _stretches(count, generator)
    for i, name in enumerate(names):
        inside = _within(low, high, steps[name])
        # Rounded so that a step is known only where the whole of it is.
        known = torch.where(outside[:, None], ~_touching(low, high, steps[name]), inside)
        here = stretch & (all_streams | (chosen == i))
        sigma[name] = sigma[name].masked_fill(known & here[:, None], 0.0)
    return sigma


def _stretches(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Stretches as parts of the clip: begin and end, `[B]` each, and whether what lies outside is given, not inside.

    A third begins with the clip (to go on from, or to lead in to), a third ends with it, a third lies within (to
    repair or to join).
    """
    ends = torch.rand(count, 2, generator=generator).sort(dim=1).values
    where = torch.randint(3, (count,), generator=generator)
    low = ends[:, 0].masked_fill(where == 0, 0.0)
    high = ends[:, 1].masked_fill(where == 1, 1.0)
    outside = torch.rand(count, generator=generator) < 0.5
    return low, high, outside


def _within(low: Tensor, high: Tensor, steps: int) -> Tensor:
    """`[B, T]`: the steps that lie wholly between `low` and `high`, which are parts of the clip."""
    edges = torch.arange(steps + 1) / steps
    return (edges[:-1] >= low[:, None]) & (edges[1:] <= high[:, None])


def _touching(low: Tensor, high: Tensor, steps: int) -> Tensor:
    """`[B, T]`: the steps that share any time with the stretch."""
    edges = torch.arange(steps + 1) / steps
    return (edges[1:] > low[:, None]) & (edges[:-1] < high[:, None])
