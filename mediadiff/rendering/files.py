"""Clips rendered into files: one bad clip costs one clip."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.errors import DiskFullError, MediadiffError
from mediadiff.rendering import manifest
from mediadiff.rendering.generator import Generator, Request


def render_files(
    generator: Generator,
    requests: Sequence[Request],
    seconds: Fraction,
    sampling: SamplingSettings,
    out: Path,
    ending: str | None,
    model: str,
    weights: str,
    report: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Renders each request into a file of its own in `out`; returns what came of it, see `mediadiff.build.render`.

    `model` and `weights`, its name and its weights' hash, go into the files and the folder's manifest. A full disk
    stops the run, since no later clip would fit either; every other failure is noted and passed over.
    """
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    files: list[str] = []
    failures: list[dict[str, Any]] = []
    ending = ending or natural_ending(generator, seconds)
    for start in range(0, len(requests), sampling.batch):
        group = requests[start : start + sampling.batch]
        since = time.monotonic()
        clips = list(generator.attempts(group, seconds, sampling))
        share = (time.monotonic() - since) / len(group)
        for request, clip in zip(group, clips, strict=True):
            path = out / file_name(generator, request, ending)
            try:
                if isinstance(clip, Exception):
                    raise clip
                made = manifest.facts(generator, model, weights, request, seconds, sampling, ending)
                manifest.append(out, manifest.save(clip, out, path.name, made, share))
            except DiskFullError:
                raise
            except (MediadiffError, RuntimeError, ValueError, OSError) as error:
                failures.append({"index": request.index, "file": path.name, "reason": str(error)})
                report({"event": "failed", **failures[-1]})
            else:
                files.append(path.name)
                report(
                    {"event": "clip", "file": str(path), "done": len(files), "of": len(requests), "label": clip.label}
                )
    return {
        "done": len(files),
        "failed": len(failures),
        "files": files,
        "failures": failures,
        "out": str(out),
        "seconds": round(time.monotonic() - begun, 2),
    }


def file_name(generator: Generator, request: Request, ending: str) -> str:
    """`LABEL-INDEX.EXT`, or `clip-INDEX.EXT` without a label; what a file name cannot hold becomes `_`."""
    label = generator.labels[request.label] if request.label >= 0 else "clip"
    safe = re.sub(r"[^\w.+=@ -]|^[.-]", "_", label)
    return f"{safe}-{request.index:06d}.{ending.removeprefix('.')}"


def natural_ending(generator: Generator, seconds: Fraction) -> str:
    """The format that suits the streams: wav for sound, mp4 for moving picture, png for a still."""
    media = {domain.medium: domain for domain in generator.domains.values()}
    if set(media) == {"sound"}:
        return "wav"
    return "png" if set(media) == {"picture"} and media["picture"].steps(seconds) == 1 else "mp4"
