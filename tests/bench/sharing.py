"""What sharing costs: one model of sound and picture beside models of each alone, of one recipe and equal training.

`python -m tests.bench.sharing --clips 4000` trains all three on so many clips, which takes about a quarter of an hour
on one core, and prints their errors on test clips, and their seconds per training clip.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mediadiff.bench.subject import RECIPES, Subject
from mediadiff.data.loader import batch
from mediadiff.nn.condition import Condition
from mediadiff.nn.settings import OF_STREAMS
from mediadiff.recipe import TrainRecipe, from_dict, load_recipe
from mediadiff.rng import generator
from mediadiff.training.memory import kept

LEVELS = (1.0, 5.0, 10.0, 20.0, 40.0)
"""Noise, as multiples of the standard deviation of the data."""
TEST_CLIPS = 48


@dataclass(frozen=True)
class Trained:
    """A model after its training."""

    subject: Subject
    clip_seconds: float
    """Of training, for a clip: the median of all steps."""

    @torch.no_grad()
    def errors(self, streams: Sequence[str]) -> dict[str, list[float]]:
        """The mean squared error of each stream at each of `LEVELS`, where these streams are there, all as noisy."""
        trainer, recipe = self.subject.trainer, self.subject.recipe
        trainer.denoiser.load_state_dict(trainer.average.weights)
        read = batch(self.subject.encoded, recipe.training.seed, 0, TEST_CLIPS, "test")
        # The same noise for every model.
        clean = {n: trainer.standards[n].forward(read.streams[n]) for n in streams}
        noise = {n: torch.randn(x.shape, generator=generator("sharing", n)) for n, x in clean.items()}
        condition = Condition.of(read.labels)
        found: dict[str, list[float]] = {n: [] for n in streams}
        for level in LEVELS:
            x = {n: clean[n] + level * noise[n] for n in streams}
            sigma = {n: torch.full((TEST_CLIPS, x[n].shape[2]), level) for n in streams}
            guess: Mapping[str, Tensor] = trainer.denoiser(x, sigma, condition)
            for n in streams:
                found[n].append(float((guess[n] - clean[n]).square().mean()))
        return found


@kept()
def trained(recipe: TrainRecipe, folder: Path) -> Trained:
    """A model by the recipe, trained to its end in memory."""
    subject = Subject.of(recipe, folder)
    batches, seconds = subject.batches(), []
    while subject.trainer.clips < recipe.training.clips:
        one, begun = next(batches), time.perf_counter()
        subject.trainer.step(one)
        seconds.append((time.perf_counter() - begun) / recipe.training.batch)
    return Trained(subject, statistics.median(seconds))


def of_one(recipe: TrainRecipe, stream: str) -> TrainRecipe:
    """The same recipe with this stream alone."""
    document = recipe.to_dict()
    document["streams"] = {stream: document["streams"][stream]}
    for name in OF_STREAMS:
        document["network"][name] = {n: v for n, v in document["network"][name].items() if n == stream}
    for name, value in document["sampling"].items():
        if isinstance(value, dict):
            document["sampling"][name] = {n: v for n, v in value.items() if n == stream}
    alone = from_dict(document)
    assert isinstance(alone, TrainRecipe)
    return alone


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--clips", type=int, default=4000, help="that each model is trained on")
    asked.add_argument("--threads", type=int, default=1)
    given = asked.parse_args()
    torch.set_num_threads(given.threads)
    fewer = ["data.bounce.clips=2000", "data.test={last: 0.03}"]
    recipe = load_recipe(RECIPES / "bounce.yaml", [f"training.clips={given.clips}", *fewer])
    assert isinstance(recipe, TrainRecipe)
    with tempfile.TemporaryDirectory() as folder:
        both = trained(recipe, Path(folder, "both"))
        ones = {n: trained(of_one(recipe, n), Path(folder, n)) for n in recipe.streams}
        print(f"after {given.clips} clips each, errors on {TEST_CLIPS} test clips at noise of")
        print(" " * 44 + "".join(f"{level:>8g}" for level in LEVELS))
        together = both.errors(list(recipe.streams))
        for n, one in ones.items():
            rows = {
                f"{n}: a model of {n}": one.errors([n])[n],
                f"{n}: the model of both, {n} alone": both.errors([n])[n],
                f"{n}: the model of both, with the other": together[n],
            }
            for name, errors in rows.items():
                print(f"{name:<44}" + "".join(f"{error:8.3f}" for error in errors))
        parts = " + ".join(f"{1000 * one.clip_seconds:.1f} ({n})" for n, one in ones.items())
        share = both.clip_seconds / sum(one.clip_seconds for one in ones.values())
        print(
            f"ms of training for a clip: {1000 * both.clip_seconds:.1f} (both) against {parts}: {share:.2f} of the sum"
        )


if __name__ == "__main__":
    main()
