"""Convolutions of `[N, C, P, Q]` in the plane and along time, on lines and circles, with a gradient that is quick."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGE = 32
"""A kernel with so many weights for each place of the batch is large: in bfloat16 torch's own gradient of it takes two
to ten times as long as a matrix product on a processor."""


def convolve(conv: nn.Conv2d, x: Tensor, around: bool) -> Tensor:
    """A convolution of `[N, C, P, Q]`; with `around` the first axis of the plane is a circle.

    `conv` has stride 1, one group and a bias.
    """
    high, wide = cast(tuple[int, int], conv.padding)
    if around:
        # A circle may be shorter than what the convolution sees of it: then it goes around more than once.
        steps = torch.arange(-high, x.shape[2] + high, device=x.device) % x.shape[2]
        x, high = x.index_select(2, steps), 0
    if x.is_cpu and torch.is_autocast_enabled("cpu"):
        # Which the convolution would do itself.
        x = x.to(torch.get_autocast_dtype("cpu"))
    bias = cast(Tensor, conv.bias)
    if torch.is_grad_enabled() and _is_large(conv.weight, x):
        out: Tensor = ByProduct.apply(x, conv.weight.to(x.dtype), bias.to(x.dtype), (high, wide))
    elif around:
        out = F.conv2d(x, conv.weight, bias, padding=(high, wide))
    else:
        out = conv(x)
    return out


def along_time(conv: nn.Conv2d, x: Tensor, batch: int, around: bool) -> Tensor:
    """A convolution over time of frames folded as `[B * T, C, H, W]`. Not a conv3d: slow and faulty in bf16."""
    n, c, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(batch, n // batch, height * width, c)
    rows = convolve(conv, rows.permute(0, 3, 1, 2), around).permute(0, 2, 3, 1)
    return rows.reshape(n, height, width, c).permute(0, 3, 1, 2)


def _is_large(weight: Tensor, x: Tensor) -> bool:
    return x.dtype == torch.bfloat16 and x.is_cpu and weight.numel() >= LARGE * (x.numel() // x.shape[1])


class ByProduct(torch.autograd.Function):
    """A convolution of stride 1 with a bias, which takes the gradient of its kernel as one matrix product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return F.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        out, channels, *size = weight.shape
        # Asked for the gradient of the bias too, torch takes that of the kernel with it.
        of_x, _, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, [out], (1, 1), ctx.padding, (1, 1), False, (0, 0), 1, (True, False, False)
        )
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, out)
        of_weight = (rows.T @ _seen(x, size, ctx.padding)).view(out, *size, channels).permute(0, 3, 1, 2)
        return of_x, of_weight, rows.sum(0), None


def _seen(x: Tensor, size: list[int], padding: tuple[int, int]) -> Tensor:
    """What the kernel sees at each place: `[N * P * Q, height * width * C]`."""
    (high, wide), (height, width) = padding, size
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, wide, wide, high, high))
    return x.unfold(1, height, 1).unfold(2, width, 1).permute(0, 1, 2, 4, 5, 3).reshape(-1, height * width * x.shape[3])
