"""A batch from a list of jobs to a folder of clips: `mediadiff batch`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from mediadiff.errors import DiskFullError, MediadiffError, UsageError
from mediadiff.io.address import is_address
from mediadiff.io.files import append_line, cache_folder, check_folder, sweep, whole_file, write_json
from mediadiff.io.store import Store, local_copy
from mediadiff.jobs import read_jobs
from mediadiff.rendering.abreast import processors
from mediadiff.rendering.batch import Batch, Crew
from mediadiff.rendering.estimate import Estimate, Trial, estimate
from mediadiff.rendering.ledger import Job, Ledger, ledgers
from mediadiff.rendering.manifest import sources
from mediadiff.rendering.page import PICTURES, Entry, write_page
from mediadiff.rendering.workers import Workers

Report = Callable[[dict[str, Any]], None]

TRIES = 2
"""How often a clip is tried unless asked otherwise."""
TIMEOUT = 1800.0
"""Seconds after which a micro-batch is taken for hung unless asked otherwise."""


@dataclass(frozen=True)
class Shard:
    """Part `number` of `of` equal parts of a list of jobs, counted from 1: for machines that share a folder."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/4` is the second of four."""
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise UsageError(f"--shard takes a part of the jobs such as 2/4, the second of four; got {text!r}")
        return cls(int(number), int(of))

    def name(self, stem: str, ending: str) -> str:
        """The name of a file that each part keeps for itself."""
        return f"{stem}.{ending}" if self.of == 1 else f"{stem}-{self.number}-of-{self.of}.{ending}"

    def is_beside(self, ledger: str) -> bool:
        """Whether a ledger of this name is that of a part of as many."""
        return re.fullmatch("ledger.sqlite" if self.of == 1 else rf"ledger-\d+-of-{self.of}.sqlite", ledger) is not None

    def of_jobs(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """The jobs of this part."""
        return (job for job in jobs if job.place % self.of == self.number - 1)


WHOLE = Shard(1, 1)


@dataclass(frozen=True)
class Settings:
    """How a batch is run."""

    engine: Literal["local", "ray"] = "local"
    """Processes of this machine, or actors of a Ray cluster."""
    address: str | None = None
    """The Ray cluster to join; nothing: one of this machine alone, for this batch alone."""
    workers: int | None = None
    """Processes; nothing: as many as there are processors."""
    resume: bool = False
    """Whether clips that were set aside are tried again."""
    tries: int = TRIES
    timeout: float = TIMEOUT
    shard: Shard = WHOLE

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= 1024:
            raise UsageError(f"--workers is the number of processes, 1 to 1024; got {self.workers}")
        if self.engine not in ("local", "ray"):
            raise UsageError(f"--engine is local or ray; got {self.engine!r}")
        if self.address is not None and self.engine != "ray":
            raise UsageError("--address names a Ray cluster: give --engine ray too")
        if self.tries < 1:
            raise UsageError(f"--retries is how often a clip is tried at most, 1 or more; got {self.tries}")
        if not self.timeout > 0:
            raise UsageError(f"--timeout is in seconds, above 0; got {self.timeout:g}")


def plan(jobs: str, settings: Settings, report: Report) -> Estimate:
    """What a batch would take: reads the jobs and tries a micro-batch of each kind, anew; makes no clip."""
    with tempfile.TemporaryDirectory(prefix="mediadiff-plan-") as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        try:
            ledger.fill(settings.shard.of_jobs(read_jobs(_list(jobs))))
            return _estimate(ledger, settings, {}, report)
        finally:
            ledger.close()


def run(jobs: str, out: str, settings: Settings, report: Report) -> dict[str, Any]:
    """Makes the clips of a list of jobs into `out`; what an earlier run of the same jobs has done is not done again.

    Both are paths or addresses such as `s3://bucket/dir`; the ledger of an address lies in the user's cache folder.

    Returns `{"done": N, "failed": N, "waiting": N, "seconds": S, ...}`. Ctrl-C once lets workers finish what they have
    in hand, twice ends them at once. Raises UsageError where the folder holds another batch, and DiskFullError where
    there is no room left: the same call goes on from there.
    """
    target = Target.of(out)
    place = target.folder / settings.shard.name("ledger", "sqlite")
    manifest = target.folder / settings.shard.name("manifest", "jsonl")
    there = ledgers(target.folder)
    if not there and sources(target.folder):
        raise UsageError(f"{out} holds clips that are of no batch, and have a manifest: name another folder with --out")
    others = [path.name for path in there if not settings.shard.is_beside(path.name)]
    if others:
        said = f"{out} holds another batch, or other parts of one ({others[0]})"
        raise UsageError(f"{said}: give the same --shard as then, or another folder (--out)")
    ledger = _filled(place, settings.shard.of_jobs(read_jobs(_list(jobs))))
    try:
        for folder in (target.folder, target.folder / PICTURES):
            if folder.is_dir():
                sweep(folder)
        # Listed only once it is known which files another run may have finished by then.
        files = cache(target.files)
        lost = ledger.lost(lambda file: file in files())
        again = ledger.try_failed_again() if settings.resume else 0
        _say_state(ledger, lost, again, report)
        if ledger.fact("estimate") is None and ledger.counts()["waiting"]:
            # A batch goes on without an estimate: what went wrong in a trial may concern one clip alone.
            try:
                ledger.note("estimate", json.dumps(vars(_estimate(ledger, settings, _trials(), report))))
            except DiskFullError:
                raise
            except MediadiffError as error:
                report({"event": "note", "text": f"no estimate: {error}"})

        def record(row: Mapping[str, Any]) -> None:
            append_line(manifest, json.dumps(row, separators=(",", ":"), allow_nan=False))

        number = _workers(ledger, settings)
        crew = _crew(target, number, settings)
        batch = Batch(ledger, crew, target.folder, settings.tries, settings.timeout, record, report)
        with _stoppable(batch):
            outcome = batch.run()
        sweep(target.folder)
        _close(ledger, target, command(jobs, out, settings.shard), settings.shard)
        return {**outcome.counts, "seconds": round(outcome.seconds, 2), "out": out, "stopped": outcome.stopped} | {
            "workers": number,
            "network_seconds": round(outcome.network_seconds, 2),
            "peak_bytes": outcome.peak_bytes,
        }
    finally:
        ledger.close()


def _filled(place: Path, jobs: Iterator[Job]) -> Ledger:
    """The ledger at `place` with these jobs; a list with mistakes leaves none behind."""
    ledger = Ledger(place)
    try:
        ledger.fill(jobs)
    except BaseException:
        empty = ledger.fact("batch") is None
        ledger.close()
        for path in place.parent.glob(f"{place.name}*") if empty else ():
            path.unlink(missing_ok=True)
        raise
    return ledger


@dataclass(frozen=True)
class Target:
    """Where a batch goes: a folder, or a folder here from which files are put into a store."""

    folder: Path
    store: Store | None = None

    @classmethod
    def of(cls, out: str) -> Target:
        """The target of a path or an address. UsageError or StoreError where it cannot be one."""
        if is_address(out):
            store = Store.open(out)
            name = hashlib.sha256(str(store).encode()).hexdigest()[:16]
            return cls(cache_folder() / "batches" / name, store)
        check_folder(out)
        return cls(Path(out))

    def files(self) -> set[str]:
        """The names of the files that are there."""
        if self.store is not None:
            return set(self.store.names())
        return {entry.name for entry in os.scandir(self.folder) if entry.is_file()}

    def keep(self, path: Path) -> None:
        """Puts a file of the folder to where the batch goes."""
        if self.store is not None:
            self.store.put(path, path.relative_to(self.folder).as_posix())


def _list(jobs: str) -> Path:
    """The list of jobs as a file of this machine."""
    return local_copy(jobs, cache_folder() / "inputs")


def _crew(target: Target, number: int, settings: Settings) -> Crew:
    arguments = [str(target.folder.resolve()), *([str(target.store)] if target.store else [])]
    if settings.engine == "ray":
        from mediadiff.rendering.ray_workers import RayWorkers
        from mediadiff.studio import Studio

        return RayWorkers(partial(Studio, Path(arguments[0]), *arguments[1:]), number, settings.address)
    return Workers([sys.executable, "-m", "mediadiff.studio", *arguments], number)


def _workers(ledger: Ledger, settings: Settings) -> int:
    """As many workers as are asked for, or as the processors have room for; no more than there are micro-batches."""
    shapes = ledger.shapes()
    threads = max((job.task["asked"]["sampling"]["threads"] for job, _ in shapes), default=1)
    tasks = sum(-(-number // job.batch) for job, number in shapes)
    return min(settings.workers or max(1, processors() // threads), max(1, tasks))


def _estimate(ledger: Ledger, settings: Settings, known: dict[str, Any], report: Report) -> Estimate:
    """What the batch will take; `known` are trials that may be relied on."""
    report({"event": "note", "text": "what will it take? Kinds of clip that are new here are tried"})

    def crew(folder: Path, number: int) -> Crew:
        return _crew(Target(folder), number, Settings())

    found = estimate(ledger.shapes(), _workers(ledger, settings), processors(), crew, settings.timeout, known)
    write_json(cache_folder() / "trials.json", _trials() | known)
    report({"event": "estimate", **vars(found), "workers": _workers(ledger, settings)})
    return found


def _trials() -> dict[str, Any]:
    """The trials that were made on this machine."""
    names = {item.name for item in fields(Trial)}
    try:
        found = dict(json.loads((cache_folder() / "trials.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
    return {key: one for key, one in found.items() if isinstance(one, dict) and set(one) == names}


def _say_state(ledger: Ledger, lost: int, again: int, report: Report) -> None:
    counts = ledger.counts()
    report({"event": "jobs", "of": sum(counts.values()), **counts, "lost": lost, "again": again})


@contextmanager
def _stoppable(batch: Batch) -> Iterator[None]:
    """Ctrl-C and the system's request to end stop the batch; outside the main thread they are somebody else's."""
    before = {}
    for kind in (signal.SIGINT, signal.SIGTERM):
        try:
            before[kind] = signal.signal(kind, lambda number, frame: batch.stop())
        except ValueError:
            break
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _close(ledger: Ledger, target: Target, again: str, shard: Shard) -> None:
    """Writes what stays: the manifest in the order of the jobs, what was not made and why, and a page of all."""
    if ledger.beat():
        return  # another run in the same folder goes on, and will close it
    manifest = target.folder / shard.name("manifest", "jsonl")
    with whole_file(manifest) as temp, temp.open("w", encoding="utf-8") as lines:
        for row in ledger.rows():
            if row["state"] == "done":
                lines.write(json.dumps(row["row"], separators=(",", ":")) + "\n")
    failures = target.folder / shard.name("failures", "jsonl")
    with whole_file(failures) as temp, temp.open("w", encoding="utf-8") as lines:
        for row in ledger.rows():
            if row["state"] == "failed":
                told = {name: row[name] for name in ("place", "id", "file", "kind", "reason", "tries")}
                lines.write(json.dumps(told | {"asked": row["task"]["asked"]}) + "\n")
    entries = (_entry(row) for row in ledger.rows())
    page = write_page(target.folder, entries, "Rendered clips", again, shard.name("index", "html"))
    for path in (manifest, failures, page):
        target.keep(path)


def _entry(row: Mapping[str, Any]) -> Entry:
    """A job on the page."""
    asked = row["task"]["asked"]
    settings = {"seed": asked["seed"], "length": f"{float(Fraction(asked['seconds'])):g} s"}
    if row["seconds"] is not None:
        settings["time taken"] = f"{row['seconds']:.3g} s"
    status = row["state"] if row["state"] in ("done", "failed") else "waiting"
    reason, kind = (row["reason"] or "", row["kind"] or "") if status == "failed" else ("", "")
    return Entry(row["file"], asked["label"], status, reason, kind, settings, tuple(row["pictures"] or ()))


def command(jobs: str, out: str, shard: Shard) -> str:
    """The command that tries what was set aside again."""
    part = [] if shard.of == 1 else ["--shard", f"{shard.number}/{shard.of}"]
    return shlex.join(["mediadiff", "batch", jobs, "--out", out, *part, "--resume"])
