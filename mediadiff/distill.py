"""A trained model, tuned to a student that needs a few evaluations for a clip: what `mediadiff distill` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff import build
from mediadiff.errors import UsageError
from mediadiff.model import Model, load, new_denoiser
from mediadiff.recipe import DistillRecipe, TrainRecipe, from_dict
from mediadiff.recipe.base import plain

if TYPE_CHECKING:
    from torch import Tensor

    from mediadiff.diffusion.denoiser import Denoiser
    from mediadiff.diffusion.guidance import Denoise
    from mediadiff.diffusion.settings import SamplingSettings
    from mediadiff.diffusion.streams import Streams
    from mediadiff.domains.base import Domain
    from mediadiff.rendering.generator import Generator
    from mediadiff.training.step import Trainer

Report = Callable[[dict[str, Any]], None]
GUIDANCE = ("guidance", "guidance_low", "guidance_high", "autoguidance", "synchrony")
"""What of its teacher's sampling a student has in it."""


def distill(recipe: DistillRecipe, out: Path | None = None, resume: bool = False, report: Report | None = None) -> Path:
    """Makes the student of a recipe and returns its folder, `out` or `runs/NAME`: a model like any other.

    `resume` goes on where an earlier run stopped, and ends with the same weights. `report` gets an event (a dict) now
    and then. Raises UsageError where the data or the start are not those of the teacher, ModelError where there is no
    teacher or no start.
    """
    report = report or (lambda event: None)
    out, _ = build.place(recipe.name, out, resume)
    teacher, start = load(recipe.model), load(recipe.start) if recipe.start else None
    student = student_of(recipe, teacher.recipe)
    sampling = teacher.sampling(**{name: getattr(recipe, name) for name in GUIDANCE})
    if recipe.synchrony is not None and len(teacher.recipe.streams) == 1:
        raise UsageError(f"{teacher.name} makes {', '.join(teacher.recipe.streams)} alone: leave synchrony out")
    if start is not None and not _alike(start, teacher):
        raise UsageError(
            f"start: {recipe.start} is no student of {recipe.model}: it has another network, other labels or another "
            "scale of its data; name one that was distilled from it, with start=runs/NAME"
        )
    try:
        encoded = build.encode(student, report)
    except UsageError as error:
        raise UsageError(f"{error}\nThe teacher's data are elsewhere? Name their folder: data.folder=...") from None
    if teacher.labels and encoded.labels != teacher.labels:
        raise UsageError(
            f"a student knows its teacher's labels ({', '.join(teacher.labels)}), and these data have "
            f"{', '.join(encoded.labels) or 'none'}: take the data of the teacher, or others with the same labels"
        )
    trainer = new_trainer(recipe, student, teacher, sampling, start)
    build.describe_network(trainer, encoded, report)
    source = {"name": teacher.name, "sha256": teacher.sha256}
    source |= {name: getattr(sampling, name) for name in (*GUIDANCE, "sigma_min")}
    way, tuning = recipe.tuning
    origin = {"teacher": source, way: asdict(tuning)}
    if start is not None:
        origin["start"] = {"name": start.name, "sha256": start.sha256}
    return build.fit(trainer, student, encoded, out, resume, origin, report)


def new_trainer(
    recipe: DistillRecipe,
    student: TrainRecipe,
    teacher: Model,
    sampling: SamplingSettings,
    start: Model | None = None,
) -> Trainer:
    """A trainer whose denoiser starts as the teacher, or as `start`, in the teacher's scale."""
    from mediadiff.diffusion.consistency import Consistency
    from mediadiff.diffusion.matching import Critic, Matching
    from mediadiff.diffusion.schedulers import karras
    from mediadiff.diffusion.settings import SIGMA_MAX
    from mediadiff.training.step import Objective, Trainer

    way, tuning = recipe.tuning
    drawn = {n: v for n in ("mean", "std", "mix") if (v := getattr(tuning, n)) is not None}
    if {"mean", "std"} & drawn.keys() and student.diffusion.levels.startswith("ddpm"):
        raise UsageError(
            f"{way}.mean and {way}.std are of levels edm or flow, and {teacher.name} learned at those of "
            f"{student.diffusion.levels}: leave them out"
        )
    generator, levels = teacher.generator, replace(student.diffusion, **drawn)
    objective: Objective
    taught = as_sampled(generator, sampling), sampling.sigma_min_of
    if recipe.matching is None:
        objective = Consistency(recipe.consistency, *taught)
    else:
        own = student.sampling
        walks = {name: karras(own.steps, own.sigma_min_of(name), SIGMA_MAX) for name in student.streams}
        assert start is not None
        critic = Critic(_tunable(student, teacher), recipe.matching.haste)
        objective = Matching(recipe.matching, *taught, start.generator.denoiser, critic, walks)
    denoiser = _tunable(student, start or teacher)
    return Trainer(denoiser, generator.standards, generator.scalars, student.training, levels, objective)


def _tunable(student: TrainRecipe, model: Model) -> Denoiser:
    """The denoiser of a model with weights that can be tuned, as the student's recipe computes with them."""
    from mediadiff.io.eight_bits import to_floats
    from mediadiff.nn.precision import use_bf16

    denoiser = new_denoiser(student, len(model.labels))
    # Not those of the generator, which it may have rounded to compute with them.
    denoiser.load_state_dict(to_floats(model.tensors()))
    denoiser.bf16 = use_bf16(student.training.precision)
    return denoiser


def as_sampled(teacher: Generator, sampling: SamplingSettings) -> Denoise:
    """The teacher's denoiser with the guidance of `sampling`, for batches of any size."""
    import torch

    from mediadiff.diffusion.guidance import guided

    def denoise(x: Streams, sigma: Streams, condition: Any) -> dict[str, Tensor]:
        count = len(next(iter(x.values())))
        weight = {name: torch.full((count,), sampling.guidance_of(name)) for name in x}
        return guided(teacher.denoiser, sampling, weight, teacher.weak)(x, sigma, condition)

    return denoise


def _alike(start: Model, teacher: Model) -> bool:
    """Whether a student of the teacher may start from the weights of `start`."""
    kinds = [
        (
            m.labels,
            m.standards,
            m.scalars,
            m.recipe.network,
            {name: _encoded(domain) for name, domain in m.recipe.streams.items()},
            m.recipe.condition,
            m.recipe.diffusion.target,
        )
        for m in (start, teacher)
    ]
    return kinds[0] == kinds[1]


def _encoded(domain: Domain) -> dict[str, Any]:
    """What a domain makes of media depends on: not on the iterations that find a sound's phase again."""
    settings = asdict(domain)  # type: ignore[call-overload]
    return {"domain": type(domain), **{name: value for name, value in settings.items() if name != "iterations"}}


def student_of(recipe: DistillRecipe, teacher: TrainRecipe) -> TrainRecipe:
    """The student's own recipe: its teacher's, but for what `recipe` says. RecipeError where they do not fit."""
    document = teacher.to_dict()
    same = {name: document["sampling"][name] for name in ("batch", "threads")}
    few = {"sampler": "lcm", "steps": recipe.steps, "sigma_min": recipe.sigma_min, "guidance": 1.0}
    # Another folder takes the place of generated clips, and the other way round.
    if recipe.data.get("folder"):
        document["data"] |= {"bounce": None}
    if recipe.data.get("bounce"):
        document["data"] |= {"folder": None, "label": "", "table": "", "columns": {}}
    document["data"] |= plain(recipe.data)
    document |= {"name": recipe.name, "training": asdict(recipe.training), "sampling": same | few}
    student = from_dict(document, f"the recipe of {recipe.name}")
    assert isinstance(student, TrainRecipe)
    written = {place: text for place, text in recipe.written.items() if place.startswith("data.")}
    return replace(student, written=written)
