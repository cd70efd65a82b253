"""The sampling loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mediadiff.diffusion.schedulers import Solver
from mediadiff.diffusion.settings import Sampler
from mediadiff.diffusion.streams import Streams

AtLevels = Callable[[Streams, Mapping[str, float]], Streams]


def sample(
    denoise: AtLevels,
    noise: Streams,
    levels: Mapping[str, Tensor],
    sampler: Sampler,
    generators: Sequence[torch.Generator],
    start: Streams | None = None,
    given: Mapping[str, tuple[Tensor, Tensor]] | None = None,
) -> dict[str, Tensor]:
    """Samples `[B, ...]` of each stream, drawn from `noise` of unit variance.

    `levels` are the falling noise levels of each stream, equally many, `[steps]`: its own walk, taken side by side with
    the others. From the last of them it goes to 0 at once.

    `denoise(x, sigma)` is `D` at data plus sigma times noise. `start` is data to begin from at a lower first level
    (zero if not given). `given` is `(mask, values)` of a stream: cells of the mask keep their values throughout.
    `generators` has one entry per clip, for samplers that draw noise on the way.
    """
    start, given = start or {}, given or {}

    def kept(x: Streams) -> dict[str, Tensor]:
        return {n: torch.where(given[n][0], given[n][1], value) if n in given else value for n, value in x.items()}

    solvers = {name: Solver(sampler, levels[name]) for name in noise}
    x = {n: value * solvers[n].visits[0][1] for n, value in noise.items()}
    x = {n: solvers[n].start(value + start[n] if n in start else value) for n, value in x.items()}
    for visits in zip(*(solver.visits for solver in solvers.values()), strict=True):
        at: dict[str, tuple[Tensor, float]] = dict(zip(solvers, visits, strict=True))
        seen = kept({n: solvers[n].seen(*at[n], value) for n, value in x.items()})
        denoised = denoise(seen, {n: sigma for n, (_, sigma) in at.items()})
        x = {n: solvers[n].step(*at[n], value, seen[n], denoised[n], generators) for n, value in x.items()}
    return kept(x)
