"""Clips rendered into files: one bad clip costs one clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from mediadiff.clip import Clip
from mediadiff.errors import ClipError, DiskFullError, MediadiffError
from mediadiff.io.files import check_folder
from mediadiff.io.locks import undisturbed
from mediadiff.rendering import manifest
from mediadiff.rendering.failures import reason_of
from mediadiff.rendering.generator import Generator
from mediadiff.rendering.ledger import refuse_batch
from mediadiff.rendering.request import WHOLE, Order
from mediadiff.rendering.seam import seam

FAULTS = (MediadiffError, RuntimeError, ValueError, OSError, MemoryError)
"""What may go wrong with a clip and leave the next ones as they are."""


def render_files(
    generator: Generator,
    orders: Sequence[Order],
    out: Path,
    model: str,
    weights: str,
    report: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Makes the file of each order in `out`; returns what came of it, see `mediadiff.build.render`.

    `model` and `weights`, its name and its weights' hash, go into the files and the folder's manifest. A full disk
    stops the run, since no later clip would fit either; every other failure is noted and passed over.
    """
    check_folder(out)
    refuse_batch(out)
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    files: list[str] = []
    replaced = 0
    failures: list[dict[str, Any]] = []

    def attempted(generator: Generator, group: list[Order]) -> list[tuple[Order, Clip | Exception, float]]:
        since, first = time.monotonic(), group[0]
        clips: list[Clip | Exception]
        try:
            clips = list(generator.attempts([order.request for order in group], first.seconds, first.sampling))
        except FAULTS as error:
            clips = [error] * len(group)
        share = (time.monotonic() - since) / len(group)
        return [(order, clip, share) for order, clip in zip(group, clips, strict=True)]

    threads = max((order.sampling.threads for order in orders), default=1)
    for attempts in generator.abreast(attempted, micro_batches(orders), threads):
        for order, clip, share in attempts:
            path = out / order.file_name()
            try:
                if isinstance(clip, Exception):
                    raise clip
                made = manifest.facts(model, weights, order, generator.bf16)
                # A clip, its sidecar and its row are of one render, though two may write into the folder.
                with undisturbed(out, writes=True):
                    replaced += path.exists()
                    row = manifest.save(clip, out, path.name, made, share)
                    manifest.append(out, row)
            except DiskFullError:
                raise
            except FAULTS as error:
                failures.append({"index": order.request.index, "file": path.name, "reason": reason_of(error)})
                report({"event": "failed", **failures[-1]})
            else:
                files.append(path.name)
                if "together" in row:
                    report({"event": "together", "file": str(path), **row["together"]})
                if order.request.loop:
                    report({"event": "seam", "file": str(path), **seam(clip)})
                done = {"event": "clip", "file": str(path), "done": len(files), "of": len(orders), "label": clip.label}
                report(done)
    if replaced:
        report({"event": "note", "text": f"{replaced} clips of the same name in {out} were replaced"})
    return {
        "done": len(files),
        "failed": len(failures),
        "files": files,
        "failures": failures,
        "out": str(out),
        "seconds": round(time.monotonic() - begun, 2),
    }


def micro_batches(orders: Sequence[Order]) -> Iterator[list[Order]]:
    """Orders that follow each other and may be carried out at once, in groups of at most their batch."""
    for _, alike in groupby(orders, Order.shape):
        rest = iter(alike)
        while group := list(islice(rest, 1)):
            group += islice(rest, group[0].sampling.batch - 1)
            yield group


def check_length(clip: Clip, order: Order) -> None:
    """Raises ClipError unless every stream of the clip lasts as long as was asked, to the sample and the frame.

    But for one given whole: it keeps its own rate, and its last frame may begin within the clip and end after it.
    """
    whole = {medium for given in order.request.given for medium, kept in given.keep.items() if kept == WHOLE}
    counts = []
    if clip.sound is not None and "sound" not in whole:
        counts.append(("samples", clip.sound.samples.shape[1], order.seconds * clip.sound.sample_rate))
    if clip.picture is not None and "picture" not in whole:
        counts.append(("frames", len(clip.picture.frames), order.seconds * clip.picture.rate))
    for what, count, wanted in counts:
        if count != max(1, round(wanted)):
            raise ClipError("shape", f"the clip has {count} {what}; {max(1, round(wanted))} were asked for")
