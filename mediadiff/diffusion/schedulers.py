"""The solvers: diffusers' schedulers behind one adapter around `D(x, sigma)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import Tensor

from mediadiff._compat import scheduler_class
from mediadiff.diffusion.settings import Sampler
from mediadiff.errors import UsageError


@dataclass(frozen=True)
class Entry:
    """How a scheduler of diffusers is set up.

    `preserving`: its sample is x / sqrt(1 + sigma^2), not x; `random`: it draws noise on the way; `anchored`: it takes
    the first level of its table for the data's own, so that the table begins below the levels that are visited.
    """

    scheduler: str
    preserving: bool
    prediction: str = "sample"
    random: bool = False
    anchored: bool = False
    options: dict[str, Any] = field(default_factory=dict)


SAMPLERS: dict[Sampler, Entry] = {
    "ddpm": Entry("DDPMScheduler", True, random=True, options={"clip_sample": False}),
    "ddim": Entry("DDIMScheduler", True, options={"clip_sample": False}),
    "euler": Entry("EulerDiscreteScheduler", False, "epsilon"),
    "euler_a": Entry("EulerAncestralDiscreteScheduler", False, "epsilon", random=True),
    "heun": Entry("HeunDiscreteScheduler", False, "epsilon"),
    "dpmpp_2m": Entry("DPMSolverMultistepScheduler", True),
    "dpmpp_2m_sde": Entry(
        "DPMSolverMultistepScheduler", True, random=True, options={"algorithm_type": "sde-dpmsolver++"}
    ),
    "unipc": Entry("UniPCMultistepScheduler", True),
    "deis": Entry("DEISMultistepScheduler", True),
    # The sampling of consistency models (arXiv 2303.01469, algorithm 1): D, and fresh noise of the next level. Scaled
    # so, each time of the scheduler but its first is far enough from the data that D is taken as it is.
    "lcm": Entry("LCMScheduler", True, "sample", random=True, anchored=True, options={"timestep_scaling": 1e9}),
}


def names() -> list[str]:
    """The names of all samplers."""
    return list(get_args(Sampler))


def karras(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """`steps` noise levels falling from `sigma_max` to `sigma_min`, float64 (arXiv 2206.00364, eq. 5)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (high + ramp * (low - high)) ** rho


class Solver:
    """One walk from the highest of `sigmas` down to 0.

    diffusers' schedulers know a table of training steps; ours has exactly the levels that are visited, so that every
    scheduler walks over the same ones and none is interpolated.
    """

    def __init__(self, name: Sampler, sigmas: Tensor):
        if name not in SAMPLERS:
            raise UsageError(f"there is no sampler {name!r}; there are: {', '.join(names())}")
        self.entry = SAMPLERS[name]
        rising = sigmas.double().flip(0)
        if self.entry.anchored:
            rising = torch.cat([rising[:1] / 2, rising])
        kept = 1 / (1 + rising**2)
        before = torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
        scheduler = scheduler_class(self.entry.scheduler)(
            num_train_timesteps=len(rising),
            trained_betas=(1 - kept / before).tolist(),
            prediction_type=self.entry.prediction,
            timestep_spacing="trailing",
            **self.entry.options,
        )
        scheduler.set_timesteps(
            len(sigmas), **({"original_inference_steps": len(rising)} if self.entry.anchored else {})
        )
        self.scheduler = scheduler
        # As the scheduler itself rounds them, so that the network is told the level that its input really has.
        table = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).sqrt()
        self.visits = [(t, float(table[int(t)])) for t in scheduler.timesteps]
        """The scheduler's time and sigma of each evaluation of the network."""

    def start(self, x: Tensor) -> Tensor:
        """`x`, which is data plus noise at the first level, in the scheduler's scale."""
        return x / (1 + self.visits[0][1] ** 2) ** 0.5 if self.entry.preserving else x

    def seen(self, t: Tensor, sigma: float, x: Tensor) -> Tensor:
        """The scheduler's sample `x` as data plus sigma times noise."""
        return self.scheduler.scale_model_input(x, t) * (1 + sigma**2) ** 0.5

    def step(
        self, t: Tensor, sigma: float, x: Tensor, seen: Tensor, denoised: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """The next sample, in the scheduler's scale, from `x` and `D` at `seen`; each clip has its own noise."""
        output = (seen - denoised) / sigma if self.entry.prediction == "epsilon" else denoised
        noise = {"generator": list(generators)} if self.entry.random else {}
        return self.scheduler.step(output, t, x, **noise).prev_sample
