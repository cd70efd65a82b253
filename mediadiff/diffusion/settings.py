"""Settings of diffusion: the `diffusion:` section of a training recipe and the sampling part of a render recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

Sampler = Literal["ddpm", "ddim", "euler", "euler_a", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis"]


@dataclass(frozen=True)
class DiffusionSettings:
    """How noise levels are drawn in training, and what the network is asked to predict."""

    levels: Literal["edm", "flow", "ddpm_linear", "ddpm_cosine"] = "edm"
    """The density of training noise levels: log-normal, rectified flow (logit-normal time), or a DDPM schedule."""
    target: Literal["edm", "flow", "eps", "v", "x0"] = "edm"
    """What the network predicts; all are changes of variables around the same denoiser."""
    mean: float = 0.5
    """edm: mean of log(sigma / sigma_data); flow: mean of logit(t)."""
    std: Annotated[float, Gt(0)] = 1.5
    """edm, flow: standard deviation of the same."""


@dataclass(frozen=True)
class SamplingSettings:
    """How clips are drawn from a model."""

    sampler: Sampler = "dpmpp_2m"
    steps: Annotated[int, Ge(1), Le(1000)] = 12
    """Steps of the sampler: evaluations of the network, twice as many less one for heun."""
    guidance: Annotated[float, Ge(0), Le(20)] = 1.0
    """Classifier-free guidance: 1 is none, 0 ignores the condition."""
    guidance_low: Annotated[float, Ge(0)] = 0.0
    """Guide only where sigma is above this ..."""
    guidance_high: Annotated[float, Gt(0)] = 1e9
    """... and below this."""
    autoguidance: Annotated[float, Ge(0), Le(20)] = 1.0
    """Guidance by an early snapshot of the same training: 1 is none."""
    batch: Annotated[int, Ge(1), Le(1024)] = 8
    """Clips that the network runs at once, always: a lone clip is padded, so that its bytes depend on no other."""
