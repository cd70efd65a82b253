"""Commands that make clips: render, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediadiff.cli.app import Json, app, say
from mediadiff.errors import UsageError

if TYPE_CHECKING:
    from mediadiff.recipe import RenderRecipe


@app.command()
def render(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE_OR_MODEL",
            help="A recipe, a model's folder, or a shipped model. [default: bounce]",
            show_default=False,
        ),
    ] = None,
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
    given_video: Annotated[
        str | None, typer.Option(metavar="FILE", help="Make the sound for this file's picture.", show_default=False)
    ] = None,
    given_audio: Annotated[
        str | None, typer.Option(metavar="FILE", help="Make the picture for this file's sound.", show_default=False)
    ] = None,
    given: Annotated[
        str | None, typer.Option(metavar="FILE", help="Go on from parts of this file: see --keep.", show_default=False)
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM:TO", help="Seconds kept of --given: 0:0.5s, 1.5:, sound=0:0.5s; several times."),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="Vary this file.", show_default=False)
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="How far --from may change, up to 1: all of it. [default: 0.6]", show_default=False),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Let the end go on at the beginning.")] = False,
    json: Json = False,
) -> int:
    """Render clips from a model into files LABEL-INDEX.EXT."""
    from mediadiff.model import default

    sampling = {"steps": steps, "sampler": sampler, "guidance": guidance}
    flags: dict[str, Any] = {"num": num, "label": label, "caption": caption, "seconds": seconds, "seed": seed}
    flags |= {"first": first, "given_video": given_video, "given_audio": given_audio, "given": given, "keep": keep}
    flags |= {"from": from_, "strength": strength, "loop": loop or None}
    flags["format"] = format.removeprefix(".") if format else None
    wanted = _render_recipe(source or default(), flags, sampling)
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
            task=wanted.asked,
        )
    if json:
        say(json, {"event": "rendered", **made})
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
            raise UsageError(
                f"{source} is a recipe for {loaded.purpose}; make its model first: mediadiff {loaded.task} {source}"
            )
        # Paths as they were filled in, not as they were written.
        files = {name: loaded.asked[name] for name in ("given_video", "given_audio", "given", "from")}
        document = loaded.to_dict() | {"model": loaded.model} | files
    document |= {name: value for name, value in flags.items() if value is not None and value != []}
    changes = {name: value for name, value in sampling.items() if value is not None}
    document["sampling"] = document.get("sampling", {}) | changes
    recipe = from_dict(document, "the command line")
    assert isinstance(recipe, RenderRecipe)
    return recipe


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
    say(
        json,
        {"event": "demo", "page": str(page), "failed": failed},
        [f"Open {page} in a browser: {page.resolve().as_uri()}"],
    )
    return 2 if failed else 0
