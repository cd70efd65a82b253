"""Small real parts for tests: recipes that train in seconds, and models with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mediadiff import build
from mediadiff.diffusion.streams import Standard
from mediadiff.model import Model, load, new_denoiser, save_model
from mediadiff.recipe import TrainRecipe, from_dict

SOUND = {"sound": {"domain": "spectrogram", "sample_rate": 4000, "n_fft": 128, "hop": 32, "iterations": 4}}
PICTURE = {"picture": {"domain": "frames", "height": 16, "width": 16, "frame_rate": 8}}
BOTH = {
    "sound": {"domain": "spectrogram", "sample_rate": 4000, "n_fft": 128, "hop": 32, "iterations": 8},
    "picture": {"domain": "frames", "height": 16, "width": 16, "frame_rate": "125/16"},
}
"""Sixteen steps of the sound to a frame: a window of 0.512 s is 64 steps and 4 frames."""


def tiny_recipe(streams=SOUND, folder="nowhere", **sections) -> TrainRecipe:
    document = {
        "mediadiff": 1,
        "task": "train",
        "name": "tiny",
        "seconds": 0.512 if "sound" in streams else 0.5,
        "data": {"folder": str(folder), "label": "folder"},
        "streams": streams,
        "network": {
            "channels": [16, 32],
            "blocks": 1,
            "attention": 1,
            "heads": 2,
            "patch": {n: [2, 2, 1 if n == "sound" else 2] for n in streams},
        },
        "training": {"clips": 96, "batch": 8, "warmup": 8, "checkpoint": 32, "preview": 64},
        "sampling": {"steps": 3, "batch": 4},
    }
    if "picture" in streams and "sound" not in streams:
        document["network"]["patch"] = {"picture": [1, 2, 2]}
    for name, changes in sections.items():
        document[name] = {**document.get(name, {}), **changes} if isinstance(changes, dict) else changes
    recipe = from_dict(document)
    assert isinstance(recipe, TrainRecipe)
    return recipe


def tiny_model(folder: Path, streams=SOUND, labels=("a", "b"), snapshot=False, **sections) -> Model:
    """A model with random weights, saved to `folder` and loaded from there."""
    recipe = tiny_recipe(streams, **sections)
    denoiser = new_denoiser(recipe, len(labels))
    random = torch.Generator().manual_seed(0)
    weights = {n: 0.1 * torch.randn(w.shape, generator=random) for n, w in denoiser.state_dict().items()}
    weak = {n: 0.5 * w for n, w in weights.items()} if snapshot else None
    folder.mkdir(parents=True, exist_ok=True)
    standards = {name: Standard(-0.5, 0.3) for name in streams}
    save_model(folder, recipe, labels, standards, {}, weights, weak, {"clips": 0})
    return load(folder)


def grows_loud(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Every batch from step `at` on is a thousand times as loud: what breaks a training."""
    whole = build._batch

    def loud(encoded, recipe, step):
        batch = whole(encoded, recipe, step)
        if step >= at:
            batch.streams["sound"].mul_(1000)
        return batch

    monkeypatch.setattr(build, "_batch", loud)
