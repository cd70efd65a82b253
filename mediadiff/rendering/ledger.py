"""The ledger of a batch: its jobs and what came of them, in one SQLite file. A job has one owner at a time."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mediadiff.errors import DiskFullError, UsageError

LEASE = 30.0
"""Seconds without a sign of life after which an owner on another machine is taken for dead."""
_FORMAT = 1
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]
_open: set[str] = set()  # owners of this process whose ledger is open
_SCHEMA = """
create table facts (name text primary key, value text) without rowid;
create table jobs (
    place integer primary key,     -- in the list of jobs, from 0
    id text not null unique,       -- of all that the clip depends on
    file text not null unique,
    shape text not null,           -- jobs of one shape may share a micro-batch
    batch integer not null,        -- clips in a micro-batch
    task text not null,            -- JSON: what a worker is told
    state text not null default 'waiting',
    owner text,
    alone integer not null default 0,
    tries integer not null default 0,
    kind text, reason text,        -- of the last failure
    seconds real,                  -- that the clip took
    row text,                      -- JSON: its row in the manifest
    pictures text                  -- JSON: the names of what was drawn of it
);
create index jobs_by_shape on jobs (state, shape, place);
create index jobs_by_state on jobs (state, place);
create table owners (owner text primary key, host text, process integer, started text, beat real) without rowid;
create table attempts (place integer, began real, ended real, worker integer, outcome text, reason text);
"""


def ledgers(folder: Path) -> list[Path]:
    """The ledgers of a folder: that of its batch, or those of the parts of it."""
    return sorted(folder.glob("ledger*.sqlite"))


def refuse_batch(folder: Path) -> None:
    """UsageError where a folder that clips are to go into holds a batch."""
    if ledgers(folder):
        raise UsageError(f"{folder} holds a batch, whose clips might be replaced: name another folder with --out")


@dataclass(frozen=True)
class Job:
    """One file to be made. `task` is what a worker is told of it: plain data."""

    place: int
    id: str
    file: str
    shape: str
    batch: int
    task: Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """A job that this owner holds; `alone` when it must not share a worker with others."""

    job: Job
    tries: int
    alone: bool


class Ledger:
    """An open ledger. Every method is one transaction: after a kill at any moment it holds the state before or after.

    Raises DiskFullError when there is no room for a change, which then has not happened.
    """

    def __init__(self, path: Path):
        self.path = path
        self.owner = secrets.token_hex(8)
        _open.add(self.owner)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise UsageError(f"{path} cannot be written ({error}); choose another folder") from error
        self._database.row_factory = sqlite3.Row
        try:
            with self._change() as database:
                (known,) = database.execute("select count(*) from sqlite_master where name = 'jobs'").fetchone()
                if not known:
                    for statement in _SCHEMA.split(";\n"):
                        database.execute(statement)
                    database.execute("insert into facts values ('format', ?)", [str(_FORMAT)])
                elif self.fact("format") != str(_FORMAT):
                    raise UsageError(f"{path} has format {self.fact('format')}; this mediadiff reads {_FORMAT}")
                self._beat(database)
            # Written ahead: a kill loses nothing, a power cut at most the last changes, whose clips are made again.
            self._database.execute("pragma journal_mode = wal")
            self._database.execute("pragma synchronous = normal")
        except sqlite3.OperationalError as error:
            self._database.close()
            raise UsageError(f"{path} cannot be used now ({error}); is another run reading its jobs?") from error
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise UsageError(f"{path} is not a ledger of mediadiff ({error}); choose another folder") from error

    def close(self) -> None:
        """Gives back what this owner holds, and closes the file."""
        # On a full disk it cannot be noted that nobody holds them: an owner that is gone is found by the next.
        with suppress(DiskFullError), self._change() as database:
            database.execute("update jobs set state = 'waiting', owner = null where owner = ?", [self.owner])
            database.execute("delete from owners where owner = ?", [self.owner])
        self._database.close()
        _open.discard(self.owner)

    def fact(self, name: str) -> str | None:
        """What was noted under this name."""
        found = self._database.execute("select value from facts where name = ?", [name]).fetchone()
        return None if found is None else str(found[0])

    def note(self, name: str, value: str) -> None:
        """Notes a value under a name, in place of an earlier one."""
        with self._change() as database:
            database.execute("insert or replace into facts values (?, ?)", [name, value])

    def fill(self, jobs: Iterable[Job]) -> None:
        """Takes the jobs of a batch in; a ledger holds one batch. Of one that it holds, what is not done takes what
        workers are told, such as where files lie, from these.

        UsageError when it holds another, or when two jobs share an id or a file.
        """
        digest = hashlib.sha256()

        def told(job: Job) -> Job:
            digest.update(f"{job.id} {job.file}\n".encode())
            return job

        if self.fact("batch") is None:
            with self._change() as database:
                # Another run may have filled it while this one waited for its turn.
                if self.fact("batch") is None:
                    rest = map(told, jobs)
                    while group := list(islice(rest, 1000)):
                        rows = [(j.place, j.id, j.file, j.shape, j.batch, json.dumps(j.task)) for j in group]
                        statement = "insert into jobs (place, id, file, shape, batch, task) values (?, ?, ?, ?, ?, ?)"
                        database.executemany(statement, rows)
                    database.execute("insert into facts values ('batch', ?)", [digest.hexdigest()])
                    return
        # Only compared: another run, which may be at work, is not kept waiting while the list is read.
        moved: list[tuple[str, int]] = []
        query = "select task from jobs where place = ? and state != 'done'"
        for job in map(told, jobs):
            task, known = json.dumps(job.task), self._database.execute(query, [job.place]).fetchone()
            if known is not None and known["task"] != task:
                moved.append((task, job.place))
        if self.fact("batch") != digest.hexdigest():
            raise UsageError(
                f"{self.path.parent} holds another batch: two batches never share a folder. Give the same jobs to "
                "go on with that one, or another folder (--out)"
            )
        with self._change() as database:
            database.executemany("update jobs set task = ? where place = ? and state != 'done'", moved)

    def claim(self, shape: str | None = None, alone: bool = True) -> list[Claim]:
        """Up to a micro-batch of waiting jobs of one shape, `shape` if any of it wait, now held by this owner.

        A job that must be alone comes alone, last, and only where `alone` allows. Empty when none waits.
        """
        with self._change() as database:
            first = None
            if shape is not None:
                first = _first(database, "alone = 0 and shape = ?", shape)
            first = first or _first(database, "alone = 0") or (_first(database, "alone = 1") if alone else None)
            if first is None:
                return []
            rows = [first]
            if not first["alone"]:
                rows = database.execute(
                    "select * from jobs where state = 'waiting' and alone = 0 and shape = ? order by place limit ?",
                    [first["shape"], first["batch"]],
                ).fetchall()
            database.executemany(
                "update jobs set state = 'held', owner = ? where place = ?", [(self.owner, r["place"]) for r in rows]
            )
        return [Claim(_job(row), row["tries"], bool(row["alone"])) for row in rows]

    def give_back(self, places: Iterable[int], alone: bool = False) -> None:
        """Jobs that were not tried after all wait again, to be tried `alone` if so asked."""
        with self._change() as database:
            database.executemany(
                "update jobs set state = 'waiting', owner = null, alone = max(alone, ?) where place = ? and owner = ?",
                [(alone, place, self.owner) for place in places],
            )

    def done(self, place: int, row: Mapping[str, Any], pictures: Sequence[str], worker: int, began: float) -> None:
        """The job's file is in place: its row in the manifest, and the names of the pictures of it."""
        with self._change() as database:
            database.execute(
                "update jobs set state = 'done', owner = null, tries = tries + 1, kind = null, reason = null, "
                "seconds = ?, row = ?, pictures = ? where place = ? and owner = ?",
                [row.get("seconds"), json.dumps(row), json.dumps(pictures), place, self.owner],
            )
            attempt = [place, began, time.time(), worker, "done", None]
            database.execute("insert into attempts values (?, ?, ?, ?, ?, ?)", attempt)

    def failed(
        self, place: int, kind: str, reason: str, worker: int, began: float, again: bool, alone: bool = False
    ) -> None:
        """A try of this job failed; it is tried `again`, perhaps `alone`, or set aside."""
        with self._change() as database:
            database.execute(
                "update jobs set state = ?, owner = null, tries = tries + 1, alone = max(alone, ?), kind = ?, "
                "reason = ? where place = ? and owner = ?",
                ["waiting" if again else "failed", alone, kind, reason, place, self.owner],
            )
            attempt = [place, began, time.time(), worker, kind, reason]
            database.execute("insert into attempts values (?, ?, ?, ?, ?, ?)", attempt)

    def beat(self) -> int:
        """A sign of life; jobs whose owner shows none wait again. Returns how many jobs other owners hold."""
        with self._change() as database:
            self._beat(database)
            for row in database.execute("select * from owners where owner != ?", [self.owner]).fetchall():
                if _is_dead(row):
                    database.execute("update jobs set state = 'waiting', owner = null where owner = ?", [row["owner"]])
                    database.execute("delete from owners where owner = ?", [row["owner"]])
            held = "select count(*) from jobs where state = 'held' and owner != ?"
            (others,) = database.execute(held, [self.owner]).fetchone()
        return int(others)

    def try_failed_again(self) -> int:
        """Jobs that were set aside wait again, with all their tries. Returns how many.

        Only those that may have ended a worker are tried alone again: what upset a whole group may be mended.
        """
        with self._change() as database:
            statement = (
                "update jobs set state = 'waiting', tries = 0, "
                "alone = kind in ('killed', 'crashed', 'timeout', 'memory') where state = 'failed'"
            )
            return database.execute(statement).rowcount

    def lost(self, is_there: Any) -> int:
        """Done jobs whose file is there no more (`is_there(file)`) wait again. Returns how many."""
        gone = [
            row["place"]
            for row in self._database.execute("select place, file from jobs where state = 'done'")
            if not is_there(row["file"])
        ]
        with self._change() as database:
            statement = (
                "update jobs set state = 'waiting', tries = 0, alone = 0, row = null where place = ? and state = 'done'"
            )
            database.executemany(statement, [(place,) for place in gone])
        return len(gone)

    def counts(self) -> dict[str, int]:
        """How many jobs are `waiting`, `held`, `done` and `failed`."""
        found = dict(self._database.execute("select state, count(*) from jobs group by state").fetchall())
        return {state: found.get(state, 0) for state in ("waiting", "held", "done", "failed")}

    def shapes(self) -> list[tuple[Job, int]]:
        """The first unfinished job of each shape, and how many are unfinished; the most frequent first."""
        query = (
            "select *, min(place), count(*) as number from jobs where state in ('waiting', 'held') "
            "group by shape order by number desc"
        )
        return [(_job(row), row["number"]) for row in self._database.execute(query)]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every job in its place: the columns of the table, with `task`, `row` and `pictures` as data, or None."""
        for row in self._database.execute("select * from jobs order by place"):
            data = {name: row[name] and json.loads(row[name]) for name in ("task", "row", "pictures")}
            yield dict(row) | data

    def tries(self, place: int) -> list[str]:
        """The outcomes of the tries of one job, in order."""
        query = "select outcome from attempts where place = ? order by rowid"
        return [row["outcome"] for row in self._database.execute(query, [place])]

    def _beat(self, database: sqlite3.Connection) -> None:
        mine = [self.owner, _HOST, os.getpid(), _started(os.getpid()), time.time()]
        database.execute("insert or replace into owners values (?, ?, ?, ?, ?)", mine)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block, or, when it raises, nothing of it."""
        try:
            self._database.execute("begin immediate")
            try:
                yield self._database
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("rollback")
                raise
            self._database.execute("commit")
        except sqlite3.IntegrityError as error:
            raise UsageError(f"two jobs ask for the same clip or the same file ({error})") from error
        except sqlite3.OperationalError as error:
            if self._database.in_transaction:
                self._database.execute("rollback")
            if "full" in str(error) or "disk I/O" in str(error):
                said = f"{self.path}: no room left to note what was done; free some space and run again"
                raise DiskFullError(said) from error
            raise


def _first(database: sqlite3.Connection, where: str, *values: Any) -> Any:
    query = f"select * from jobs where state = 'waiting' and {where} order by place limit 1"
    return database.execute(query, values).fetchone()


def _job(row: Any) -> Job:
    return Job(row["place"], row["id"], row["file"], row["shape"], row["batch"], json.loads(row["task"]))


def _is_dead(row: Any) -> bool:
    if row["host"] == _HOST and row["process"] == os.getpid():
        return row["owner"] not in _open
    if row["host"] == _HOST:
        return _started(row["process"]) != row["started"]
    return bool(time.time() - row["beat"] > LEASE)


def _started(process: int) -> str:
    """When a process of this machine was started: tells it from a later one with the same number. Empty: it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # A process that has ended and waits for its parent holds nothing.
    return "" if fields[0] in "ZX" else fields[19]
