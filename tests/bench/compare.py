"""Training steps and predictions side by side with other libraries' networks: `make bench` runs it.

In one process, on the same clip and batch, with about as many weights and as many threads; all variants take turns,
round after round, and medians count. Prints the table; `--write` puts it into README.md and adds a line to
record.jsonl.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mediadiff.bench.run import machine
from tests.bench.pairs import APART, PAIRS, Pair
from tests.bench.peers import Peer

REPOSITORY = Path(__file__).parent.parent.parent
RECORD = Path(__file__).parent / "record.jsonl"
BEGIN, END = "<!-- bench: written by make bench -->", "<!-- /bench -->"


def measure(pair: Pair, rounds: int) -> dict[str, Any]:
    """Median seconds of the step and the prediction of each variant, and the numbers of weights."""
    theirs, ours = pair.theirs(), pair.ours(True, True)
    if abs(ours.parameters / theirs.parameters - 1) > APART:
        raise ValueError(f"{pair.name} has {theirs.parameters} weights, ours {ours.parameters}: choose other channels")
    variants: dict[str, tuple[Peer, bool]] = {
        "theirs float32": (theirs, False),
        "theirs bf16": (theirs, True),
        "ours bf16": (ours, False),
        "ours float32": (pair.ours(False, True), False),
        "ours unfolded bf16": (pair.ours(True, False), False),
        "ours unfolded float32": (pair.ours(False, False), False),
    }
    taken: dict[str, dict[str, list[float]]] = {name: {"step": [], "forward": []} for name in variants}
    for turn in range(rounds + 1):
        for name, (peer, autocast) in variants.items():
            for what in ("step", "forward"):
                seconds = _taken(getattr(peer, what), autocast)
                # The first round warms up.
                if turn:
                    taken[name][what].append(seconds)
    return {
        "name": pair.name,
        "clip": pair.clip,
        "batch": pair.batch,
        "weights": {"theirs": theirs.parameters, "ours": ours.parameters},
        "seconds": {
            name: {what: statistics.median(seconds) for what, seconds in each.items()} for name, each in taken.items()
        },
    }


def _taken(run: Callable[[], object], autocast: bool) -> float:
    begun = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        run()
    return time.perf_counter() - begun


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
    torch.manual_seed(0)
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
