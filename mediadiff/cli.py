"""The command line: one thin command each. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediadiff.errors import DiskFullError, MediadiffError, MediaError, TrainingError, UsageError

if TYPE_CHECKING:
    from mediadiff.recipe import RenderRecipe

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on each line, for programs.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0 for success, 1 for a mistake in how it was called, 2 when some or all of it failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    for stream in (sys.stdout, sys.stderr):
        # File names may hold bytes that are no text.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=[word for word in given if word != "--debug"], prog_name="mediadiff", standalone_mode=False)
        sys.stdout.flush()
        if code == 130:
            print("mediadiff: stopped", file=sys.stderr)
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        mistake: Any = error
        mistake.show()
        return 1
    except (BrokenPipeError, SystemExit):
        # Whoever read the output has had enough of it; typer then exits. Python flushes stdout once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MediadiffError as error:
        if debug:
            raise
        return _fail(str(error), 2 if isinstance(error, DiskFullError | MediaError | TrainingError) else 1, given)
    except Exception as error:
        if debug:
            raise
        text = (
            f"{type(error).__name__}: {error}\nThis is a fault of mediadiff; the same command with --debug shows where."
        )
        return _fail(text, 2, given)


def _fail(text: str, code: int, given: Sequence[str]) -> int:
    if "--json" in given:
        from mediadiff.console import write_json

        write_json({"event": "error", "text": text, "exit_code": code})
    print(f"mediadiff: {text}", file=sys.stderr)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        from mediadiff import __version__

        print(f"mediadiff {__version__}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 all done, 1 a mistake in the command or the recipe, 2 some of it failed.")
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error came from.")] = False,
) -> None:
    """Short clips of sound, of picture and of both, from a model trained on a folder of your own media."""


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
        raise UsageError(f"{recipe} is a recipe for rendering; use it with: mediadiff render {recipe}")
    from mediadiff import build
    from mediadiff.console import reporting

    with reporting(json) as report:
        folder = build.train(loaded, out, resume, dry_run, report)
    if json:
        _say(json, {"event": "trained" if not dry_run else "checked", "model": str(folder)})
    elif dry_run:
        print("The recipe, the data and the network fit together; nothing was trained.")
    else:
        print(f"The model is in {folder}. Render clips with: mediadiff render {folder} --out clips")


@app.command()
def render(
    source: Annotated[
        str, typer.Argument(metavar="RECIPE_OR_MODEL", help="A recipe, a model's folder, or a shipped model.")
    ],
    out: Annotated[Path | None, typer.Option(help="The folder for the clips.", show_default=False)] = None,
    num: Annotated[int | None, typer.Option(help="How many clips. [default: 1]", show_default=False)] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="What to ask for; give it several times to go through several.")
    ] = None,
    caption: Annotated[
        str | None, typer.Option(help="What to ask for in words, if the model knows captions.", show_default=False)
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="The length of each clip.", show_default=False)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Another seed gives other clips. [default: 0]", show_default=False)
    ] = None,
    first: Annotated[
        int | None, typer.Option(help="The index of the first clip. [default: 0]", show_default=False)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler.", show_default=False)] = None,
    sampler: Annotated[str | None, typer.Option(help="See: mediadiff list.", show_default=False)] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How strongly to follow the label; 1 is plain.", show_default=False)
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="EXT", help="wav, flac, ogg, mp3, mp4, webm, mkv, gif, png.", show_default=False),
    ] = None,
    json: Json = False,
) -> int:
    """Render clips from a model into files LABEL-INDEX.EXT."""
    sampling = {"steps": steps, "sampler": sampler, "guidance": guidance}
    flags: dict[str, Any] = {"num": num, "label": label, "caption": caption, "seconds": seconds, "seed": seed}
    flags["first"] = first
    flags["format"] = format.removeprefix(".") if format else None
    wanted = _render_recipe(source, flags, sampling)
    folder = out or (Path(wanted.out) if wanted.out else None)
    if folder is None:
        raise UsageError("where should the clips go? Name a folder: --out DIR")
    from mediadiff import build
    from mediadiff.console import reporting

    model = build.load(wanted.model)
    with reporting(json) as report:
        made = build.render(
            model,
            folder,
            wanted.num,
            list(wanted.labels) or None,
            wanted.seconds,
            wanted.seed,
            wanted.first,
            wanted.sampling,
            wanted.caption or "",
            wanted.scalars,
            format=wanted.format,
            report=report,
        )
    if json:
        _say(json, {"event": "rendered", **made})
    else:
        failed = f", {made['failed']} failed" if made["failed"] else ""
        print(f"{made['done']} clips in {folder}{failed} ({made['seconds']} s)")
    return 2 if made["failed"] else 0


def _render_recipe(source: str, flags: dict[str, Any], sampling: dict[str, Any]) -> RenderRecipe:
    """What to render: the recipe or the bare model, changed by the flags, through the same checks."""
    from mediadiff.recipe import RenderRecipe, from_dict, load_recipe

    document: dict[str, Any] = {"mediadiff": 1, "task": "render", "model": source}
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        loaded = load_recipe(path)
        if not isinstance(loaded, RenderRecipe):
            raise UsageError(f"{source} is a recipe for training; train it first: mediadiff train {source}")
        document = loaded.to_dict() | {"model": loaded.model}
    document |= {name: value for name, value in flags.items() if value is not None and value != []}
    changes = {name: value for name, value in sampling.items() if value is not None}
    document["sampling"] = document.get("sampling", {}) | changes
    recipe = from_dict(document, "the command line")
    assert isinstance(recipe, RenderRecipe)
    return recipe


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
        typer.Option(help="How many clips to render. [default: 10 of each label, at least 100]", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of the clips and of all draws.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler.", show_default=False)] = None,
    sampler: Annotated[str | None, typer.Option(help="See: mediadiff list.", show_default=False)] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How strongly to follow the label; 1 is plain.", show_default=False)
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw real clips above rendered ones.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Measure a model: rendered clips beside real ones, recognised, compared, searched for copies."""
    from mediadiff.console import reporting
    from mediadiff.measure import measure
    from mediadiff.model import load

    loaded = load(model)
    with reporting(json) as report:
        found = measure(loaded, data, num, seed, steps, sampler, guidance, sheet, report)
    _say(json, {"event": "evaluated", **found.to_dict()}, [found.text()])


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Media files.")],
    json: Json = False,
) -> int:
    """Show what media files hold: streams, rates, lengths, tags."""
    from mediadiff.io.probe import probe

    failed = 0
    for path in files:
        try:
            found = probe(path)
        except MediaError as error:
            failed += 1
            _say(json, {"path": str(path), "error": error.cause}, [], f"mediadiff: {error}")
        else:
            _say(json, found.to_dict(), found.lines())
    return 2 if failed else 0


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
        raise UsageError(f"{source} is a recipe for rendering; the doctor looks at folders and training recipes")
    with reporting(json) as report:

        def progress(done: int, of: int) -> None:
            report({"event": "examine", "done": done, "of": of})

        if recipe is None:
            found = examine_folder(str(source), progress)
        else:
            found = examine(recipe.data, recipe.streams, recipe.seconds, progress)
    _say(json, {"event": "report", **found.to_dict()}, found.lines())
    return found.exit_code


@app.command("list")
def list_(json: Json = False) -> None:
    """Show domains, samplers, recipes and shipped models."""
    from mediadiff.catalogue import catalogue

    found = catalogue()
    lines = []
    for heading, entries in found.items():
        lines.append(f"{heading}:")
        width = max((len(entry["name"]) for entry in entries), default=0)
        lines += [f"  {entry['name']:<{width}}  {entry['summary']}".rstrip() for entry in entries] or ["  none"]
    _say(json, found, lines)


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from json import dumps

    from mediadiff.recipe import json_schema

    print(dumps(json_schema(), indent=2))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder for the clips and the page.")] = Path("out/demo"),
    json: Json = False,
) -> int:
    """Render a few clips with every shipped model, and a page that plays them."""
    from mediadiff.console import reporting
    from mediadiff.demo import demo as run

    with reporting(json) as report:
        page, failed = run(out, report)
    _say(
        json,
        {"event": "demo", "page": str(page), "failed": failed},
        [f"Open {page} in a browser: {page.resolve().as_uri()}"],
    )
    return 2 if failed else 0


def _say(json: bool, value: Any, lines: Sequence[str] = (), fault: str = "") -> None:
    """A result: one JSON value, or lines for people; `fault` goes to where errors go."""
    if json:
        from mediadiff.console import write_json

        write_json(value)
        return
    for line in lines:
        print(line)
    if fault:
        print(fault, file=sys.stderr)
