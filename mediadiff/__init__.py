"""mediadiff: short clips of sound, of picture, and of both at once, from one diffusion core.

import mediadiff

for clip in mediadiff.load("digits").render(num=3, label="7"):
    clip.save("seven.wav")
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mediadiff.clip import Clip, Picture, Sound
    from mediadiff.errors import MediadiffError
    from mediadiff.io.read import read
    from mediadiff.model import load, shipped

__version__ = "0.1.0"
__all__ = ["Clip", "MediadiffError", "Picture", "Sound", "load", "read", "shipped", "train"]

_HOMES = {
    "Clip": "mediadiff.clip",
    "Picture": "mediadiff.clip",
    "Sound": "mediadiff.clip",
    "MediadiffError": "mediadiff.errors",
    "load": "mediadiff.model",
    "read": "mediadiff.io.read",
    "shipped": "mediadiff.model",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: importing the package does nothing.
    if name not in _HOMES:
        raise AttributeError(f"module 'mediadiff' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def train(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Trains by a recipe file, changed by `overrides` such as `training.batch=64`; returns the model's folder.

    `report` gets an event (a dict) now and then. See `mediadiff.build.train`.
    """
    from mediadiff import build
    from mediadiff.errors import UsageError
    from mediadiff.recipe import TrainRecipe, load_recipe

    loaded = load_recipe(recipe, overrides)
    if not isinstance(loaded, TrainRecipe):
        raise UsageError(f"{recipe} is a recipe for {loaded.purpose}; train takes one with task: train")
    return build.train(loaded, None if out is None else Path(out), resume, report=report)
