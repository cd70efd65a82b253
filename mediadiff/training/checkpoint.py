"""Checkpoints: whole or absent, hashed, safetensors and JSON only."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mediadiff.errors import ModelError
from mediadiff.io.files import write_json
from mediadiff.io.tensors import load_tensors, save_tensors
from mediadiff.training.course import Course
from mediadiff.training.step import Trainer

KEPT = 2


def save(folder: Path, trainer: Trainer) -> Path:
    """Writes the trainer's state below `folder`, keeps the last two, and returns the new one's path."""
    path = _of(folder, trainer)
    aside = folder / f".{path.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        _write(aside, trainer)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    # There only where it was found damaged.
    shutil.rmtree(path, ignore_errors=True)
    os.replace(aside, path)
    for old in everything(folder)[:-KEPT]:
        shutil.rmtree(old)
    return path


def amend(folder: Path, trainer: Trainer) -> None:
    """Writes anew, into the checkpoint that the trainer has just come back to, all that is no tensor."""
    path = _of(folder, trainer)
    _write_state(path, trainer, json.loads((path / "state.json").read_text())["sha256"])


def _of(folder: Path, trainer: Trainer) -> Path:
    return folder / f"{trainer.clips:012d}"


def _write(path: Path, trainer: Trainer) -> None:
    parts = {
        "weights": dict(trainer.denoiser.state_dict()),
        "average": trainer.average.weights,
        "optimizer": trainer.optimizer.state(),
    }
    if trainer.snapshot is not None:
        parts["snapshot"] = trainer.snapshot
    if trainer.critic:
        parts["critic"] = dict(trainer.critic.module.state_dict())
        parts["critic_optimizer"] = trainer.critic.state()
    hashes = {name: save_tensors(path / f"{name}.safetensors", tensors) for name, tensors in parts.items()}
    _write_state(path, trainer, hashes)


def _write_state(path: Path, trainer: Trainer, hashes: Mapping[str, str]) -> None:
    state = {
        "clips": trainer.clips,
        "seconds": round(trainer.seconds, 3),
        "slowdown": trainer.slowdown,
        "course": asdict(trainer.course),
        "sha256": dict(hashes),
    }
    write_json(path / "state.json", state)


def everything(folder: Path) -> list[Path]:
    """All checkpoints below `folder`, the oldest first."""
    return sorted(path for path in folder.glob("[0-9]*") if (path / "state.json").is_file())


def load_last(folder: Path, trainer: Trainer, back: int = 0) -> list[str]:
    """Puts the last sound checkpoint's state into the trainer; says which ones were passed over, and why.

    With `back` the last so many are tried only after those before them, and what is later than the one that was taken
    is deleted. ModelError if there are checkpoints and none is sound.
    """
    found = everything(folder)
    faults: list[str] = []
    last = max(0, len(found) - back)
    for path in [*reversed(found[:last]), *reversed(found[last:])]:
        try:
            _load(path, trainer)
            for later in found[found.index(path) + 1 :] if back else ():
                shutil.rmtree(later)
            return faults
        except (ModelError, OSError, ValueError, KeyError) as error:
            faults.append(f"{path.name} is damaged and passed over ({error})")
    if found:
        raise ModelError(
            f"{folder}: no checkpoint can be used: {'; '.join(faults)}. Delete {folder.parent} and train anew, "
            "without --resume, or train into another folder (--out)."
        )
    return faults


def _load(path: Path, trainer: Trainer) -> None:
    state: dict[str, Any] = json.loads((path / "state.json").read_text())
    parts = {name: load_tensors(path / f"{name}.safetensors", sha) for name, sha in state["sha256"].items()}
    try:
        trainer.denoiser.load_state_dict(parts["weights"])
    except RuntimeError as error:
        raise ModelError(f"{path} was made by another recipe: {str(error).splitlines()[0]}") from error
    trainer.average.load(parts["average"])
    trainer.optimizer.load(parts["optimizer"])
    if trainer.critic:
        trainer.critic.module.load_state_dict(parts["critic"])
        trainer.critic.load(parts["critic_optimizer"])
    trainer.snapshot = parts.get("snapshot")
    trainer.clips, trainer.slowdown = state["clips"], state["slowdown"]
    trainer.course = Course(**state["course"])
    trainer.seconds = state["seconds"]
