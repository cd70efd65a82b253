"""What a batch will take: a micro-batch of each kind is tried, and the rest is reckoned from it."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mediadiff.errors import MediadiffError
from mediadiff.rendering.batch import Crew
from mediadiff.rendering.ledger import Job

MOST_TRIALS = 3
"""Shapes that are tried; the others are reckoned by their length and steps."""


@dataclass(frozen=True)
class Trial:
    """What one micro-batch took."""

    seconds: float
    """From its beginning to its last file, as workers follow each other on busy processors."""
    start_seconds: float
    """Until a worker was ready and its model loaded."""
    clip_bytes: float
    """Of a clip's files on the disk."""
    worker_bytes: int
    """Memory of a worker at its peak."""


@dataclass(frozen=True)
class Estimate:
    """What a batch will take."""

    clips: int
    seconds: float
    disk_bytes: float
    memory_bytes: int


def estimate(
    shapes: Sequence[tuple[Job, int]],
    workers: int,
    processors: int,
    crew: Callable[[Path, int], Crew],
    timeout: float,
    known: MutableMapping[str, dict[str, Any]],
) -> Estimate:
    """What is left of a batch will take, from trials.

    `shapes` has for each shape a job and how many there are; `crew(out, number)` are workers that write into a folder.
    `known` are trials of earlier batches, by shape; those made now are added. Raises MediadiffError when a trial fails
    for every clip of it.
    """
    at_once = max(1, min(workers, processors))
    trials: list[tuple[Job, Trial]] = []
    for job, number in shapes[:MOST_TRIALS]:
        clips = min(number, job.batch)
        key = f"{job.shape} {job.task['asked']['format']} {clips} {at_once}"
        if key not in known:
            known[key] = asdict(try_out(job, clips, at_once, crew, timeout))
        trials.append((job, Trial(**known[key])))
    seconds = disk = 0.0
    for job, number in shapes:
        model, trial = min(trials, key=lambda tried, job=job: _distance(tried[0], job))  # type: ignore[misc]
        part = _work(job) / _work(model)
        seconds += math.ceil(number / job.batch) * trial.seconds * part
        disk += number * trial.clip_bytes * (job.task["asked"]["seconds"] and _length(job) / _length(model))
    clips = sum(number for _, number in shapes)
    tasks = sum(math.ceil(number / job.batch) for job, number in shapes)
    # A worker that gets no task does not shorten the batch.
    used = max(1, min(at_once, tasks))
    start = max((trial.start_seconds for _, trial in trials), default=0.0)
    memory = workers * max((trial.worker_bytes for _, trial in trials), default=0)
    return Estimate(clips, start + seconds / used, disk, memory)


def try_out(job: Job, clips: int, at_once: int, crew: Callable[[Path, int], Crew], timeout: float) -> Trial:
    """Makes the job's micro-batch twice by as many workers as will share the processors, into a folder that vanishes.

    The first time loads the model; the second is measured. Each may take `timeout` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="mediadiff-trial-") as folder:
        workers = crew(Path(folder), at_once)
        begun = time.monotonic()
        try:
            for number in range(at_once):
                workers.start(number)
                for task in (1, 2):
                    workers.send(number, {"task": task, "jobs": _jobs(job, clips, number)})
            return _watch(workers, at_once, begun, Path(folder), timeout)
        finally:
            workers.close()


def _watch(workers: Crew, at_once: int, begun: float, folder: Path, timeout: float) -> Trial:
    starts: dict[int, float] = {}
    first_begun: dict[int, float] = {}
    ends: dict[int, float] = {}
    peaks: list[int] = []
    network: dict[int, float] = {}
    sizes: list[int] = []
    faults: list[str] = []
    while len(ends) < at_once:
        if time.monotonic() - begun > 2 * timeout:
            raise MediadiffError(f"a trial of this batch failed: not finished after {2 * timeout:g} s")
        for number, event in workers.events(1.0):
            kind, now = event["event"], time.monotonic()
            if kind in ("failed", "upset", "ended"):
                faults.append(event["reason"])
            if kind in ("ended", "upset"):
                raise MediadiffError(f"a trial of this batch failed: {faults[0]}")
            if kind == "begun" and event["task"] == 2:
                first_begun[number] = now
            if kind == "begun" and event["task"] == 1:
                starts[number] = now
            if kind == "made" and event["task"] == 2:
                sizes.append(sum(p.stat().st_size for p in folder.rglob(f"{event['row']['file']}*")))
            if kind == "finished" and event["task"] == 1:
                network[number] = event["network_seconds"]
            if kind == "finished" and event["task"] == 2:
                ends[number] = now
                # The first task's time in the network, less the second's, is what loading took.
                starts[number] += network[number] - event["network_seconds"]
                peaks.append(event["peak_bytes"])
    if not sizes:
        raise MediadiffError(f"a trial of this batch failed: {faults[0] if faults else 'it made no clip'}")
    seconds = sum(ends[n] - first_begun[n] for n in ends) / len(ends)
    start = max(starts.values()) - begun
    return Trial(seconds, max(0.0, start), sum(sizes) / len(sizes), max(peaks))


def _jobs(job: Job, clips: int, worker: int) -> list[dict[str, Any]]:
    asked: Mapping[str, Any] = job.task["asked"]
    return [
        {
            **job.task,
            "place": i,
            "file": f"trial-{worker}-{i}.{asked['format']}",
            "asked": {**asked, "index": asked["index"] + i},
        }
        for i in range(clips)
    ]


def _work(job: Job) -> float:
    """What the network does for a micro-batch, in units that only proportions matter of."""
    asked = job.task["asked"]
    guided = asked["sampling"]["guidance"] != 1 and (asked["label"] is not None or asked["caption"] or asked["scalars"])
    return _length(job) * asked["sampling"]["steps"] * (2 if guided else 1) * job.batch


def _length(job: Job) -> float:
    numerator, _, denominator = str(job.task["asked"]["seconds"]).partition("/")
    return float(numerator) / float(denominator or 1)


def _distance(tried: Job, job: Job) -> tuple[bool, float]:
    return tried.task["weights"] != job.task["weights"], abs(math.log(_work(tried) / _work(job)))
