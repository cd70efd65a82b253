"""A batch without a network: clips are a few bytes, made at once or going wrong as their job says.

python -m tests.rendering.stub worker OUT            a worker
python -m tests.rendering.stub batch OUT JOBS        a batch of JOBS jobs with 2 workers
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mediadiff.errors import ClipError, DiskFullError, MediaError, StoreError, UsageError
from mediadiff.io.files import append_line, sweep, whole_file
from mediadiff.rendering.batch import Batch, Crew, Outcome
from mediadiff.rendering.ledger import Job, Ledger
from mediadiff.rendering.worker import serve
from mediadiff.rendering.workers import Workers

BATCH = 4


def jobs(number: int, faults: Mapping[int, str] | None = None) -> Iterator[Job]:
    """`number` jobs, some of them with a fault."""
    for i in range(number):
        task = {"asked": {"seed": i}, "fault": (faults or {}).get(i, "")}
        yield Job(i, f"{i:016x}", f"{i:06d}.bin", "x" if i % 3 else "y", BATCH, task)


def content(seed: int) -> bytes:
    """What the file of a job holds."""
    return hashlib.sha256(str(seed).encode()).digest() * 64


class Craft:
    def __init__(self, out: Path):
        self.out = out

    def make(self, jobs: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
        for job in jobs:
            match job["fault"]:
                case "exception":
                    yield ZeroDivisionError("division by zero")
                case "nan":
                    yield ClipError("not finite", "the model gave values that are not finite")
                case "media":
                    yield MediaError("given.wav", "is empty")
                case "shape":
                    yield ClipError("shape", "the clip has 3 samples; 4 were asked for")
                case "request":
                    yield UsageError("no label of that name")
                case "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "crashed":
                    ctypes.string_at(0)
                case "hang":
                    time.sleep(3600)
                case "upset":
                    raise MemoryError("a group of clips needed too much")
                case _:
                    yield job["asked"]["seed"]

    def finish(self, job: Mapping[str, Any], made: Any, seconds: float) -> dict[str, Any]:
        if job["fault"] == "disk":
            raise DiskFullError("no room left")
        if job["fault"] == "store":
            raise StoreError("s3://bucket", "does not answer")
        if job["fault"] == "encoder":
            raise MediaError(job["file"], "the encoder gave up")
        if job["fault"] == "slow":
            time.sleep(0.5)
        with whole_file(self.out / job["file"]) as temp:
            temp.write_bytes(content(made))
        digest = hashlib.sha256(content(made)).hexdigest()
        return {"row": {"file": job["file"], "sha256": digest, "seconds": seconds, "recipe": {}}, "pictures": []}


def workers(out: Path, number: int) -> Crew:
    return Workers([sys.executable, "-m", "tests.rendering.stub", "worker", str(out)], number)


def batch(
    out: Path,
    work: Iterator[Job],
    number: int = 2,
    tries: int = 2,
    timeout: float = 60.0,
    report=lambda event: None,
    crew: Crew | None = None,
) -> Outcome:
    """Runs a batch to its end, in the manner of `mediadiff.batch.run`."""
    ledger = Ledger(out / "ledger.sqlite")
    try:
        ledger.fill(work)
        sweep(out)

        def record(row: Mapping[str, Any]) -> None:
            append_line(out / "manifest.jsonl", f"{row['file']} {row['sha256']}")

        running = Batch(ledger, crew or workers(out, number), out, tries, timeout, record, report)
        signal.signal(signal.SIGINT, lambda number, frame: running.stop())
        return running.run()
    finally:
        ledger.close()
        sweep(out)


if __name__ == "__main__":
    kind, out = sys.argv[1], Path(sys.argv[2])
    if kind == "worker":
        serve(Craft(out))
    else:
        faults = dict.fromkeys(range(int(sys.argv[3])), sys.argv[4]) if len(sys.argv) > 4 else {}
        # Whoever kills workers again and again must not be taken for a job that kills its worker.
        outcome = batch(out, jobs(int(sys.argv[3]), faults), tries=100)
        sys.exit(130 if outcome.stopped else 0)
