"""What a long job says while it runs: a bar on a terminal, plain lines elsewhere, JSON for programs.

A job reports events, which are plain dicts: `{"event": "step", "clips": 640, "of": 60000, "loss": 0.4}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mediadiff.errors import MediadiffError

Event = dict[str, Any]
Report = Callable[[Event], None]

_EVERY = 10.0  # seconds between plain lines of progress
_DONE = {
    "batch": "done",
    "step": "clips",
    "encode": "done",
    "clip": "done",
    "examine": "done",
    "page": "done",
    "sample": "done",
    "classifier": "done",
}
_NAMES = {
    "batch": "rendering",
    "step": "training",
    "encode": "reading media",
    "clip": "rendering",
    "examine": "examining",
    "page": "drawing",
    "sample": "rendering",
    "classifier": "training the classifier",
}


@contextmanager
def reporting(as_json: bool) -> Iterator[Report]:
    """A report that suits where the output goes; what it has open is closed at the end.

    MediadiffError where whoever read it is gone before the block is done.
    """
    try:
        if as_json:
            yield write_json
        elif sys.stdout.isatty():
            with _bar() as report:
                yield report
        else:
            yield _Lines()
    except BrokenPipeError:
        # Python flushes it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise MediadiffError("stopped before the end: whoever read this output is gone; let a file take it") from None


def write_json(event: object) -> None:
    """One JSON value on a line of its own. Numbers that JSON does not have become null."""
    print(json.dumps(_finite(event), ensure_ascii=False), flush=True)


def sentence(event: Event) -> str | None:
    """An event in words; None where there is nothing to say."""
    match event:
        case {"event": "step", "clips": done, "of": of, "loss": loss, "clips_per_second": speed, "seconds_left": left}:
            part = f"{done / of:.0%}"
            return f"{done} of {of} clips ({part}), loss {loss:.4g}, {speed:.3g} clips/s, {duration(left)} left"
        case {"event": "clip", "file": file, "done": done, "of": of}:
            return f"{done} of {of}: {file}"
        case {"event": "failed", "file": file, "kind": kind, "reason": reason}:
            return f"failed: {file}: {kind}: {reason}"
        case {"event": "batch", "done": done, "failed": failed, "of": of, "clips_per_minute": speed, **rest}:
            left = f", {duration(rest['seconds_left'])} left" if rest["seconds_left"] else ""
            return f"{done} of {of} clips, {failed} failed, {speed:g} clips/min{left}, {len(rest['workers'])} workers"
        case {"event": "jobs", "of": of, "done": done, "again": again, "lost": lost}:
            known = f", {done} done already" if done else ""
            known += f", {again} that failed are tried again" if again else ""
            return f"{of} jobs{known}{f', {lost} files are gone and made again' if lost else ''}"
        case {"event": "estimate", "clips": clips, "seconds": seconds, "workers": workers, **more}:
            size = f"{more['disk_bytes'] / 1e6:.3g} MB on the disk, {more['memory_bytes'] / 1e9:.2g} GB of memory"
            return f"{clips} clips will take about {duration(seconds)} with {workers} workers, {size}"
        case {"event": kind, "done": done, "of": of} if kind in _DONE:
            return f"{_NAMES[kind]}: {done} of {of}"
        case {"event": "data", "files": files, "refused": refused, "labels": labels}:
            named = f", {len(labels)} labels ({_listed(labels)})" if labels else ", no labels"
            return f"data: {files} files, {refused} refused{named}"
        case {"event": "refused" | "ignored" | "failed" as kind, "file": file, "reason": reason}:
            return f"{kind}: {file}: {reason}"
        case {"event": "network", "parameters": parameters, "bf16": bf16, **rest}:
            clips = "".join(f", {rest[split]} clips to {split}" for split in ("train", "test") if split in rest)
            return f"network: {parameters / 1e6:.3g} million weights, {'bf16' if bf16 else 'float32'}{clips}"
        case {"event": "overfit", "part": part, "passes": passes}:
            return f"check on one clip: the error falls to {part:.0%}{'' if passes else ', which is too little'}"
        case {"event": "start", "clips": done, "of": of}:
            return f"training: {done} of {of} clips seen" if done else f"training on {of} clips"
        case {"event": "end", "seconds": seconds}:
            return f"trained in {duration(seconds)}"
        case {"event": "preview", "folder": folder}:
            return f"preview: {folder}"
        case {"event": "warning", "text": text}:
            return f"warning: {text}"
        case {
            "event": "together",
            "file": file,
            "sound_seconds": sound,
            "picture_seconds": seen,
            "offset_seconds": off,
        }:
            return f"{file}: sound {sound:.3f} s, picture {seen:.3f} s, {off * 1000:.3f} ms apart at the start"
        case {"event": "seam", "file": file, **scores}:
            return f"seam of {file}: {', '.join(f'{n} {s:.2f}' for n, s in scores.items())} (1: as the steps inside)"
        case {"event": "note", "text": text}:
            return str(text)
    return None


def duration(seconds: float) -> str:
    """`90` as `1 min 30 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Lines:
    """Plain lines; progress now and then, everything else at once."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if kind in _DONE and kind != "clip":
            now, is_last = time.monotonic(), event[_DONE[kind]] >= event["of"]
            if not is_last and now - self.last.get(kind, float("-inf")) < _EVERY:
                return
            self.last[kind] = now
        text = sentence(event)
        if text is not None:
            print(text, flush=True)


@contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(highlight=False)
    progress = Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[said]}"), console=console)
    live = Live(progress, console=console, refresh_per_second=4)
    bars: dict[str, Any] = {}

    def report(event: Event) -> None:
        kind = event["event"]
        if kind in _DONE:
            if kind not in bars:
                bars[kind] = progress.add_task(_NAMES[kind], total=event["of"], said="")
            said = ""
            if kind == "step":
                said = f"{event['clips_per_second']:.3g} clips/s, loss {event['loss']:.4g}"
            elif kind == "batch":
                said = f"{event['failed']} failed, {event['clips_per_minute']:g} clips/min"
                live.update(Group(progress, _workers(event["workers"])))
            progress.update(bars[kind], completed=event[_DONE[kind]], total=event["of"], said=said)
        elif (text := sentence(event)) is not None:
            console.print(text, markup=False, soft_wrap=True)

    with live:
        yield report


def _workers(workers: list[dict[str, Any]]) -> Any:
    """A table of the workers of a batch."""
    from rich import box
    from rich.table import Table

    table = Table("worker", "", "clips", "clips/min", "in hand for", box=box.SIMPLE_HEAD)
    for one in workers:
        held = duration(one["held_seconds"]) if one["held_seconds"] is not None else ""
        cells = one["worker"], one["state"], one["made"], f"{one['clips_per_minute']:g}", held
        table.add_row(*map(str, cells))
    return table


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
