"""Commands that show things: info, list, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mediadiff.cli.app import Json, app, say
from mediadiff.errors import MediaError


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Media files.")],
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", help="Draw what is seen and heard when: films with sound, up to 12.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Show what media files hold: streams, rates, lengths, tags; and, in a picture, their timing."""
    from mediadiff.io.probe import probe

    failed = 0
    for path in files:
        try:
            found = probe(path)
        except MediaError as error:
            failed += 1
            say(json, {"path": str(path), "error": error.cause}, [], f"mediadiff: {error}")
        else:
            say(json, found.to_dict(), found.lines())
    if sheet is not None and not failed:
        from mediadiff.evaluation.timing import sheet_of_files

        say(json, {"event": "sheet", "file": str(sheet_of_files(files, sheet))}, [f"The sheet is {sheet}."])
    return 2 if failed else 0


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
    say(json, found, lines)


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from json import dumps

    from mediadiff.recipe import json_schema

    print(dumps(json_schema(), indent=2))
