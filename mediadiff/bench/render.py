"""What rendering does on this machine, from a model that is loaded and from nothing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mediadiff.bench.counting import count
from mediadiff.bench.peak import Peak, peak
from mediadiff.bench.profile import NETWORK, phase, where
from mediadiff.bench.subject import Subject
from mediadiff.bench.timing import Timing, timed
from mediadiff.clip import Clip, Picture, Sound
from mediadiff.domains.base import Domain
from mediadiff.errors import MediadiffError
from mediadiff.model import Model, load, save_model
from mediadiff.recipe import TrainRecipe
from mediadiff.rendering import manifest
from mediadiff.rendering.files import render_files
from mediadiff.rendering.generator import threads
from mediadiff.rendering.request import Order, natural_ending


@dataclass(frozen=True)
class Rendering:
    """Figures of one model, rendering one micro-batch into files."""

    batch: int
    threads: int
    steps: int
    files: Timing
    """A micro-batch, from noise to files."""
    network_seconds: float
    """Of it in the network."""
    network_flops: int
    clips_per_second: float
    media_seconds_per_second: float
    peak: Peak
    network_share: float
    """Of the machine's peak."""
    where: dict[str, float]
    """Shares of the time: the network's by kind, decoding to samples and frames, encoding into files, the solver."""


def untrained(recipe: TrainRecipe, folder: Path) -> Path:
    """A model by the recipe with its first weights, saved below `folder`: as quick as a trained one."""
    subject = Subject.of(recipe, folder)
    trainer = subject.trainer
    out = folder / "model"
    weights, labels = trainer.average.weights, subject.encoded.labels
    save_model(out, recipe, labels, trainer.standards, trainer.scalars, weights, None, {"clips": 0})
    return out


def measure(model: str | Path, folder: Path, budget: float) -> Rendering:
    """Renders micro-batches with a model's own settings for about `budget` seconds, into `folder`."""
    loaded = load(model)
    sampling, generator, orders = loaded.sampling(), loaded.generator, _orders(loaded)
    watch, size = _Watch(generator.denoiser.network), sampling.batch
    outs = (folder / f"out-{number}" for number in itertools.count())

    def render() -> None:
        made = render_files(generator, orders, next(outs), loaded.name, loaded.sha256, lambda event: None)
        if made["failed"]:
            raise MediadiffError(f"{loaded.name} cannot be measured: {made['failures'][0]['reason']}")

    files = timed(render, budget)
    network = sum(watch.seconds) / (files.runs + 1)
    # Decoding multiplies next to no matrices: what is counted is the network's.
    flops = count(render).flops
    with threads(sampling.threads):
        highest = peak(generator.bf16, budget / 20)
    return Rendering(
        batch=size,
        threads=sampling.threads,
        steps=sampling.steps,
        files=files,
        network_seconds=network,
        network_flops=flops,
        clips_per_second=size / files.seconds,
        media_seconds_per_second=size * float(loaded.seconds) / files.seconds,
        peak=highest,
        network_share=flops / network / highest.rate,
        where=where(lambda: _by_phase(loaded, orders, next(outs))),
    )


def _orders(model: Model) -> list[Order]:
    sampling, seconds = model.sampling(), model.seconds
    ending = natural_ending(model.recipe.streams, seconds).removeprefix(".")
    requests = model.requests(sampling.batch, list(model.labels) or None)
    return [Order(request, seconds, sampling, ending) for request in requests]


class _Watch:
    """The calls of a network: how long each took, and a phase of the profile."""

    def __init__(self, network: nn.Module):
        self.seconds: list[float] = []
        self._begun = 0.0
        self._phase = ExitStack()
        network.register_forward_pre_hook(self._before)
        network.register_forward_hook(self._after)

    def _before(self, *_: Any) -> None:
        self._begun = time.perf_counter()
        self._phase.enter_context(phase(NETWORK))

    def _after(self, *_: Any) -> None:
        self._phase.close()
        self.seconds.append(time.perf_counter() - self._begun)


class _Decoding:
    """A domain whose decoding is a phase of the profile."""

    def __init__(self, domain: Domain):
        self._domain = domain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def decode(self, x: Tensor) -> Sound | Picture:
        with phase("decoding"):
            return self._domain.decode(x)


def _by_phase(model: Model, orders: Sequence[Order], out: Path) -> None:
    """What `render_files` does for one micro-batch, in phases."""
    out.mkdir()
    domains: Any = {name: _Decoding(domain) for name, domain in model.generator.domains.items()}
    generator, first = replace(model.generator, domains=domains), orders[0]
    with phase("solver"):
        clips = list(generator.attempts([order.request for order in orders], first.seconds, first.sampling))
    with phase("files"):
        for order, clip in zip(orders, clips, strict=True):
            assert isinstance(clip, Clip)  # or `measure` would have met the error
            made = manifest.facts(model.name, model.sha256, order, generator.bf16)
            manifest.append(out, manifest.save(clip, out, order.file_name(), made, 0.0))
