"""What an objective learns from at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mediadiff.diffusion.streams import Streams


@dataclass(frozen=True)
class Lesson:
    """Clips that have the same streams, and the noise that is drawn for them."""

    clean: Streams
    """`[B, C, T, H, W]`, of unit variance."""
    noise: Streams
    """As large as the clips."""
    sigma: Streams
    """`[B, T]`, 0 where a clip is given."""
    condition: Any
    random: torch.Generator
    """What is drawn besides comes from it."""
    progress: float
    """How much of the training is over, from 0 to 1."""
