"""A few clips rendered while training goes on, always the same ones, so that their growth can be seen and heard."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from mediadiff.diffusion.denoiser import Denoiser
from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.diffusion.streams import Standard
from mediadiff.domains.base import Domain
from mediadiff.rendering.files import render_files
from mediadiff.rendering.generator import Generator
from mediadiff.rendering.request import Order, Request, natural_ending

CLIPS = 8


def preview(
    folder: Path,
    denoiser: Denoiser,
    weights: Mapping[str, torch.Tensor],
    domains: Mapping[str, Domain],
    standards: Mapping[str, Standard],
    labels: Sequence[str],
    scalars: Mapping[str, Standard],
    seconds: Fraction,
    sampling: SamplingSettings,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Renders `CLIPS` clips of seed 0, the labels in turn, with these weights into `folder`."""
    averaged = copy.deepcopy(denoiser)
    averaged.load_state_dict(dict(weights))
    generator = Generator(averaged.eval(), domains, standards, labels, scalars)
    every = max(1, len(labels) // CLIPS)
    requests = [Request(i, 0, labels[i * every % len(labels)] if labels else None) for i in range(CLIPS)]
    ending = natural_ending(domains, seconds)
    orders = [Order(request, seconds, sampling, ending) for request in requests]
    made = render_files(generator, orders, folder, "preview", "", lambda event: None)
    report({"event": "preview", "folder": str(folder), "done": made["done"], "failed": made["failed"]})
