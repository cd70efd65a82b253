"""A shipped training recipe made ready to be measured: its own network on clips that are made for it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mediadiff.errors import UsageError
from mediadiff.recipe import TrainRecipe, load_recipe

if TYPE_CHECKING:
    from mediadiff.data.cache import EncodedSet
    from mediadiff.data.loader import Batch
    from mediadiff.training.step import Trainer

RECIPES = Path(__file__).parent.parent.parent / "recipes"
CLIPS = 64
"""Made in place of a recipe's own data: what a step takes does not depend on what is in the clips."""


def training_recipes() -> list[Path]:
    """The shipped recipes that train. UsageError where there is no checkout."""
    found = [path for path in sorted(RECIPES.glob("*.yaml")) if "\ntask: train\n" in path.read_text(encoding="utf-8")]
    if not found:
        raise UsageError(f"no recipes in {RECIPES}: the benchmarks belong to a checkout of mediadiff")
    return found


def recipe(path: Path, clips: int = CLIPS) -> TrainRecipe:
    """The recipe with generated clips in place of its data, so that it needs none."""
    loaded = load_recipe(path, [f"data={{bounce: {{clips: {clips}}}}}"])
    assert isinstance(loaded, TrainRecipe)
    return loaded


@dataclass(frozen=True)
class Subject:
    """A recipe, its clips in a cache, and a trainer at its start."""

    recipe: TrainRecipe
    encoded: EncodedSet
    trainer: Trainer

    @classmethod
    def of(cls, recipe: TrainRecipe, folder: Path) -> Subject:
        """Makes the clips into a cache below `folder`, and the trainer."""
        from mediadiff.build import new_trainer
        from mediadiff.data.cache import EncodedSet
        from mediadiff.data.folder import scan

        encoded = EncodedSet.open(scan(recipe.data), recipe.streams, recipe.seconds, folder / "encoded")
        return cls(recipe, encoded, new_trainer(recipe, encoded))

    def batch(self, step: int) -> Batch:
        """The batch of a step, as training reads it."""
        from mediadiff.data.loader import batch

        return batch(self.encoded, self.recipe.training.seed, step, self.recipe.training.batch)

    def batches(self) -> Iterator[Batch]:
        """The batches of all steps from the first on, without end."""
        step = 0
        while True:
            yield self.batch(step)
            step += 1


def peak_memory() -> int:
    """Bytes of memory that this process held at its peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
