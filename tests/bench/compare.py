"""Training steps and predictions side by side with other libraries' networks: `make bench` runs it.

On the same clip and batch, with about as many weights and as many threads; all variants take turns, round after
round, and medians count. Each side has a process of its own, as each treats memory in its own way. Prints the table;
`--write` puts it into README.md and adds a line to record.jsonl.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mediadiff.bench.run import machine
from mediadiff.training.memory import kept
from tests.bench.pairs import APART, PAIRS, Pair
from tests.bench.peers import Peer

REPOSITORY = Path(__file__).parent.parent.parent
RECORD = Path(__file__).parent / "record.jsonl"
BEGIN, END = "<!-- bench: written by make bench -->", "<!-- /bench -->"


Side = Callable[[Pair], dict[str, tuple[Peer, bool]]]
"""Makes the variants of one side by name, each with whether it runs under autocast to bfloat16."""


def theirs(pair: Pair) -> dict[str, tuple[Peer, bool]]:
    """The other library's, as it comes and under autocast."""
    peer = pair.theirs()
    return {"theirs float32": (peer, False), "theirs bf16": (peer, True)}


def ours(pair: Pair) -> dict[str, tuple[Peer, bool]]:
    """Ours, which knows of bfloat16 itself, with memory kept between steps as training keeps it."""
    _lasting.enter_context(kept())
    return {
        "ours bf16": (pair.ours(True, True), False),
        "ours float32": (pair.ours(False, True), False),
        "ours unfolded bf16": (pair.ours(True, False), False),
        "ours unfolded float32": (pair.ours(False, False), False),
    }


_lasting = ExitStack()
_variants: dict[str, tuple[Peer, bool]] = {}
"""Of the process that holds a side: how one side treats its memory is nothing to the other."""


def _prepare(side: Side, pair: Pair) -> None:
    torch.manual_seed(0)
    _variants.update(side(pair))


def _weights() -> dict[str, int]:
    return {name: peer.parameters for name, (peer, _) in _variants.items()}


def _taken(name: str, what: str) -> float:
    peer, autocast = _variants[name]
    begun = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        getattr(peer, what)()
    return time.perf_counter() - begun


def measure(pair: Pair, rounds: int) -> dict[str, Any]:
    """Median seconds of the step and the prediction of each variant, and the numbers of weights."""
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        holds: dict[str, Executor] = {}
        weights: dict[str, int] = {}
        for side in (theirs, ours):
            process = stack.enter_context(ProcessPoolExecutor(1, spawn, _prepare, (side, pair)))
            found = process.submit(_weights).result()
            weights |= found
            holds |= dict.fromkeys(found, process)
        their, our = weights["theirs float32"], weights["ours bf16"]
        if abs(our / their - 1) > APART:
            raise ValueError(f"{pair.name} has {their} weights, ours {our}: choose other channels")
        taken: dict[str, dict[str, list[float]]] = {name: {"step": [], "forward": []} for name in weights}
        for turn in range(rounds + 1):
            for name, process in holds.items():
                for what in ("step", "forward"):
                    seconds = process.submit(_taken, name, what).result()
                    # The first round warms up.
                    if turn:
                        taken[name][what].append(seconds)
    return {
        "name": pair.name,
        "clip": pair.clip,
        "batch": pair.batch,
        "weights": {"theirs": their, "ours": our},
        "seconds": {
            name: {what: statistics.median(seconds) for what, seconds in each.items()} for name, each in taken.items()
        },
    }


def table(figures: Sequence[Mapping[str, Any]], where: Mapping[str, Any]) -> str:
    """The README's table: how many times as long theirs takes."""
    lines = [
        "| beside | clip | batch | weights | as each comes | both bf16 | both float32 | bf16, unfolded |",
        "|---|---|---|---|---|---|---|---|",
    ]
    columns = [
        ("theirs float32", "ours bf16"),
        ("theirs bf16", "ours bf16"),
        ("theirs float32", "ours float32"),
        ("theirs bf16", "ours unfolded bf16"),
    ]
    for one in figures:
        weights = f"{one['weights']['theirs'] / 1e6:.1f} M, {one['weights']['ours'] / 1e6:.1f} M"
        cells = [_ratios(one["seconds"][theirs], one["seconds"][ours]) for theirs, ours in columns]
        lines.append(f"| {one['name']} | {one['clip']} | {one['batch']} | {weights} | {' | '.join(cells)} |")
    said = f"{where['name']}, {where['threads']} threads, torch {where['torch']}"
    return "\n".join([*lines, "", f"Measured on {said}."])


def _ratios(theirs: Mapping[str, float], ours: Mapping[str, float]) -> str:
    return " / ".join(f"{theirs[what] / ours[what]:.1f}" for what in ("step", "forward"))


def between_marks(text: str, table: str) -> str:
    """The text with `table` between the two marks. ValueError if it lacks them."""
    marked = re.compile(f"{re.escape(BEGIN)}\n.*{re.escape(END)}", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"no place for the table: the lines {BEGIN} and {END} are missing")
    return marked.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text)


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.strip()

    return git("rev-parse", "HEAD") + (" and changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, help="clips a step (default: each pair's own)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only libraries with this in their name")
    parser.add_argument("--write", action="store_true", help="write README.md and record.jsonl")
    asked = parser.parse_args()
    pairs = [pair for pair in PAIRS if asked.only in pair.name]
    if not pairs:
        parser.error(f"--only takes a part of one of: {', '.join(pair.name for pair in PAIRS)}; got {asked.only}")
    if asked.write and len(pairs) < len(PAIRS):
        parser.error("--write writes the whole table: leave --only out")
    where, figures = machine(), []
    for pair in pairs:
        print(pair.name, flush=True)
        figures.append(measure(replace(pair, batch=asked.batch or pair.batch), asked.rounds))
    text = table(figures, where)
    print(text)
    if asked.write:
        readme = REPOSITORY / "README.md"
        readme.write_text(between_marks(readme.read_text(encoding="utf-8"), text), encoding="utf-8")
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        row = {"date": today, "commit": _commit(), "machine": where, "rounds": asked.rounds}
        with RECORD.open("a", encoding="utf-8") as record:
            record.write(json.dumps({**row, "figures": figures}) + "\n")


if __name__ == "__main__":
    main()
