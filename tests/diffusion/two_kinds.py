"""Clips of one number, half of them at -1 and half at 1, hardly blurred: their denoiser, and a network for them."""

from __future__ import annotations

import torch

from mediadiff.data.loader import Batch


def exact(x, sigma, condition):
    """The denoiser of these data."""
    variance = 0.01 + sigma["a"][:, None, :, None, None] ** 2
    middle = (x["a"] / variance).tanh()
    return {"a": middle + (x["a"] - middle) * 0.01 / variance}


def batch(numbers):
    """A batch of these numbers."""
    count = len(numbers)
    nothing = {"labels": torch.full((count,), -1), "captions": [""] * count, "scalars": {}, "names": [""] * count}
    return Batch({"a": numbers.reshape(count, 1, 1, 1, 1)}, {"a": torch.ones(count, dtype=torch.bool)}, **nothing)


class Perceptron(torch.nn.Module):
    """Enough of a network for clips of one number."""

    def __init__(self):
        super().__init__()
        widths = [2, 48, 48, 48]
        hidden = [(torch.nn.Linear(a, b), torch.nn.SiLU()) for a, b in zip(widths, widths[1:], strict=False)]
        self.layers = torch.nn.Sequential(*(layer for pair in hidden for layer in pair), torch.nn.Linear(48, 1))

    def forward(self, x, level, given, condition, circular):
        at = torch.stack([x["a"].flatten(), level["a"].flatten()], dim=1)
        return {"a": self.layers(at).reshape(x["a"].shape)}
