"""All benchmarks, or one part of them: what `mediadiff bench` prints.

Each recipe is measured in a process of its own, so that one's memory is not another's, and this one stays small.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mediadiff.bench import subject
from mediadiff.errors import MediadiffError
from mediadiff.model import DEFAULT, describe, shipped
from mediadiff.recipe import TrainRecipe

PARTS = ("train", "render", "io")
Report = Callable[[dict[str, Any]], None]
Found = TypeVar("Found")


@dataclass
class Bench:
    """The figures of each part, by recipe or model, and what could not be measured."""

    machine: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    render: dict[str, Any] = field(default_factory=dict)
    io: dict[str, Any] = field(default_factory=dict)
    decoding: dict[str, Any] | None = None
    left_out: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def bench(
    parts: Sequence[str] = PARTS, recipes: Sequence[Path] | None = None, budget: float = 4.0, report: Report = print
) -> Bench:
    """Measures `parts`, by default for all shipped recipes, and for all shipped models where it renders.

    Each figure is the median of three runs at least, and of about `budget` seconds of them. `report` gets an event
    before each recipe and model.
    """
    found = Bench(alone(machine))
    for part in parts:
        for recipe in subjects(part, recipes):
            report({"event": "note", "text": f"{part}: {recipe.name}"})
            with tempfile.TemporaryDirectory(prefix="mediadiff-bench-") as folder:
                getattr(found, part)[recipe.name] = _MEASURES[part](recipe, Path(folder), budget)
        if part == "io":
            report({"event": "note", "text": "io: decoding"})
            _decoding(found, budget)
    return found


def subjects(part: str, recipes: Sequence[Path] | None) -> list[TrainRecipe]:
    """What a part measures: `recipes`, or all shipped ones; where it renders, those of all shipped models, too."""
    found = [subject.recipe(path) for path in (subject.training_recipes() if recipes is None else recipes)]
    known = {recipe.name for recipe in found}
    models = shipped() if part == "render" and recipes is None else []
    return found + [describe(name).recipe for name in models if name not in known]


def alone(run: Callable[..., Found], *arguments: Any) -> Found:
    """The result of `run`, from a fresh process. What it raises for people is raised here, as MediadiffError."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_there, run, *arguments).result()


def _there(run: Callable[..., Found], *arguments: Any) -> Found:
    # Read when torch is loaded: its profiler would say on standard error when it starts and stops.
    os.environ["KINETO_LOG_LEVEL"] = "99"
    try:
        return run(*arguments)
    except MediadiffError as error:
        # Of one argument, so that it finds its way between processes.
        raise MediadiffError(str(error)) from None


def machine() -> dict[str, Any]:
    """The processor by its name, its cores, and what of torch matters to speed."""
    from mediadiff import build

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"name": names[0] if names else "unknown", "cores": os.cpu_count(), **build.machine()}


def _train(recipe: TrainRecipe, folder: Path, budget: float) -> dict[str, Any]:
    return alone(_training, recipe, folder, budget)


def _training(recipe: TrainRecipe, folder: Path, budget: float) -> dict[str, Any]:
    from mediadiff.bench import train

    return asdict(train.measure(recipe, folder, budget))


def _render(recipe: TrainRecipe, folder: Path, budget: float) -> dict[str, Any]:
    from mediadiff.bench.cold import cold_start, growth

    is_shipped = recipe.name in shipped()
    model = recipe.name if is_shipped else str(alone(_untrained, recipe, folder))
    figures = alone(_rendering, model, folder, budget)
    # A clip from nothing costs its start and little else: of those that are trained, that will do.
    cold = asdict(cold_start(model, folder, runs=3)) if is_shipped else None
    # Minutes of media: of one model, as all go through the same windows.
    long = growth(model, folder) if is_shipped and recipe.name == DEFAULT else None
    grown = {**asdict(long), "time": long.time, "memory": long.memory} if long else None
    return {"trained": is_shipped, **figures, "cold": cold, "growth": grown}


def _untrained(recipe: TrainRecipe, folder: Path) -> Path:
    from mediadiff.bench.render import untrained

    return untrained(recipe, folder)


def _rendering(model: str, folder: Path, budget: float) -> dict[str, Any]:
    from mediadiff.bench import render

    return asdict(render.measure(model, folder, budget))


def _io(recipe: TrainRecipe, folder: Path, budget: float) -> dict[str, Any]:
    return alone(_loading, recipe, folder, budget)


def _loading(recipe: TrainRecipe, folder: Path, budget: float) -> dict[str, Any]:
    from mediadiff.bench import io

    return asdict(io.loading(recipe, folder, budget))


def _decoding(found: Bench, budget: float) -> None:
    media = os.environ.get("MEDIADIFF_DATA")
    if not media:
        found.left_out.append("decoding, which needs real videos: set MEDIADIFF_DATA to the folder that holds clips")
        return
    try:
        found.decoding = alone(_decoded, Path(media) / "clips", max(3, round(2 * budget)))
    except MediadiffError as error:
        found.left_out.append(f"decoding: {error}")


def _decoded(videos: Path, rounds: int) -> dict[str, Any]:
    from mediadiff.bench import io

    return asdict(io.decoding(videos, rounds))


_MEASURES: dict[str, Callable[[TrainRecipe, Path, float], dict[str, Any]]] = {
    "train": _train,
    "render": _render,
    "io": _io,
}
