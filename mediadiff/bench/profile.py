"""Where time goes: the operations of a run by what they are for, as shares of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, record_function

from mediadiff.nn.convolution import ByProduct

_PHASE = "mediadiff:"
# The first that is a part of an operation's name decides. Linear layers never come as products of batches.
_WORDS = {
    "conv": "convolution",
    "bmm": "attention",
    "softmax": "attention",
    "scaled_dot_product": "attention",
    "flash": "attention",
    "addmm": "linear layers",
    "aten::mm": "linear layers",
    "adamw": "optimiser and average",
    "lerp": "optimiser and average",
    "foreach": "optimiser and average",
}
NORM = "norm and element-wise"
BETWEEN = "between operations"


@contextmanager
def phase(name: str) -> Iterator[None]:
    """All that happens inside counts under this name, whatever it is."""
    with record_function(_PHASE + name):
        yield


def where(run: Callable[[], object]) -> dict[str, float]:
    """The shares of the time of one call of `run`, largest first; they add up to 1.

    Operations of torch are grouped by kind; what is inside a `phase` counts under the name of the innermost one; the
    rest is what Python and autograd do between operations.
    """
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profiler, phase(BETWEEN):
        run()
    spent: dict[str, float] = {}
    for event in profiler.events():
        group = _group(event)
        spent[group] = spent.get(group, 0.0) + event.self_cpu_time_total
    total = sum(spent.values())
    return {group: spent[group] / total for group in sorted(spent, key=lambda group: -spent[group])}


def _group(event: Any) -> str:
    inside = event
    while inside is not None:
        if inside.name.startswith(_PHASE):
            if inside.name == _PHASE + BETWEEN:
                break
            return str(inside.name.removeprefix(_PHASE))
        if inside.name.startswith("Optimizer.step"):
            return "optimiser and average"
        if inside.name.startswith(ByProduct.__name__):
            return "convolution"
        inside = inside.cpu_parent
    for word, group in _WORDS.items():
        if word in event.name.lower() and event.name.startswith("aten::"):
            return group
    return NORM if event.name.startswith("aten::") else BETWEEN
