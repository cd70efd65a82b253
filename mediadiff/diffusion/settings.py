"""Settings of diffusion: the `diffusion:` section of a training recipe and the sampling part of a render recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

SIGMA_MIN, SIGMA_MAX = 0.004, 80.0
"""The walk's ends for data of unit variance: below, nothing is seen or heard; above, nothing of the data is left."""

Sampler = Literal["ddpm", "ddim", "euler", "euler_a", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis", "lcm"]

Guidance = Annotated[float, Ge(0), Le(20)]
Lowest = Annotated[float, Gt(0), Lt(SIGMA_MAX)]


@dataclass(frozen=True)
class MixSettings:
    """How often training draws each kind of map of noise; of the first four only the proportions count."""

    together: Annotated[float, Ge(0)] = 1.0
    """One noise level everywhere."""
    apart: Annotated[float, Ge(0)] = 0.0
    """A noise level for each stream."""
    across: Annotated[float, Ge(0)] = 0.0
    """One stream given whole, the others wanted."""
    stretch: Annotated[float, Ge(0)] = 0.0
    """Stretches of time given, in one stream or in all."""
    alone: Annotated[float, Ge(0), Le(0.9)] = 0.0
    """Part of the steps in which each stream is learnt by itself, as if the clips had no other: for models that make
    one stream alone, and for guidance towards synchrony."""

    def __post_init__(self) -> None:
        if not self.together + self.apart + self.across + self.stretch > 0:
            raise ValueError("together, apart, across or stretch is above 0")


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
    mix: MixSettings = MixSettings()
    """Which maps of noise over (stream x time) training draws, so that one model does every task."""


@dataclass(frozen=True)
class ConsistencySettings:
    """How a trained model is tuned to a student of a few steps: to answer alike at two levels of one path."""

    stages: Annotated[int, Ge(1), Le(20)] = 1
    """Stages of the tuning, equally long; from one to the next the two levels come closer."""
    q: Annotated[float, Gt(1)] = 5.0
    """In the last of n stages the levels lie apart by one part in q^n; below 1/64 bfloat16 cannot tell the answers
    apart, see `training.precision`."""
    mean: float | None = None
    """edm, flow: as in `diffusion`, the levels drawn in tuning; nothing: as the teacher was trained."""
    std: Annotated[float, Gt(0)] | None = None
    """The same."""
    mix: MixSettings | None = None
    """As in `diffusion`, the maps of noise drawn in tuning, the whole mix anew; nothing: as the teacher was trained. A
    few evaluations are asked for other maps than many: for streams at levels far `apart`."""


@dataclass(frozen=True)
class MatchingSettings:
    """How a student learns to make what its teacher might make, whatever the path that led there."""

    part: Annotated[float, Gt(0), Le(1)] = 0.5
    """Part of the passes in which the student learns; in all of them its critic learns what it makes."""
    haste: Annotated[float, Gt(0), Le(100)] = 2.5
    """The critic's learning rate by the student's."""
    hold: Annotated[float, Ge(0), Le(100)] = 1.0
    """How firmly the student holds to what it answered at its start, so that no kind of clip is lost."""
    mean: float | None = None
    """edm, flow: as in `diffusion`, the levels at which the two are compared; nothing: as the teacher was trained."""
    std: Annotated[float, Gt(0)] | None = None
    """The same."""
    mix: MixSettings | None = None
    """As in `diffusion`, the maps of noise at which they are compared, and what is given; nothing: as the teacher was
    trained."""


@dataclass(frozen=True)
class SamplingSettings:
    """How clips are drawn from a model."""

    sampler: Sampler = "dpmpp_2m"
    steps: Annotated[int, Ge(1), Le(1000)] = 12
    """Steps of the sampler: evaluations of the network, twice as many less one for heun."""
    sigma_min: Lowest | dict[str, Lowest] = SIGMA_MIN
    """The lowest noise level at which the network is asked, one for all streams or one for each; the rest of the way is
    taken at once. A stream with a higher one than another is made from what the other already shows."""
    guidance: Guidance | dict[str, Guidance] = 1.0
    """Classifier-free guidance, of all streams or of each by name: 1 is none, 0 ignores the condition."""
    guidance_low: Annotated[float, Ge(0)] = 0.0
    """Guide only where sigma is above this ..."""
    guidance_high: Annotated[float, Gt(0)] = 1e9
    """... and below this."""
    autoguidance: Guidance = 1.0
    """Guidance by an early snapshot of the same training: 1 is none."""
    synchrony: Guidance = 1.0
    """Guidance towards what fits the other streams: away from what each stream would be alone; 1 is none."""
    batch: Annotated[int, Ge(1), Le(1024)] = 8
    """Clips that the network runs at once, always: a lone clip is padded, so that its bytes depend on no other."""
    threads: Annotated[int, Ge(1), Le(1024)] = 1
    """Processor threads that a clip is made with, always: the last bits of its numbers depend on them."""

    def guidance_of(self, stream: str) -> float:
        """The classifier-free guidance of a stream; 1 where the settings name other streams only."""
        return self.guidance.get(stream, 1.0) if isinstance(self.guidance, dict) else self.guidance

    def sigma_min_of(self, stream: str) -> float:
        """The lowest noise level of a stream."""
        return self.sigma_min[stream] if isinstance(self.sigma_min, dict) else self.sigma_min
