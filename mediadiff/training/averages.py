"""Averaged weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """An exponential average of a module's weights that looks back over `clips` clips, and less far at the start."""

    def __init__(self, module: nn.Module, clips: int):
        self.clips = clips
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, seen: int, batch: int) -> None:
        """Takes in the weights after a step of `batch` clips, `seen` clips into training."""
        # A tenth of what has been seen, so that the first weights are soon forgotten.
        span = min(self.clips, seen / 10 + batch)
        for name, value in module.state_dict().items():
            self.weights[name].lerp_(value, min(1.0, batch / span))

    def load(self, weights: dict[str, Tensor]) -> None:
        """Takes `weights` as the average so far."""
        self.weights = {name: weights[name].clone() for name in self.weights}
