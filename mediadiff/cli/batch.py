"""The command that makes many clips: batch."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mediadiff.cli.app import Json, app, say


@app.command()
def batch(
    jobs: Annotated[str, typer.Argument(help="A list of jobs: .yaml, .jsonl or .csv, one clip a row.")],
    out: Annotated[str, typer.Option(metavar="DIR", help="The folder for the clips, or s3://bucket/folder.")],
    workers: Annotated[
        int | None, typer.Option(help="Processes. [default: as many as processors]", show_default=False)
    ] = None,
    engine: Annotated[str, typer.Option(metavar="local|ray", help="Processes here, or a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster to join, such as auto.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Try clips that failed once more, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and stop.")] = False,
    retries: Annotated[int, typer.Option(help="How often a clip is tried at most.")] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds after which a micro-batch is taken for hung.")] = 1800.0,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only part I of N: for machines that share a folder.")
    ] = None,
    json: Json = False,
) -> int:
    """Make every clip of a list of jobs, or say which failed and why. The same command goes on after any fault."""
    from mediadiff import batch as batches
    from mediadiff.console import reporting

    part = batches.Shard.parse(shard) if shard else batches.WHOLE
    settings = batches.Settings(engine, address, workers, resume, retries, timeout, part)  # type: ignore[arg-type]
    with reporting(json) as report:
        if dry_run:
            batches.plan(jobs, settings, report)
            return 0
        made: dict[str, Any] = batches.run(jobs, out, settings, report)
    unfinished = made["waiting"] + made["held"]
    left = f", {unfinished} left" if unfinished else ""
    took = f"{made['seconds']} s, the network's own time {made['network_seconds'] / made['workers']:.4g} s"
    lines = [f"{made['done']} clips in {out}, {made['failed']} failed{left} ({took})"]
    if made["failed"]:
        lines.append(f"why: {out}/{part.name('failures', 'jsonl')}; again: {batches.command(jobs, out, part)}")
    say(json, {"event": "finished", **made}, lines)
    return 130 if made["stopped"] else 2 if made["failed"] else 0
