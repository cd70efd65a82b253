"""Batches with a stub in place of the network: one bad clip costs one clip, and nothing is lost, doubled or torn."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from mediadiff.errors import DiskFullError, MediadiffError, UsageError
from mediadiff.rendering.batch import Batch
from mediadiff.rendering.ledger import Ledger
from mediadiff.rendering.workers import Workers
from tests.rendering import stub

# Of 1000 jobs 37 fail, in these ways.
WAYS = {
    "exception": ("error", 2),
    "nan": ("not finite", 1),
    "media": ("media", 1),
    "shape": ("shape", 1),
    "request": ("request", 1),
    "killed": ("killed", 2),
    "crashed": ("crashed", 2),
    "hang": ("timeout", 2),
    "disk": ("disk", 2),
    "encoder": ("encoder", 2),
    "store": ("store", 2),
}
"""For each way to fail the class that is told, and how often the job is tried."""


def check_whole(out: Path, number: int, missing: Counter | tuple = ()) -> None:
    """Every file that should be there holds what it should, and there is nothing else."""
    for i in range(number):
        path = out / f"{i:06d}.bin"
        assert path.exists() != (i in missing), path
        if i not in missing:
            assert path.read_bytes() == stub.content(i), path
    expected = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "manifest.jsonl"}
    assert {p.name for p in out.iterdir() if p.suffix != ".bin"} <= expected


def rows(out: Path) -> list[dict]:
    ledger = Ledger(out / "ledger.sqlite")
    try:
        return [{**row, "outcomes": ledger.tries(row["place"])} for row in ledger.rows()]
    finally:
        ledger.close()


def test_37_of_1000_fail_in_eleven_ways_and_cost_37_clips(tmp_path):
    places = random.Random(0).sample(range(1000), 37)
    kinds = [*WAYS] * 4
    faults = dict(zip(places, kinds, strict=False))
    outcome = stub.batch(tmp_path, stub.jobs(1000, faults), timeout=2.0)
    assert outcome.counts == {"waiting": 0, "held": 0, "done": 963, "failed": 37}
    check_whole(tmp_path, 1000, tuple(faults))
    for row in rows(tmp_path):
        fault = faults.get(row["place"])
        if fault is None:
            assert row["state"] == "done" and row["reason"] is None
        else:
            kind, tries = WAYS[fault]
            assert (row["state"], row["kind"]) == ("failed", kind), (fault, row)
            # One more try where a neighbour took the worker down with it; never one more for who took it down.
            most = 2 if kind in ("killed", "crashed", "timeout") else tries + 1
            assert row["reason"] and tries <= row["tries"] <= most, (fault, row)
            assert row["tries"] == len(row["outcomes"]) and row["outcomes"][-1] == kind


def test_a_job_that_kills_its_worker_is_tried_so_often_and_its_neighbours_are_made(tmp_path):
    outcome = stub.batch(tmp_path, stub.jobs(12, {5: "killed"}), tries=3)
    assert outcome.counts["done"] == 11
    found = rows(tmp_path)
    assert found[5]["outcomes"] == ["killed"] * 3
    assert "killed (signal 9)" in found[5]["reason"]
    assert all(row["outcomes"][-1] == "done" and len(row["outcomes"]) <= 2 for row in found if row["place"] != 5)


def test_a_worker_that_dies_says_why(tmp_path):
    outcome = stub.batch(tmp_path, stub.jobs(1, {0: "crashed"}), tries=1)
    assert outcome.counts["failed"] == 1
    (row,) = rows(tmp_path)
    assert row["tries"] == 1 and "SIGSEGV" in row["reason"]


def test_a_group_that_fails_as_a_whole_costs_only_the_one_at_fault(tmp_path):
    outcome = stub.batch(tmp_path, stub.jobs(12, {4: "upset"}))
    assert outcome.counts == {"waiting": 0, "held": 0, "done": 11, "failed": 1}
    found = rows(tmp_path)
    assert (found[4]["kind"], found[4]["tries"]) == ("memory", 2)


def test_a_hung_worker_is_replaced_within_the_limit_and_five_seconds(tmp_path):
    begun = time.monotonic()
    outcome = stub.batch(tmp_path, stub.jobs(1, {0: "hang"}), tries=1, timeout=1.0)
    assert outcome.counts["failed"] == 1 and time.monotonic() - begun < 6


def test_what_failed_is_tried_again_when_asked_and_what_is_gone_is_made_again(tmp_path):
    stub.batch(tmp_path, stub.jobs(8, {2: "nan"}))
    (tmp_path / "000006.bin").unlink()
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.lost(lambda file: (tmp_path / file).is_file()) == 1
    assert ledger.try_failed_again() == 1
    assert ledger.counts() == {"waiting": 2, "held": 0, "done": 6, "failed": 0}
    ledger.close()
    assert stub.batch(tmp_path, stub.jobs(8, {2: "nan"})).counts["done"] == 7
    check_whole(tmp_path, 8, (2,))


def test_two_batches_never_share_a_folder(tmp_path):
    stub.batch(tmp_path, stub.jobs(4))
    with pytest.raises(UsageError, match="holds another batch"):
        stub.batch(tmp_path, stub.jobs(5))
    check_whole(tmp_path, 4)


def test_workers_that_cannot_start_end_the_batch_with_the_reason(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.fill(stub.jobs(4))
    batch = Batch(ledger, Workers(command, 1), tmp_path, 2, 60.0, lambda rows: None, lambda event: None)
    with pytest.raises(MediadiffError, match="cannot be started.*exit code 1.*no such model"):
        batch.run()
    assert ledger.counts()["waiting"] == 4
    ledger.close()


class Idle:
    """Workers that do nothing."""

    number = 1

    def stop(self, number: int) -> None: ...


@pytest.mark.parametrize(("stops", "code", "tried"), [(1, 0, 0), (1, 1, 1), (0, 0, 1)])
def test_what_a_stopped_worker_had_not_begun_was_not_tried(tmp_path, stops, code, tried):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.fill(stub.jobs(1))
    crew = Idle()
    crew.send = crew.start = lambda *_: None
    batch = Batch(ledger, crew, tmp_path, 1, 60.0, lambda rows: None, lambda event: None)
    batch._handle(0, {"event": "ready"})
    batch._give_work()
    batch.stops = stops
    batch._handle(0, {"event": "ended", "code": code, "kind": "crashed", "reason": "gone"})
    assert ledger.counts()["failed"] == tried and ledger.counts()["held"] == 0
    ledger.close()


def start(out: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.rendering.stub", "batch", str(out), *arguments]
    return subprocess.Popen(command, start_new_session=True)


def worker_processes(parent: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(p) for p in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    return []


def wait_for(found, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize(("victims", "kills"), [("workers", 240), ("batches", 60)])
def test_300_kills_at_random_moments_lose_nothing(tmp_path, victims, kills):
    number = 1500 if victims == "workers" else 4000
    dice = random.Random(victims)
    process = start(tmp_path, str(number), "again")
    done = 0
    while done < kills:
        time.sleep(dice.uniform(0, 0.3 if victims == "workers" else 0.6))
        if process.poll() is not None:
            # All is made: begin anew beside it, so that every kill hits something at work.
            assert process.returncode == 0
            check_whole(tmp_path, number)
            for path in tmp_path.iterdir():
                path.unlink()
            process = start(tmp_path, str(number), "again")
            continue
        targets = worker_processes(process.pid) if victims == "workers" else [process.pid]
        if targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(dice.choice(targets), signal.SIGKILL)
                done += 1
        if victims == "batches":
            process.wait()
            process = start(tmp_path, str(number), "again")
    assert process.wait(300) == 0
    check_whole(tmp_path, number)
    if victims == "workers":
        manifest = (tmp_path / "manifest.jsonl").read_text().splitlines()
        assert len(manifest) == len(set(manifest)) == number


def test_ctrl_c_once_finishes_what_is_in_hand_and_twice_ends_at_once(tmp_path):
    once = start(tmp_path / "once", "200", "slow")
    wait_for(lambda: list((tmp_path / "once").glob("*.bin")))
    begun = time.monotonic()
    once.send_signal(signal.SIGINT)
    assert once.wait(20) == 130
    # Two micro-batches of four clips of half a second each may be in hand.
    assert 0.3 < time.monotonic() - begun < 8
    found = rows(tmp_path / "once")
    made = [row["place"] for row in found if row["state"] == "done"]
    assert 0 < len(made) < 200 and {row["state"] for row in found} == {"done", "waiting"}
    check_whole(tmp_path / "once", 200, tuple(set(range(200)) - set(made)))

    twice = start(tmp_path / "twice", "200", "slow")
    wait_for(lambda: list((tmp_path / "twice").glob("*.bin")))
    begun = time.monotonic()
    twice.send_signal(signal.SIGINT)
    time.sleep(0.2)
    twice.send_signal(signal.SIGINT)
    assert twice.wait(20) == 130
    assert time.monotonic() - begun < 2
    found = rows(tmp_path / "twice")
    check_whole(tmp_path / "twice", 200, tuple(r["place"] for r in found if r["state"] == "waiting"))


def test_two_batches_at_once_on_one_folder_share_the_work_and_a_dead_owner_is_replaced(tmp_path):
    first, second = start(tmp_path, "2000"), start(tmp_path, "2000")
    wait_for(lambda: list(tmp_path.glob("*.bin")))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert second.wait(120) == 0
    check_whole(tmp_path, 2000)
    assert {row["state"] for row in rows(tmp_path)} == {"done"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_stops_with_a_clear_error_and_goes_on_when_there_is_room(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode()}")
    try:
        with pytest.raises(DiskFullError, match=r"room left|disk is full"):
            stub.batch(small, stub.jobs(1000))
        made = list(small.glob("*.bin"))
        assert 0 < len(made) < 1000
        assert all(p.read_bytes() == stub.content(int(p.stem)) for p in made)
        subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)
        assert stub.batch(small, stub.jobs(1000)).counts["done"] == 1000
        check_whole(small, 1000)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_what_is_said_while_a_batch_runs(tmp_path):
    events = []
    stub.batch(tmp_path, stub.jobs(9, {3: "nan"}), report=events.append)
    last = [event for event in events if event["event"] == "batch"][-1]
    assert (last["done"], last["failed"], last["of"], last["waiting"]) == (8, 1, 9, 0)
    assert last["clips_per_minute"] > 0 and [w["worker"] for w in last["workers"]] == [0, 1]
    assert sum(w["made"] for w in last["workers"]) == 8
    assert Counter(event["event"] for event in events)["made"] == 8
    (failed,) = [event for event in events if event["event"] == "failed"]
    assert failed["file"] == "000003.bin" and failed["kind"] == "not finite"


def test_the_hash_of_a_stub_clip_is_what_its_row_says(tmp_path):
    stub.batch(tmp_path, stub.jobs(3))
    for line in (tmp_path / "manifest.jsonl").read_text().splitlines():
        file, digest = line.split()
        assert hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() == digest


def test_memory_and_open_files_stay_flat_over_2000_clips(tmp_path):
    seen = []

    def look(event):
        if event["event"] == "made":
            look.done += 1
            if look.done % 100 == 0:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                seen.append((pages * 4096, len(os.listdir("/proc/self/fd"))))

    look.done = 0
    assert stub.batch(tmp_path, stub.jobs(2000), report=look).counts["done"] == 2000
    # From 500 clips on, when everything has been loaded.
    memory, files = zip(*seen[4:], strict=True)
    assert max(memory) < 1.05 * memory[0] and max(files) == min(files)
