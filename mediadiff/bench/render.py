"""What rendering does on this machine, from a model that is loaded and from nothing."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mediadiff.bench.counting import count
from mediadiff.bench.peak import Peak, peak
from mediadiff.bench.profile import where
from mediadiff.bench.subject import Subject
from mediadiff.bench.timing import Timing, timed
from mediadiff.clip import Picture, Sound
from mediadiff.domains.base import Domain
from mediadiff.errors import MediadiffError
from mediadiff.model import Model, load, save_model
from mediadiff.recipe import TrainRecipe
from mediadiff.rendering.abreast import processors
from mediadiff.rendering.files import render_files
from mediadiff.rendering.generator import Generator, threads
from mediadiff.rendering.request import Order, natural_ending


@dataclass(frozen=True)
class Rendering:
    """Figures of one model, rendering into files."""

    batch: int
    threads: int
    steps: int
    files: Timing
    """One micro-batch, from noise to files."""
    network_seconds: float
    """Of it in the network."""
    network_flops: int
    clips_per_second: float
    """With micro-batches side by side, as many at a time as there are processors for their threads."""
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
    """Renders with a model's own settings, twice for about `budget` seconds, into `folder`."""
    loaded = load(model)
    sampling, generator = loaded.sampling(), loaded.generator
    watch, size = _Watch(), sampling.batch
    watched = watch.over(generator)
    outs = (folder / f"out-{number}" for number in itertools.count())
    # Two for each processor, so that files are written while others are made.
    one, many = _orders(loaded, size), _orders(loaded, 2 * size * max(1, processors() // sampling.threads))

    def rendered(generator: Generator, orders: Sequence[Order]) -> None:
        made = render_files(generator, orders, next(outs), loaded.name, loaded.sha256, lambda event: None)
        if made["failed"]:
            raise MediadiffError(f"{loaded.name} cannot be measured: {made['failures'][0]['reason']}")

    def render() -> None:
        with watch.clock("all"):
            rendered(watched, one)

    # What is loaded at the first clip is a matter of cold starts.
    render()
    calls = watch.calls
    watch.spent.clear()
    with threads(sampling.threads):
        before = peak(generator.bf16, budget / 20)
    files = timed(render, budget)
    network = watch.spent["network"] / (files.runs + 1)
    spent = dict(watch.spent)
    # A counter sees its own thread only, and micro-batches are rendered in others. Every call has the same shape.
    flops = calls * count(watch.again).flops
    with threads(sampling.threads):
        highest = peak(generator.bf16, budget / 20).beside(before)
        shares = _shares(spent, where(watch.again))
    abreast = timed(lambda: rendered(generator, many), budget)
    return Rendering(
        batch=size,
        threads=sampling.threads,
        steps=sampling.steps,
        files=files,
        network_seconds=network,
        network_flops=flops,
        clips_per_second=len(many) / abreast.seconds,
        media_seconds_per_second=len(many) * float(loaded.seconds) / abreast.seconds,
        peak=highest,
        network_share=flops / network / highest.rate,
        where=shares,
    )


def _orders(model: Model, num: int) -> list[Order]:
    sampling, seconds = model.sampling(), model.seconds
    ending = natural_ending(model.recipe.streams, seconds).removeprefix(".")
    requests = model.requests(num, list(model.labels) or None)
    return [Order(request, seconds, sampling, ending) for request in requests]


class _Watch:
    """Seconds spent on the network, on its solver around it and on decoding, by clocks: a profile would slow them."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.calls = 0
        """Of the network."""
        self.again: Callable[[], object] = lambda: None
        """Calls the network as it was last called."""

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - begun

    def over(self, generator: Generator) -> Generator:
        """The same generator, watched."""
        denoiser = copy.copy(generator.denoiser)
        denoiser.network = _WatchedNetwork(generator.denoiser.network, self)
        domains: Any = {name: _WatchedDomain(domain, self) for name, domain in generator.domains.items()}
        return _WatchedGenerator(**{**vars(generator), "denoiser": denoiser, "domains": domains}, watch=self)


class _WatchedNetwork(nn.Module):
    def __init__(self, network: nn.Module, watch: _Watch):
        super().__init__()
        self.network, self.watch = network, watch
        self.multiple = network.multiple

    def forward(self, *args: Any) -> Any:
        def again() -> Any:
            with torch.no_grad():
                return self.network(*args)

        self.watch.again = again
        self.watch.calls += 1
        with self.watch.clock("network"):
            return self.network(*args)


class _WatchedDomain:
    def __init__(self, domain: Domain, watch: _Watch):
        self._domain, self._watch = domain, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def decode(self, x: Tensor) -> Sound | Picture:
        with self._watch.clock("decoding"):
            return self._domain.decode(x)


@dataclass(frozen=True)
class _WatchedGenerator(Generator):
    watch: _Watch = field(default_factory=_Watch)

    def encoded(self, *args: Any) -> list[dict[str, Tensor]]:
        with self.watch.clock("sampling"):
            return super().encoded(*args)


def _shares(spent: Mapping[str, float], kinds: Mapping[str, float]) -> dict[str, float]:
    """Shares of the time of rendering: the network's by kind of operation, and what is around it."""
    network, decoding = spent["network"], spent["decoding"]
    seconds = {kind: share * network for kind, share in kinds.items()}
    seconds |= {"decoding": decoding, "solver": spent["sampling"] - network}
    seconds["files"] = spent["all"] - spent["sampling"] - decoding
    return {kind: s / spent["all"] for kind, s in sorted(seconds.items(), key=lambda item: -item[1])}
