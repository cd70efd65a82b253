"""Settings of training: the `training:` section of a recipe. Progress is counted in clips seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

Clips = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class TrainingSettings:
    """`clips` seen in all, `batch` clips a step; the learning rate warms up, stays, and falls to zero at the end."""

    clips: Clips = 50_000
    batch: Annotated[int, Ge(1), Le(4096)] = 32
    learning_rate: Annotated[float, Gt(0), Lt(1)] = 4e-3
    warmup: Annotated[int, Ge(0)] | None = None
    """Clips over which the learning rate rises; nothing: 1000, or a tenth of the training where that is less."""
    decay: Annotated[float, Ge(0), Le(1)] = 0.3
    """The last part of training, in which the learning rate falls to zero."""
    average: Clips = 5_000
    """Clips over which the averaged weights look back."""
    snapshot: Annotated[float, Gt(0), Le(1)] = 0.15
    """The part of training after which the averaged weights are kept for autoguidance."""
    drop: Annotated[float, Ge(0), Le(1)] = 0.1
    """Part of the clips whose condition is hidden, for guidance."""
    clip_gradient: Annotated[float, Gt(0)] = 1.0
    precision: Literal["auto", "bf16", "float32"] = "auto"
    seed: Annotated[int, Ge(0)] = 0
    checkpoint: Clips = 10_000
    """Clips between checkpoints."""
    preview: Clips = 10_000
    """Clips between previews."""

    @property
    def rise(self) -> int:
        """The clips of the warm-up."""
        return min(1000, self.clips // 10) if self.warmup is None else self.warmup


@dataclass(frozen=True)
class TuningSettings(TrainingSettings):
    """The same for tuning a trained model, which takes smaller steps."""

    clips: Clips = 30_000
    batch: Annotated[int, Ge(1), Le(4096)] = 8
    learning_rate: Annotated[float, Gt(0), Lt(1)] = 5e-4
    average: Clips = 3_000
    """Clips over which the averaged weights look back."""
