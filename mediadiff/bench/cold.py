"""A cold start: how long a fresh process takes for one clip, and how much memory; and how both grow with the clip.

To be measured from a small process: what the system notes of a child's memory begins with that of its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mediadiff.bench.timing import Timing
from mediadiff.errors import MediadiffError


@dataclass(frozen=True)
class ColdStart:
    """A fresh process that renders one clip into a file."""

    start: Timing
    memory_bytes: int
    """At its peak."""


LENGTHS = (15, 30, 60)
"""Seconds of the clips by which growth is measured."""


@dataclass(frozen=True)
class Growth:
    """Clips of each of `LENGTHS`, one after the other in a process of its own: processor time, and memory."""

    clip_seconds: tuple[int, ...]
    processor_seconds: tuple[float, ...]
    memory_bytes: tuple[int, ...]

    @property
    def time(self) -> float:
        """How many times as long the last stretch takes as the first, second of clip for second: 1 is linear."""
        steps = [
            (self.processor_seconds[i + 1] - self.processor_seconds[i])
            / (self.clip_seconds[i + 1] - self.clip_seconds[i])
            for i in range(len(self.clip_seconds) - 1)
        ]
        return steps[-1] / steps[0]

    @property
    def memory(self) -> float:
        """How many times as much memory the longest clip takes as the shortest: 1 is constant."""
        return self.memory_bytes[-1] / self.memory_bytes[0]


def cold_start(model: str | Path, folder: Path, runs: int) -> ColdStart:
    """Starts `mediadiff render` anew `runs` times. MediadiffError with its last words if it fails."""
    found = [_run(model, folder / f"cold-{run}") for run in range(runs)]
    return ColdStart(Timing.of([one.seconds for one in found]), max(one.memory_bytes for one in found))


def growth(model: str | Path, folder: Path, lengths: Sequence[int] = LENGTHS) -> Growth:
    """Renders a clip of each length. MediadiffError if one fails."""
    found = [_run(model, folder / f"long-{seconds}", "--seconds", str(seconds)) for seconds in lengths]
    return Growth(
        tuple(lengths), tuple(one.processor_seconds for one in found), tuple(one.memory_bytes for one in found)
    )


@dataclass(frozen=True)
class _Run:
    seconds: float
    processor_seconds: float
    memory_bytes: int


def _run(model: str | Path, out: Path, *more: str) -> _Run:
    """A fresh `mediadiff render` into `out`."""
    command = [sys.executable, "-m", "mediadiff", "render", str(model), "--out", str(out), *more]
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip()
            raise MediadiffError(f"a fresh process could not render with {model}: {words[-500:]}")
    return _Run(taken, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
