"""The batch: gives the ledger's jobs to workers until each is done or set aside with a reason, whatever dies."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mediadiff.errors import DiskFullError, MediadiffError
from mediadiff.rendering import failures
from mediadiff.rendering.ledger import Claim, Ledger

Event = dict[str, Any]

PULSE = 0.5
"""Seconds between reports."""
BEAT = 2.0
"""Seconds between signs of life in the ledger."""
DEAD_STARTS = 3
"""Workers that crash in a row before they are ready, after which the batch gives up."""
PATIENCE = 20
"""So many that are killed before they are ready count as one that crashed."""
ROOM = 32 * 2**20
"""Bytes: with less than this free, a full disk is the disk's fault and not the clip's."""


class Crew(Protocol):
    """Workers by number, near or far; see `mediadiff.rendering.workers.Workers`."""

    number: int

    def start(self, number: int) -> None: ...
    def send(self, number: int, task: Event) -> None: ...
    def events(self, seconds: float) -> list[tuple[int, Event]]: ...
    def kill(self, number: int) -> None: ...
    def stop(self, number: int) -> None: ...
    def alive(self) -> list[int]: ...
    def close(self) -> None: ...


@dataclass
class Task:
    """A micro-batch that a worker has: its jobs by place, those without a result yet, and how far it is."""

    claims: dict[int, Claim]
    open: set[int]
    begun: float = field(default_factory=time.monotonic)
    """When it was given to the worker, which had nothing else for the network to do."""
    wall: float = field(default_factory=time.time)
    """The same by the clock on the wall."""
    through: bool = False


@dataclass
class Worker:
    """A worker as the batch sees it."""

    tasks: dict[int, Task] = field(default_factory=dict)
    ready: bool = False
    shape: str | None = None
    made: int = 0
    failed_starts: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a run of a batch came to: jobs by state, and where its time went."""

    counts: Mapping[str, int]
    seconds: float
    network_seconds: float
    """The network's own time, all workers together."""
    peak_bytes: int
    """Of the largest worker."""
    stopped: bool


class Batch:
    """One run of a batch. `tries` is how often a job is tried at most, `timeout` the seconds of a micro-batch.

    `record(row)` notes a finished file outside the ledger before it counts as done. `report` gets an event now
    and then; `stop` may be called from a signal's handler.
    """

    def __init__(
        self,
        ledger: Ledger,
        crew: Crew,
        out: Path,
        tries: int,
        timeout: float,
        record: Callable[[Mapping[str, Any]], None],
        report: Callable[[Event], None],
    ):
        self.ledger, self.crew, self.out = ledger, crew, out
        self.tries, self.timeout = tries, timeout
        self.record, self.report = record, report
        self.workers = {number: Worker() for number in range(crew.number)}
        self.stops = 0
        self._asked = 0
        self._fault: MediadiffError | None = None
        self._tasks = 0
        self._made = 0
        self._network, self._peak = 0.0, 0
        self._begun = self._pulse = self._beat = time.monotonic()
        self._others = 0

    def stop(self) -> None:
        """Once: what is in hand is finished. Twice: at once."""
        self.stops += 1

    def run(self) -> Outcome:
        """Runs until nothing is left that this batch could do. Raises DiskFullError when there is no room left."""
        try:
            self._others = self.ledger.beat()
            for number in self.workers:
                self.crew.start(number)
            while self._goes_on():
                self._heed_stops()
                for number, event in self.crew.events(0.1):
                    self._handle(number, event)
                self._end_hung()
                self._give_work()
                self._say()
        finally:
            self.crew.close()
        if self._fault is not None:
            raise self._fault
        self._say(True)
        seconds = time.monotonic() - self._begun
        return Outcome(self.ledger.counts(), seconds, self._network, self._peak, self.stops > 0)

    def _goes_on(self) -> bool:
        if self.stops > 1:
            return False
        if self._is_stopping():
            return bool(self.crew.alive())
        if any(worker.tasks for worker in self.workers.values()):
            return True
        counts = self.ledger.counts()
        return bool(counts["waiting"] or counts["held"])

    def _is_stopping(self) -> bool:
        return self.stops > 0 or self._fault is not None

    def _heed_stops(self) -> None:
        if self._is_stopping() and not self._asked:
            self._asked = 1
            for number in self.crew.alive():
                self.crew.stop(number)

    def _give_work(self) -> None:
        if self._is_stopping():
            return
        for number, worker in self.workers.items():
            busy = any(not task.through or _is_alone(task) for task in worker.tasks.values())
            if not worker.ready or busy:
                continue
            claims = self.ledger.claim(worker.shape, alone=not worker.tasks)
            if not claims:
                continue
            self._tasks += 1
            worker.shape = claims[0].job.shape
            worker.tasks[self._tasks] = Task({c.job.place: c for c in claims}, {c.job.place for c in claims})
            jobs = [{"place": c.job.place, "file": c.job.file, **c.job.task} for c in claims]
            self.crew.send(number, {"task": self._tasks, "jobs": jobs})

    def _handle(self, number: int, event: Event) -> None:
        worker = self.workers[number]
        kind = event["event"]
        if kind == "ready":
            worker.ready, worker.failed_starts = True, 0
        elif kind == "ended":
            if self._is_stopping() and event.get("code") == 0:
                # It was asked to: what it had not begun was never tried.
                for task in worker.tasks.values():
                    self.ledger.give_back(task.open)
                worker.tasks = {}
            self._bury(number, event["kind"], event["reason"])
        elif kind not in ("begun", "closed"):
            task = worker.tasks[event["task"]]
            if kind == "through":
                task.through = True
            elif kind == "made":
                self._keep(number, task, event)
            elif kind == "failed":
                self._fail(number, task, event["place"], event["kind"], event["reason"])
            else:
                self._close_task(number, event)

    def _keep(self, number: int, task: Task, event: Event) -> None:
        row = event["row"]
        self.record(row)
        self.ledger.done(event["place"], row, event["pictures"], number, task.wall)
        task.open.discard(event["place"])
        self._made += 1
        self.workers[number].made += 1
        self.report({"event": "made", "file": str(self.out / row["file"]), "label": row["recipe"].get("label")})

    def _close_task(self, number: int, event: Event) -> None:
        task = self.workers[number].tasks.pop(event["task"])
        if event["event"] == "finished":
            self._network += event["network_seconds"]
            self._peak = max(self._peak, event["peak_bytes"])
            self.ledger.give_back(task.open)
        elif len(task.open) == 1:
            (place,) = task.open
            self._fail(number, task, place, event["kind"], event["reason"])
        else:
            # One of them may have upset all: each is tried by itself.
            self.ledger.give_back(task.open, alone=True)

    def _fail(self, number: int, task: Task, place: int, kind: str, reason: str, blame: bool = True) -> None:
        """A try failed. Without `blame` it is not known which job of several was at fault."""
        claim = task.claims[place]
        task.open.discard(place)
        if kind == "disk" and (free := shutil.disk_usage(self.out).free) < ROOM:
            self.ledger.give_back([place])
            said = f"{self.out}: the disk is full ({free / 1e6:.1f} MB free); free some space and run the same again"
            self._fault = DiskFullError(said)
            return
        again = kind not in failures.LASTING and (claim.tries + 1 < self.tries or not blame)
        self.ledger.failed(place, kind, reason, number, task.wall, again, alone=not blame)
        if not again:
            self.report({"event": "failed", "file": claim.job.file, "kind": kind, "reason": reason})

    def _bury(self, number: int, kind: str, reason: str) -> None:
        """A worker has ended: what it had in hand is suspect, and another takes its place."""
        worker = self.workers[number]
        suspects = sum(len(task.open) for task in worker.tasks.values())
        for task in worker.tasks.values():
            for place in sorted(task.open):
                self._fail(number, task, place, kind, reason, blame=suspects == 1)
        # A crash before it was ready will come again; a kill may come from anywhere, but not so often.
        if not worker.ready:
            worker.failed_starts += 1 if kind == "killed" else PATIENCE
        worker.tasks, worker.ready = {}, False
        if self._is_stopping():
            return
        if worker.failed_starts >= DEAD_STARTS * PATIENCE:
            self._fault = MediadiffError(f"workers cannot be started: {reason}")
            return
        self.crew.start(number)

    def _end_hung(self) -> None:
        now = time.monotonic()
        for number, worker in self.workers.items():
            begun = min((task.begun for task in worker.tasks.values()), default=now)
            if now - begun > self.timeout:
                self.crew.kill(number)
                self._bury(number, "timeout", f"not finished after {self.timeout:g} s; its worker was ended")

    def _say(self, last: bool = False) -> None:
        now = time.monotonic()
        if now - self._beat > BEAT:
            self._beat = now
            self._others = self.ledger.beat()
        if now - self._pulse < PULSE and not last:
            return
        self._pulse = now
        counts = self.ledger.counts()
        left = counts["waiting"] + counts["held"]
        speed = self._made / max(now - self._begun, 1e-9)
        self.report(
            {
                "event": "batch",
                **counts,
                "done": counts["done"],
                "of": sum(counts.values()),
                "clips_per_minute": round(60 * speed, 1),
                "seconds_left": round(left / speed, 1) if speed else None,
                "others": self._others,
                "workers": [self._told(number, now) for number in self.workers],
            }
        )

    def _told(self, number: int, now: float) -> Event:
        """What is told of a worker."""
        worker = self.workers[number]
        held = [now - task.begun for task in worker.tasks.values()]
        speed = 60 * worker.made / max(now - self._begun, 1e-9)
        told = {"worker": number, "state": _state(worker), "made": worker.made, "clips_per_minute": round(speed, 1)}
        return told | {"held_seconds": round(max(held), 1) if held else None}


def _is_alone(task: Task) -> bool:
    return any(claim.alone for claim in task.claims.values())


def _state(worker: Worker) -> str:
    if not worker.ready:
        return "starting"
    return "working" if worker.tasks else "idle"
