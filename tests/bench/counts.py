"""What a training step of each shipped recipe comes to, recorded: `python -m tests.bench.counts` records it anew.

Counts and not times, so that any machine can tell whether a step has grown. In bfloat16, whatever the machine.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch

from mediadiff.bench.counting import Counts, count
from mediadiff.bench.subject import Subject, recipe, training_recipes
from mediadiff.recipe import TrainRecipe
from mediadiff.training.muon import TURNS

RECORD = Path(__file__).parent / "counts.json"
ALLOWED = 0.10
"""By so much a count may grow without a word."""
FEWEST_CLIPS = 20


def of_recipe(recipe: TrainRecipe) -> dict[str, Counts]:
    """The counts of a whole step, and of its loss and gradient alone.

    The optimiser moves so much memory that a network which moves more would not be seen beside it.
    """
    bf16 = replace(recipe, training=replace(recipe.training, precision="bf16"))
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject.of(bf16, Path(folder))
        batch, trainer = subject.batch(0), subject.trainer
        # In the first one every matrix has its turn.
        trainer.step(batch)
        step = count(lambda: trainer.step(batch), TURNS)
        gradient = count(lambda: trainer.loss(batch, 0)[0].backward())
    return {f"{recipe.name}, step": step, f"{recipe.name}, gradient": gradient}


def now() -> dict[str, Counts]:
    """The counts of every shipped training recipe."""
    torch.set_num_threads(1)
    each = [of_recipe(recipe(path, FEWEST_CLIPS)) for path in training_recipes()]
    return {name: counts for one in each for name, counts in one.items()}


def recorded() -> dict[str, Counts]:
    """The counts as they were written down."""
    return {name: Counts(**counts) for name, counts in json.loads(RECORD.read_text()).items()}


def faults(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> list[str]:
    """What has grown by more than is allowed, and what is recorded of one side only."""
    said = [f"{name}: not in {RECORD.name}" for name in after if name not in before]
    said += [f"{name}: in {RECORD.name}, but no recipe" for name in before if name not in after]
    for name in before:
        for what, ratio in after[name].grown(before[name], ALLOWED).items() if name in after else ():
            was, is_now = getattr(before[name], what), getattr(after[name], what)
            said.append(f"{name}: {what} grew by {ratio - 1:.0%}, from {was} to {is_now}")
    return said


def main() -> None:
    RECORD.write_text(json.dumps({name: asdict(counts) for name, counts in now().items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
