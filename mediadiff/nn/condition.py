"""What a clip is asked for by: class, text and numbers, as one embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff.nn.embeddings import fourier

TEXT_BYTES = 256
"""Captions are cut here."""


@dataclass(frozen=True)
class Condition:
    """Conditions of a batch.

    `labels` `[B]`, -1 for none; `text` `[B, L]`, bytes + 1, 0 where there is none; `scalars` `[B, S]`, NaN for none.
    """

    labels: Tensor
    text: Tensor
    scalars: Tensor

    @classmethod
    def of(cls, labels: Tensor, captions: Sequence[str] = (), scalars: Tensor | None = None) -> Condition:
        batch = labels.shape[0]
        rows = [c.encode()[:TEXT_BYTES] for c in captions] or [b""] * batch
        # Of one length always, so that a clip's bits do not depend on the captions beside it.
        text = torch.zeros(batch, TEXT_BYTES if any(rows) else 1, dtype=torch.long)
        for i, row in enumerate(rows):
            text[i, : len(row)] = torch.tensor(list(row), dtype=torch.long) + 1
        return cls(labels, text, torch.zeros(batch, 0) if scalars is None else scalars)

    def hidden(self, rows: Tensor) -> Condition:
        """The same with the conditions of `rows` (bool `[B]`) taken away."""
        return Condition(
            self.labels.masked_fill(rows, -1),
            self.text.masked_fill(rows[:, None], 0),
            self.scalars.masked_fill(rows[:, None], torch.nan),
        )

    def of_rows(self, rows: Tensor) -> Condition:
        """The conditions of some rows (int `[N]`) of the batch."""
        return Condition(self.labels[rows], self.text[rows], self.scalars[rows])


@dataclass(frozen=True)
class Timeline:
    """Conditions that take turns or blend along time: at each step, the shares of all of them add up to one."""

    conditions: Sequence[Condition]
    shares: Sequence[Mapping[str, Tensor]]
    """For each condition and stream `[B, T]`, at the stream's own time steps."""

    def hidden(self, rows: Tensor) -> Timeline:
        """The same with the conditions of `rows` (bool `[B]`) taken away."""
        return replace(self, conditions=[c.hidden(rows) for c in self.conditions])


class TextEncoder(nn.Module):
    """Bytes `[B, L]` to `[B, E]`: embedded, mixed by two convolutions, and pooled by learned attention."""

    def __init__(self, width: int, embedding: int):
        super().__init__()
        self.bytes = nn.Embedding(257, width, padding_idx=0)
        self.mix = nn.ModuleList([nn.Conv1d(width, width, 5, padding=2) for _ in range(2)])
        self.weight = nn.Linear(width, 1)
        self.out = nn.Linear(width, embedding)

    def forward(self, text: Tensor) -> Tensor:
        # Zeros follow the text: kept out of the pool, they hide how long the longest text of the batch is.
        there = (text > 0).unsqueeze(-1)
        x = self.bytes(text)
        for conv in self.mix:
            x = x + F.silu(conv((x * there).transpose(1, 2))).transpose(1, 2)
        scores = self.weight(x).masked_fill(~there, -1e4).softmax(dim=1)
        pooled = (scores * x * there).sum(dim=1)
        return self.out(pooled) * there.any(dim=1)


class ConditionEncoder(nn.Module):
    """The sum of the embeddings of label, text and each scalar, `[B, E]`; a condition that is absent adds its null."""

    def __init__(self, embedding: int, labels: int, caption: bool, scalars: int):
        super().__init__()
        self.labels = nn.Embedding(labels + 1, embedding)
        self.text = TextEncoder(128, embedding) if caption else None
        self.scalars = nn.ModuleList([nn.Linear(33, embedding) for _ in range(scalars)])

    def forward(self, condition: Condition) -> Tensor:
        # A model without labels takes data that has them, and does not look.
        known = self.labels.num_embeddings > 1
        e: Tensor = self.labels(condition.labels + 1 if known else torch.zeros_like(condition.labels))
        if self.text is not None:
            e = e + self.text(condition.text)
        for value, linear in zip(condition.scalars.unbind(1), self.scalars, strict=True):
            there = value.isfinite()
            waves = fourier(value.nan_to_num(), 32, 0.02, 2.0) * there[:, None]
            e = e + linear(torch.cat([waves, there[:, None].float()], dim=1).to(e.dtype))
        return e
