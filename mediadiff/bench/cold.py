"""A cold start: how long a fresh process takes for one clip, and how much memory.

To be measured from a small process: what the system notes of a child's memory begins with that of its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
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


def cold_start(model: str | Path, folder: Path, runs: int) -> ColdStart:
    """Starts `mediadiff render` anew `runs` times. MediadiffError with its last words if it fails."""
    taken, memory = [], 0
    for run in range(runs):
        command = [sys.executable, "-m", "mediadiff", "render", str(model), "--out", str(folder / f"cold-{run}")]
        with tempfile.TemporaryFile() as said:
            begun = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
            _, status, usage = os.wait4(process.pid, 0)
            taken.append(time.perf_counter() - begun)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                words = said.read().decode("utf-8", "replace").strip()
                raise MediadiffError(f"a fresh process could not render with {model}: {words[-500:]}")
        memory = max(memory, usage.ru_maxrss * 1024)
    return ColdStart(Timing.of(taken), memory)
