"""The figures of a benchmark as tables for a terminal. Ratios come first; times stand beside the machine's name."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from mediadiff.bench.run import Bench

LOADER_ASKED, DECODING_ASKED = 10.0, 0.9


def lines(found: Bench) -> list[str]:
    """All tables of what was measured, as lines of text."""
    m = found.machine
    out = [f"{m['name']}, {m['cores']} cores, {m['processor']}, torch {m['torch']}, {m['threads']} threads"]
    if found.train:
        out += ["", "Training, as shares of the machine's own peak", *_training(found.train)]
        out += ["", "Where the time of a training step goes", *_where(found.train)]
    if found.render:
        out += ["", "Rendering with each model's own settings: clips on all processors", *_rendering(found.render)]
        out += ["", "Where the time of rendering goes", *_where(found.render)]
        grown = {name: one["growth"] for name, one in found.render.items() if one["growth"]}
        if grown:
            out += ["", "Processor time and memory of long clips (asked: 1 times)", *_growth(grown)]
    if found.io:
        out += ["", f"The loader beside training (asked: {LOADER_ASKED:g} times)", *_loading(found.io)]
    if found.decoding:
        one = found.decoding
        out += ["", f"Decoding {one['files']} videos, beside plain PyAV (asked: {DECODING_ASKED} of its speed)"]
        speeds = f"{one['frames_per_second']:.0f} frames/s and {one['plain_frames_per_second']:.0f}"
        out += [f" {one['share']:.2f} of its speed: {speeds}"]
    out += [f"left out: {text}" for text in found.left_out]
    return out


def _training(figures: Mapping[str, Any]) -> list[str]:
    head = ["recipe", "step", "forward", "clips/s", "media s/s", "weights", "GFLOP/clip", "peak GFLOP/s", "memory"]
    rows = [
        [
            name,
            f"{one['step_share']:.0%}",
            f"{one['forward_share']:.0%}",
            f"{one['clips_per_second']:.3g}",
            f"{one['media_seconds_per_second']:.3g}",
            f"{one['parameters'] / 1e6:.1f} M",
            f"{one['step_flops'] / one['batch'] / 1e9:.1f}",
            _peak(one["peak"]),
            f"{one['memory_bytes'] / 1e9:.2f} GB",
        ]
        for name, one in figures.items()
    ]
    return _table(head, rows)


def _rendering(figures: Mapping[str, Any]) -> list[str]:
    head = ["model", "network", "clips/s", "media s/s", "steps", "threads", "peak GFLOP/s", "cold start", "memory"]
    rows = [
        [
            name if one["trained"] else f"{name} (untrained)",
            f"{one['network_share']:.0%}",
            f"{one['clips_per_second']:.3g}",
            f"{one['media_seconds_per_second']:.3g}",
            str(one["steps"]),
            str(one["threads"]),
            _peak(one["peak"]),
            f"{one['cold']['start']['seconds']:.1f} s" if one["cold"] else "",
            f"{one['cold']['memory_bytes'] / 1e9:.2f} GB" if one["cold"] else "",
        ]
        for name, one in figures.items()
    ]
    return _table(head, rows)


def _growth(figures: Mapping[str, Any]) -> list[str]:
    lengths = next(iter(figures.values()))["clip_seconds"]
    head = ["model", *(f"{seconds} s" for seconds in lengths), "time for a second, times", "memory, times", "memory"]
    rows = [
        [
            name,
            *(f"{seconds:.1f} s" for seconds in one["processor_seconds"]),
            f"{one['time']:.2f}",
            f"{one['memory']:.2f}",
            f"{one['memory_bytes'][-1] / 1e9:.2f} GB",
        ]
        for name, one in figures.items()
    ]
    return _table(head, rows)


def _loading(figures: Mapping[str, Any]) -> list[str]:
    rows = [[name, f"{one['times_training']:.0f}", f"{one['clips_per_second']:.0f}"] for name, one in figures.items()]
    return _table(["recipe", "times training", "clips/s"], rows)


def _where(figures: Mapping[str, Any]) -> list[str]:
    groups = list(dict.fromkeys(group for one in figures.values() for group in one["where"]))
    rows = [[group, *(f"{one['where'].get(group, 0):.0%}" for one in figures.values())] for group in groups]
    return _table(["", *figures], [row for row in rows if any(cell != "0%" for cell in row[1:])])


def _peak(peak: Mapping[str, Any]) -> str:
    return f"{max(peak['convolution'], peak['product']) / 1e9:.0f} {peak['precision']}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, title in enumerate(head):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines() if line.strip()]
