"""Commands that prove clips: verify, replay."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from mediadiff.cli.app import Json, app, say


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that clips were rendered into.")],
    json: Json = False,
) -> int:
    """Hold every clip of a folder against the folder's manifest."""
    from mediadiff.errors import printable
    from mediadiff.rendering import verify as proof

    counts: Counter[str] = Counter()
    for finding in proof.verify(folder):
        word = "fault" if finding.is_fault else "note" if finding.is_note else "proved"
        counts[word] += 1
        if word != "proved":
            found = {"event": word, "file": finding.file, "kind": finding.kind, "text": finding.text}
            say(json, found, [printable(f"{finding.file}: {finding.kind}: {finding.text}")])
    summary = {"proved": counts["proved"], "faults": counts["fault"], "notes": counts["note"]}
    notes = f", {summary['notes']} notes" if summary["notes"] else ""
    line = f"{folder}: {summary['proved']} files proved, {summary['faults']} faults{notes}"
    say(json, {"event": "verified", **summary}, [line])
    return 3 if summary["faults"] else 0


@app.command()
def replay(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE_OR_ROW",
            help="A rendered file, or a row: MANIFEST.jsonl#NAME with a file's name or an id, or a .json file.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="The clip's model, if it is none of the shipped.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A folder to keep the new clip in.", show_default=False)] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="A file that the clip was made from (--given, --from); may be repeated.", show_default=False),
    ] = None,
    json: Json = False,
) -> int:
    """Make a clip again from what is written down of it, and say whether it is the same."""
    from mediadiff.errors import printable
    from mediadiff.replay import replay as run

    made = run(source, model, out, file or ())
    say(json, {"event": "replayed", **made.to_dict()}, [printable(line) for line in made.lines()])
    return made.exit_code
