"""What is asked for along time, at the middle of each time step: between moments it changes evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mediadiff.domains.base import Domain
from mediadiff.rendering.request import Moment, Request
from mediadiff.rendering.windows import Window


def middles(window: Window, domains: Mapping[str, Domain]) -> dict[str, np.ndarray]:
    """For each stream the seconds at the middles of a window's time steps, from the clip's beginning."""
    return {
        name: (np.arange(window.begin[name], window.end(name)) + 0.5) / float(domain.rate)
        for name, domain in domains.items()
    }


def labels(request: Request) -> list[str]:
    """The labels that a request goes through, one for each moment that names one."""
    return [moment.label for moment in request.timeline if moment.label is not None]


def shares(requests: Sequence[Request], at: Mapping[str, np.ndarray]) -> list[dict[str, Tensor]]:
    """For each of the labels its share at each step of each stream, `[B, T]`; all shares of a step add up to one."""
    count = len(labels(requests[0]))
    found = {name: [_shares(request.timeline, seconds) for request in requests] for name, seconds in at.items()}
    return [{name: torch.stack([row[k] for row in rows]) for name, rows in found.items()} for k in range(count)]


def guidance(request: Request, seconds: np.ndarray, usual: float) -> Tensor:
    """The guidance at each of `seconds`; `usual` where no moment says."""
    return _along(request.timeline, "guidance", seconds, usual)


def strength(request: Request, seconds: np.ndarray) -> Tensor:
    """How far the file to vary may change at each of `seconds`."""
    return _along(request.timeline, "strength", seconds, request.strength)


def _along(moments: Sequence[Moment], name: str, seconds: np.ndarray, usual: float) -> Tensor:
    said = [(float(m.at), getattr(m, name)) for m in moments if getattr(m, name) is not None]
    if not said:
        return torch.full((len(seconds),), usual)
    times, values = zip(*said, strict=True)
    return torch.from_numpy(np.interp(seconds, times, values)).float()


def _shares(moments: Sequence[Moment], seconds: np.ndarray) -> Tensor:
    times = [float(moment.at) for moment in moments if moment.label is not None]
    return torch.from_numpy(np.stack([np.interp(seconds, times, one) for one in np.eye(len(times))])).float()
