"""Networks of a few weights."""

from __future__ import annotations

import torch


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
