"""Commands that make models: train, distill, export, evaluate, compare, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mediadiff.cli.app import Json, app, say
from mediadiff.errors import UsageError


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe with task: train.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as training.batch=64.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The model's folder. [default: runs/NAME]", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a training stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check data, network and recipe; train nothing.")] = False,
    json: Json = False,
) -> None:
    """Train a model by a recipe."""
    from mediadiff.recipe import TrainRecipe, load_recipe

    loaded = load_recipe(recipe, changes or ())
    if not isinstance(loaded, TrainRecipe):
        raise UsageError(f"{recipe} is a recipe for {loaded.purpose}; use it with: mediadiff {loaded.task} {recipe}")
    from mediadiff import build
    from mediadiff.console import reporting

    with reporting(json) as report:
        folder = build.train(loaded, out, resume, dry_run, report)
    if json:
        say(json, {"event": "trained" if not dry_run else "checked", "model": str(folder)})
    elif dry_run:
        print("The recipe, the data and the network fit together; nothing was trained.")
    else:
        print(f"The model is in {folder}. Render clips with: mediadiff render {folder} --out clips")


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A training's folder, or any model's.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the model.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="name=NAME, settings such as sampling.guidance=2."),
    ] = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Keep the early snapshot, for autoguidance.")] = False,
    eight_bits: Annotated[
        bool, typer.Option("--eight-bits", help="Weights in eight bits, not sixteen: half the size, less exact.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the model that one ships: weights, model.json, and a card if there is none."""
    from mediadiff.export import LARGE_MB, export

    made = export(model, out, changes or (), snapshot, eight_bits)
    card = "new: add whose data it is, its licence, and figures" if made.new_card else "kept as it was"
    lines = [f"{made.folder}: {', '.join(made.files)}; {made.megabytes:.1f} MB", f"The card README.md is {card}."]
    if made.megabytes > LARGE_MB:
        said = f"warning: above {LARGE_MB:g} MB, a model is large for one that comes with a checkout"
        smaller = [*(["without --snapshot"] if snapshot else []), *(["with --eight-bits"] if not eight_bits else [])]
        lines.append(said + (f"; {' or '.join(smaller)} it is smaller" if smaller else ""))
    say(json, {"event": "exported", **made.to_dict(), "large": made.megabytes > LARGE_MB}, lines)


@app.command()
def distill(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe with task: distill.")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as steps=1 or model=runs/mine.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The student's folder. [default: runs/NAME]", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a distilling stopped.")] = False,
    json: Json = False,
) -> None:
    """Tune a trained model to a student that makes a clip in one, two or four steps."""
    from mediadiff.recipe import DistillRecipe, load_recipe

    loaded = load_recipe(recipe, changes or ())
    if not isinstance(loaded, DistillRecipe):
        raise UsageError(f"{recipe} is a recipe for {loaded.purpose}; use it with: mediadiff {loaded.task} {recipe}")
    from mediadiff import distill
    from mediadiff.console import reporting

    with reporting(json) as report:
        folder = distill.distill(loaded, out, resume, report)
    said = f"The student is in {folder}. Hold it against its teacher: mediadiff compare {folder} {loaded.model}"
    say(json, {"event": "distilled", "model": str(folder)}, [said])


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's folder, or a shipped model.")],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER_OR_RECIPE",
            help="The real clips to compare with. [default: the data of the model's recipe]",
            show_default=False,
        ),
    ] = None,
    num: Annotated[
        int | None,
        typer.Option(
            help="How many clips to render. [default: 10 of each label, at least 100; with --tasks 100]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of the clips and of all draws.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler.", show_default=False)] = None,
    sampler: Annotated[str | None, typer.Option(help="See: mediadiff list.", show_default=False)] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How strongly to follow the label; 1 is plain.", show_default=False)
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Draw real clips above rendered ones, or when each is seen and heard.",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        bool, typer.Option("--tasks", help="Try every task of a model of sound and picture on real test clips.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure a model: rendered clips beside real ones, recognised, compared, searched for copies."""
    from mediadiff.console import reporting
    from mediadiff.measure import measure, measure_tasks
    from mediadiff.model import load

    if tasks and sheet:
        raise UsageError("--sheet draws what is measured without --tasks: leave one of the two out")
    loaded = load(model)
    with reporting(json) as report:
        found = (
            measure_tasks(loaded, data, num, seed, steps, sampler, guidance, report)
            if tasks
            else measure(loaded, data, num, seed, steps, sampler, guidance, sheet, report)
        )
    say(json, {"event": "evaluated", **found.to_dict()}, [found.text()])


@app.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL[:KEY=VALUE,...]...",
            help="Models, each with changes to how it is sampled: digits:steps=2,sampler=unipc.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER_OR_RECIPE",
            help="The real clips to compare with. [default: the data of each model's recipe]",
            show_default=False,
        ),
    ] = None,
    num: Annotated[
        int | None,
        typer.Option(help="How many clips of each. [default: 10 of each label, at least 100]", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of the clips.")] = 0,
    json: Json = False,
) -> None:
    """Measure models, or one model sampled in several ways, side by side: quality and seconds per clip."""
    from mediadiff.compare import compare as run
    from mediadiff.console import reporting

    with reporting(json) as report:
        found = run(models, data, num, seed, report)
    say(json, {"event": "compared", **found.to_dict()}, [found.text()])


@app.command()
def doctor(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER_OR_RECIPE", help="A folder of media, or a training recipe.")
    ],
    json: Json = False,
) -> int:
    """Look at every file of a folder: accepted with what training will see, or refused with a reason."""
    from mediadiff.console import reporting
    from mediadiff.data.doctor import examine, examine_folder
    from mediadiff.recipe import TrainRecipe, load_recipe

    recipe = None if source.is_dir() else load_recipe(source)
    if recipe is not None and not isinstance(recipe, TrainRecipe):
        raise UsageError(f"{source} is a recipe for {recipe.purpose}; the doctor looks at folders and training recipes")
    with reporting(json) as report:

        def progress(done: int, of: int) -> None:
            report({"event": "examine", "done": done, "of": of})

        if recipe is None:
            found = examine_folder(str(source), progress)
        else:
            found = examine(recipe.data, recipe.streams, recipe.seconds, progress)
    say(json, {"event": "report", **found.to_dict()}, found.lines())
    return found.exit_code
