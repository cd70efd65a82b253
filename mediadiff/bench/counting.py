"""What some work comes to on any machine: arithmetic, operations and memory traffic, counted and not timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Counts:
    """The counts of a run."""

    flops: int
    """Floating point operations of convolutions, matrix products and attention."""
    operations: int
    """Operations that torch dispatched; views, which only look at memory in another way, are among them."""
    bytes: int
    """What operations read and wrote, each input and output taken once; views move nothing."""

    def grown(self, before: Counts, part: float) -> dict[str, float]:
        """The counts that are larger than `before` by more than `part`, as ratios."""
        ratios = {name: getattr(self, name) / getattr(before, name) for name in ("flops", "operations", "bytes")}
        return {name: ratio for name, ratio in ratios.items() if ratio > 1 + part}


def count(run: Callable[[], object], calls: int = 1) -> Counts:
    """The counts of a call of `run`, the mean of so many."""
    traffic = _Traffic()
    with FlopCounterMode(display=False) as flops, traffic:
        for _ in range(calls):
            run()
    return Counts(flops.get_total_flops() // calls, traffic.operations // calls, traffic.bytes // calls)


class _Traffic(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.operations += 1
        if not func.is_view:
            tensors = [x for x in tree_leaves((args, kwargs or {}, out)) if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in tensors)
        return out
