"""Where the parts meet: a recipe becomes a training, a model becomes files."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff.domains.base import exact
from mediadiff.errors import UsageError
from mediadiff.io.files import cache_folder, check_folder, write_json
from mediadiff.io.locks import alone
from mediadiff.model import Model, load, new_denoiser, save_model, shipped

if TYPE_CHECKING:
    from mediadiff.data.cache import EncodedSet
    from mediadiff.recipe import TrainRecipe
    from mediadiff.training.step import Trainer

__all__ = ["load", "render", "shipped", "train"]

Report = Callable[[dict[str, Any]], None]


def train(
    recipe: TrainRecipe,
    out: Path | None = None,
    resume: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
) -> Path:
    """Trains a model by a recipe and returns its folder, `out` or `runs/NAME`.

    `resume` goes on where an earlier run stopped, and ends with the same weights; `dry_run` looks at the data, builds
    the network, tries it on one clip, and writes nothing but the cache. `report` gets an event (a dict) now and then.
    Raises UsageError when the folder holds a training already and `resume` is not asked for.
    """
    from mediadiff.training import check

    report = report or (lambda event: None)
    out, begun = place(recipe.name, out, resume, dry_run)
    encoded = encode(recipe, report)
    trainer = new_trainer(recipe, encoded)
    describe_network(trainer, encoded, report)
    if dry_run or not begun:
        part = check.overfit(trainer, _batch(encoded, recipe, 0))
        report({"event": "overfit", "part": round(part, 3), "passes": part <= check.PASSES})
        if not part <= check.PASSES:
            said = (
                f"on one clip alone the error fell to {part:.0%} of where it began, not to {check.PASSES:.0%} or less: "
                "this recipe may not learn. Look at the data with `mediadiff doctor`, and try another learning_rate."
            )
            report({"event": "warning", "text": said})
    return out if dry_run else fit(trainer, recipe, encoded, out, resume, {}, report)


def place(name: str, out: Path | None, resume: bool, dry_run: bool = False) -> tuple[Path, bool]:
    """The folder of a training, `out` or `runs/NAME`, and whether one was begun there.

    UsageError where one was and is not to be resumed, or the other way round, or where a model lies that it would
    write over.
    """
    from mediadiff.training import checkpoint

    out = out or Path("runs") / name
    begun = bool(checkpoint.everything(out / "checkpoints"))
    if begun and not resume and not dry_run:
        raise UsageError(f"{out} holds a training already: go on with --resume, or choose another folder with --out")
    if not dry_run:
        check_folder(out)
    if resume and not begun:
        raise UsageError(f"{out} holds no checkpoint to go on from: leave --resume out, or name its folder with --out")
    if not begun and not dry_run and (out / "model.json").exists():
        raise UsageError(f"{out} holds a model, which a training would write over; name another folder: --out DIR")
    return out, begun


def describe_network(trainer: Trainer, encoded: EncodedSet, report: Report) -> None:
    """Reports the network's size, what it computes in, and how many clips it has to learn from."""
    weights = sum(p.numel() for p in trainer.optimizer.parameters)
    clips = {split: len(encoded.members(split)) for split in ("train", "test")}
    report({"event": "network", "parameters": weights, "bf16": trainer.denoiser.bf16, **clips})


def fit(
    trainer: Trainer,
    recipe: TrainRecipe,
    encoded: EncodedSet,
    out: Path,
    resume: bool,
    origin: Mapping[str, Any],
    report: Report,
) -> Path:
    """Runs a trainer to its last clip; the model, its checkpoints, log and previews are in `out`, which is returned.

    `origin` is what the training starts from besides the recipe and the data, kept with the model; a model that starts
    from another has no early snapshot of its own. UsageError while another process trains into `out`.
    """
    from mediadiff.rendering.preview import preview
    from mediadiff.training import checkpoint
    from mediadiff.training.loop import Loop

    labels = encoded.labels if recipe.condition.label else ()

    def publish(trainer: Trainer) -> None:
        trained = {"clips": trainer.clips, "seconds": round(trainer.seconds, 1), **machine(), **origin}
        save_model(
            out,
            recipe,
            labels,
            trainer.standards,
            trainer.scalars,
            trainer.average.weights,
            None if origin else trainer.snapshot,
            trained,
        )

    def look(trainer: Trainer) -> None:
        folder = out / "previews" / f"{trainer.clips:012d}"
        seconds = exact(recipe.seconds)
        preview(
            folder,
            trainer.denoiser,
            trainer.average.weights,
            recipe.streams,
            trainer.standards,
            labels,
            trainer.scalars,
            seconds,
            replace(recipe.sampling, autoguidance=1.0),
            report,
        )

    checkpoints = out / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    with alone(checkpoints, f"{out} is being trained by another process: wait for it, or choose another --out"):
        if not resume and checkpoint.everything(checkpoints):
            raise UsageError(f"{out} holds a training by now: choose another folder with --out")
        _begin(out, recipe, encoded, resume, origin, machine() | {"bf16": trainer.denoiser.bf16}, report)
        loop = Loop(trainer, lambda step: _batch(encoded, recipe, step), out, look, publish, report)
        loop.run(resume)
        _report_levels(loop, encoded, recipe, out)
    return out


def encode(recipe: TrainRecipe, report: Report) -> EncodedSet:
    """The recipe's data, decoded and encoded into the cache. UsageError where the recipe and the data do not fit."""
    from mediadiff.data.cache import EncodedSet
    from mediadiff.data.folder import scan

    if recipe.data.mirror and len(recipe.streams) > 1:
        if any(getattr(domain, "channels", 1) == 2 for domain in recipe.streams.values()):
            text = (
                "data.mirror flips pictures and not sounds, which are in stereo here: leave it out, or take channels: 1"
            )
            raise UsageError(text)
    found = scan(recipe.data)
    total = len(found.items)
    last = 0.0

    def progress(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5 or done == of:
            last = time.monotonic()
            report({"event": "encode", "done": done, "of": of})

    encoded = EncodedSet.open(found, recipe.streams, recipe.seconds, cache_folder() / "encoded", progress)
    refused = [*found.refused, *encoded.refused]
    report({"event": "data", "files": total, "refused": len(refused), "labels": list(encoded.labels)})
    for refusal in refused:
        report({"event": "refused", "file": str(refusal.path), "reason": refusal.reason})
    for paper in found.ignored:
        report({"event": "ignored", "file": str(paper.path), "reason": paper.reason})
    for name in recipe.condition.scalars:
        if name not in encoded.scalars:
            raise UsageError(f"condition.scalars names {name!r}, which no file has; there are: {list(encoded.scalars)}")
    return encoded


def new_trainer(recipe: TrainRecipe, encoded: EncodedSet) -> Trainer:
    """A trainer at its start, its first weights drawn from the recipe's seed."""
    import torch

    from mediadiff.nn.precision import use_bf16
    from mediadiff.rng import key_seed
    from mediadiff.training import scale
    from mediadiff.training.step import Trainer

    # torch draws first weights from its global state: set here for this one purpose, and put back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed(recipe.training.seed, "weights"))
        denoiser = new_denoiser(recipe, len(encoded.labels))
    denoiser.bf16 = use_bf16(recipe.training.precision)
    for name, stream in encoded.streams.items():
        multiple = denoiser.network.multiple(name)  # type: ignore[operator]
        steps = stream.shape[1]
        if steps % multiple:
            near = float(max(1, round(steps / multiple)) * multiple / stream.rate)
            raise UsageError(
                f"seconds: {recipe.seconds:g} s of {name} are {steps} time steps, and this network takes multiples of "
                f"{multiple}: try seconds: {near:g}"
            )
    standards = scale.of_streams(encoded)
    scalars = {name: scale.of_number(encoded, name) for name in recipe.condition.scalars}
    return Trainer(denoiser, standards, scalars, recipe.training, recipe.diffusion)


def render(
    model: Model,
    out: Path,
    num: int = 1,
    label: str | list[str] | None = None,
    seconds: float | None = None,
    seed: int = 0,
    first: int = 0,
    sampling: Mapping[str, Any] | None = None,
    caption: str = "",
    scalars: Mapping[str, float] | None = None,
    format: str | None = None,
    report: Report | None = None,
    task: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Renders clips into files `LABEL-INDEX.EXT` in `out`; one that fails is listed with its reason, the rest goes on.

    Returns `{"done": N, "failed": N, "files": [...], "failures": [...], "seconds": S}`. `sampling` changes the model's
    own sampling settings; `report` gets an event for each clip; `task` has what is given, see `Model.requests`.
    """
    from mediadiff.rendering.files import render_files
    from mediadiff.rendering.request import Order, check_format, natural_ending

    settings = model.sampling(**(sampling or {}))
    requests = model.requests(num, label, seed, first, caption, scalars, task)
    length = model.length(seconds, requests[0].loop)
    format = format or natural_ending(model.recipe.streams, length)
    check_format(format.removeprefix("."), model.recipe.streams, length)
    orders = [Order(request, length, settings, format.removeprefix(".")) for request in requests]
    report = report or (lambda event: None)
    for text in model.generator.fitted(requests[0], length):
        report({"event": "note", "text": text})
    return render_files(model.generator, orders, out, model.name, model.sha256, report)


def _begin(
    out: Path,
    recipe: TrainRecipe,
    encoded: EncodedSet,
    resume: bool,
    origin: Mapping[str, Any],
    machine: Mapping[str, Any],
    report: Report,
) -> None:
    """Notes what a training starts from, and refuses to resume it from anything else.

    On another machine it may go on, which is said: the weights are then not bit for bit those of an unbroken run.
    """
    said = recipe.to_dict()
    # As long as it comes to be where the recipe does not say.
    said["training"]["warmup"] = recipe.training.rise
    run: dict[str, Any] = {"recipe": said, "data": encoded.fingerprint, "origin": dict(origin)}
    run["machine"] = dict(machine)
    note = out / "run.json"
    if resume and note.is_file():
        try:
            before = json.loads(note.read_text(encoding="utf-8"))
        except ValueError as error:
            text = f"{note} is damaged ({error}): put a copy back, or train anew into another folder (--out)"
            raise UsageError(text) from None
        other = [name for name, value in before["recipe"].items() if run["recipe"].get(name) != value]
        old, new = before.get("origin", {}), run["origin"]
        other += sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        if other:
            raise UsageError(
                f"{out} was begun with another recipe ({', '.join(other)} differ): go on with the same recipe and the "
                "same overrides, or train anew into another folder (--out)"
            )
        if before["data"] != run["data"]:
            raise UsageError(
                f"the media have changed since {out} was begun, so it cannot be continued as it was: put them back, or "
                "train anew into another folder (--out)"
            )
        was = before.get("machine", {})
        changed = [
            f"{name} {was[name]}, now {value}" for name, value in machine.items() if was.get(name, value) != value
        ]
        if changed:
            text = f"it was begun on another machine ({'; '.join(changed)}): the weights will differ in their last bits"
            report({"event": "warning", "text": text})
    write_json(note, run)


def machine() -> dict[str, Any]:
    """What the bits of a result may depend on, besides the recipe."""
    import torch

    from mediadiff.nn.precision import units

    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": units(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _batch(encoded: EncodedSet, recipe: TrainRecipe, step: int) -> Any:
    from mediadiff.data.loader import batch

    return batch(encoded, recipe.training.seed, step, recipe.training.batch)


def _report_levels(loop: Any, encoded: EncodedSet, recipe: TrainRecipe, out: Path) -> None:
    """Logs the loss by noise level of the averaged weights, on the test files where there are any, and plots it."""
    from mediadiff.data.loader import batch
    from mediadiff.evaluation.plots import loss_by_level
    from mediadiff.training import log
    from mediadiff.training.check import losses_by_level

    trainer = loop.trainer
    if trainer.critic:
        # Its loss is of what the student makes, and says nothing of the data.
        return
    trainer.denoiser.load_state_dict(trainer.average.weights)
    for split in ("train", "test"):
        members = encoded.members(split)
        if members:
            batches = [batch(encoded, 0, step, min(32, len(members)), split) for step in range(2)]
            sigmas, losses = losses_by_level(trainer, batches)
            loop.say({"event": "levels", "clips": trainer.clips, "split": split, "sigma": sigmas, "loss": losses})
    loss_by_level(log.read(out / "log.jsonl"), out / "losses.png")
