"""Attention over the tokens of all streams."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff.nn.embeddings import rotate
from mediadiff.nn.layers import linear, zeroed

PLAIN_TOKENS = 512
"""Up to here two matrix products and a softmax beat the fused kernel, whose bf16 backward is slow on short rows."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of `[B, heads, tokens, features]`."""
    if q.shape[2] > PLAIN_TOKENS:
        return F.scaled_dot_product_attention(q, k, v)
    weights = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2)).softmax(dim=-1)
    return torch.matmul(weights, v)


class TrunkBlock(nn.Module):
    """Self-attention and a feed-forward layer on tokens, scaled and shifted by the embedding of each token's step."""

    def __init__(self, channels: int, heads: int, embedding: int):
        super().__init__()
        self.heads = heads
        self.modulation = zeroed(linear(embedding, 4 * channels))
        self.qkv = linear(channels, 3 * channels)
        self.out = zeroed(linear(channels, channels))
        self.wide = linear(channels, 4 * channels)
        self.narrow = zeroed(linear(4 * channels, channels))

    def forward(
        self, x: Tensor, embeddings: Sequence[Tensor], places: Sequence[int], rotation: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Tokens `[B, N, C]`, stream after stream and step after step.

        `embeddings` has `[B, T, E]` of each stream's steps, and `places` how many tokens a step of it has.
        """
        modulation = [per_token(self.modulation(e), count) for e, count in zip(embeddings, places, strict=True)]
        scale1, shift1, scale2, shift2 = torch.cat(modulation, dim=1).chunk(4, dim=-1)
        h = torch.addcmul(shift1, F.layer_norm(x, x.shape[-1:]), scale1 + 1)
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = attend(rotate(q, *rotation), rotate(k, *rotation), v)
        x = x + self.out(h.transpose(1, 2).flatten(2))
        h = torch.addcmul(shift2, F.layer_norm(x, x.shape[-1:]), scale2 + 1)
        return x + self.narrow(F.silu(self.wide(h)))


def per_token(x: Tensor, places: int) -> Tensor:
    """Values of time steps, `[B, T, C]`, as values of the `places` tokens of each: `[B, T * places, C]`."""
    return x[:, :, None].expand(-1, -1, places, -1).flatten(1, 2)
