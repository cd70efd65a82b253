"""The denoiser `D(x, sigma, condition)`: the one contract between network, training and sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mediadiff.diffusion.streams import Streams

Target = Literal["edm", "flow", "eps", "v", "x0"]
Scalings = tuple[Tensor, Tensor]

SCALINGS: dict[Target, Callable[[Tensor], Scalings]] = {
    # D = skip * x + out * F, for data of unit variance. EDM: arXiv 2206.00364, table 1.
    "edm": lambda s: (1 / (s**2 + 1), s / (s**2 + 1).sqrt()),
    # F is the velocity noise - data along the straight path x_t = (1 - t) data + t noise, sigma = t / (1 - t).
    "flow": lambda s: (1 / (1 + s), -s / (1 + s)),
    "eps": lambda s: (torch.ones_like(s), -s),
    # arXiv 2202.00512, appendix D: v = alpha eps - sigma x0 in the variance-preserving scale.
    "v": lambda s: (1 / (s**2 + 1), -s / (s**2 + 1).sqrt()),
    "x0": lambda s: (torch.zeros_like(s), torch.ones_like(s)),
}


def cells(level: Tensor) -> Tensor:
    """`[B, T]` so that it broadcasts over `[B, C, T, H, W]`."""
    return level[:, None, :, None, None]


class Denoiser(nn.Module):
    """Wraps a network so that it maps noisy streams of unit variance and their levels to clean ones.

    `network(x, level, given, condition, circular)` sees inputs of unit variance and log sigma / 4 per time step.
    `uncertainty` gives, per stream, the learned log-variance of the loss at a level.
    """

    def __init__(
        self, network: nn.Module, uncertainty: Mapping[str, nn.Module], target: Target = "edm", bf16: bool = False
    ):
        super().__init__()
        self.bf16 = bf16
        """Whether the network runs under autocast to bfloat16; levels, scalings and losses stay in float32."""
        self.network = network
        self.uncertainty = nn.ModuleDict(dict(uncertainty))
        self.scalings = SCALINGS[target]

    def raw(
        self, x: Streams, sigma: Streams, condition: Any, circular: bool = False
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the network predicts, and the levels log sigma / 4."""
        scaled = {n: x[n] * cells((sigma[n] ** 2 + 1).rsqrt()) for n in x}
        level = {n: sigma[n].clamp_min(1e-5).log() / 4 for n in x}
        given = {n: sigma[n] == 0 for n in x}
        device = next(iter(x.values())).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.bf16):
            return self.network(scaled, level, given, condition, circular), level

    def forward(self, x: Streams, sigma: Streams, condition: Any, circular: bool = False) -> dict[str, Tensor]:
        """The clean streams; `x[name]` is `[B, C, T, H, W]`, `sigma[name]` `[B, T]`. Where sigma is 0, `x` itself.

        With `circular` the end of a clip goes on at its beginning.
        """
        return self.answer(x, sigma, self.raw(x, sigma, condition, circular)[0])

    def answer(self, x: Streams, sigma: Streams, predicted: Streams) -> dict[str, Tensor]:
        """The clean streams that the network has `predicted` for `x`."""
        out = {}
        for name, f in predicted.items():
            skip, scale = self.scalings(cells(sigma[name]))
            out[name] = torch.where(cells(sigma[name]) == 0, x[name], skip * x[name] + scale * f)
        return out

    def loss(self, clean: Streams, noise: Streams, sigma: Streams, condition: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and the plain squared error of the network's target per clip, `[B]` for each stream."""
        x = {n: clean[n] + cells(sigma[n]) * noise[n] for n in clean}
        return self.weighed(clean, x, sigma, *self.raw(x, sigma, condition))

    def weighed(
        self, clean: Streams, x: Streams, sigma: Streams, predicted: Streams, level: Streams
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of what the network has `predicted` for `x`, and the squared error per clip, as `loss` gives them.

        The error of every noisy cell is weighed by the learned uncertainty of its level (arXiv 2312.02696, eq. 21).
        """
        total, errors = torch.zeros(()), {}
        for name, f in predicted.items():
            noisy = sigma[name] > 0
            safe = sigma[name].clamp_min(1e-5)
            skip, scale = self.scalings(cells(safe))
            target = (clean[name] - skip * x[name]) / scale
            error = (f.float() - target).square().mean(dim=(1, 3, 4))
            u = self.uncertainty[name](level[name])
            weighed = ((error / u.exp() + u) * noisy).sum() / noisy.sum().clamp_min(1)
            total = total + weighed
            errors[name] = (error * noisy).sum(1).detach() / noisy.sum(1).clamp_min(1)
        return total, errors
