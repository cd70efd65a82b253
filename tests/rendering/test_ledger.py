"""The ledger: a job has one owner at a time, a change is whole, and a hundred thousand jobs are no burden."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import time

import pytest

from mediadiff.errors import UsageError
from mediadiff.rendering import ledger as ledgers
from mediadiff.rendering.ledger import Job, Ledger
from tests.rendering import stub


def places(claims):
    return [claim.job.place for claim in claims]


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.fill(stub.jobs(10))
    yield ledger
    ledger.close()


def test_a_claim_is_a_micro_batch_of_one_shape_in_the_order_of_the_list(ledger):
    assert places(ledger.claim()) == [0, 3, 6, 9]
    assert places(ledger.claim(shape="y")) == [1, 2, 4, 5]
    assert places(ledger.claim()) == [7, 8]
    assert ledger.claim() == []
    assert ledger.counts() == {"waiting": 0, "held": 10, "done": 0, "failed": 0}


def test_the_same_batch_begun_twice_at_once_is_one_batch(tmp_path):
    one, other = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    first = other.fact
    seen = []

    def late(name):
        # The other run fills it just after this one has looked.
        found = first(name)
        if not seen:
            seen.append(one.fill(stub.jobs(4)))
        return found

    other.fact = late
    other.fill(stub.jobs(4))
    assert other.counts()["waiting"] == 4
    one.close()
    other.close()


def test_a_job_has_one_owner(tmp_path, ledger):
    other = Ledger(tmp_path / "ledger.sqlite")
    mine, its = places(ledger.claim()), places(other.claim())
    assert not set(mine) & set(its)
    other.done(mine[0], {"file": "x"}, [], 0, 0.0)
    ledger.failed(its[0], "error", "not mine", 0, 0.0, again=False)
    assert ledger.counts()["held"] == 8
    other.close()
    assert ledger.counts()["held"] == 4, "what a closed owner held waits again"


def test_a_job_that_must_be_alone_comes_alone_and_last(ledger):
    claims = ledger.claim()
    ledger.give_back([3], alone=True)
    ledger.give_back([0, 6, 9])
    assert places(ledger.claim()) == [0, 6, 9] and len(claims) == 4
    assert places(ledger.claim(alone=False)) == [1, 2, 4, 5]
    assert places(ledger.claim(alone=False)) == [7, 8]
    assert ledger.claim(alone=False) == []
    (last,) = ledger.claim()
    assert last.job.place == 3 and last.alone


def test_what_upset_a_group_is_tried_in_groups_again_and_what_killed_a_worker_alone(ledger):
    held = places(ledger.claim())
    assert held == [0, 3, 6, 9]
    for place, kind in zip(held, ("request", "killed", "error", "timeout"), strict=True):
        ledger.failed(place, kind, "said", 0, 0.0, again=False, alone=True)
    assert ledger.try_failed_again() == 4
    assert places(ledger.claim(alone=False)) == [0, 6]
    ledger.done(0, {"file": "x"}, [], 0, 0.0)
    ledger.give_back([6])
    assert ledger.lost(lambda file: False) == 1
    assert places(ledger.claim(alone=False)) == [0, 6]


def test_what_a_dead_owner_held_waits_again(tmp_path, ledger):
    code = f"""
from pathlib import Path
from mediadiff.rendering.ledger import Ledger
ledger = Ledger(Path({str(tmp_path / "ledger.sqlite")!r}))
print(len(ledger.claim()), flush=True)
import time
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"4\n"
    assert ledger.beat() == 4
    process.kill()
    process.wait()
    assert ledger.beat() == 0
    assert ledger.counts()["waiting"] == 10


def test_an_owner_of_another_machine_is_dead_after_its_lease(tmp_path, ledger, monkeypatch):
    monkeypatch.setattr(ledgers, "_HOST", "elsewhere")
    other = Ledger(tmp_path / "ledger.sqlite")
    other.claim()
    monkeypatch.undo()
    assert ledger.beat() == 4
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        database.execute("update owners set beat = beat - ? where host = 'elsewhere'", [2 * ledgers.LEASE])
    assert ledger.beat() == 0 and ledger.counts()["waiting"] == 10
    other.close()


def test_a_ledger_holds_one_batch(tmp_path, ledger):
    ledger.fill(stub.jobs(10))
    with pytest.raises(UsageError, match="holds another batch"):
        ledger.fill(stub.jobs(9))
    with pytest.raises(UsageError, match="holds another batch"):
        ledger.fill(stub.jobs(11))
    twice = [Job(0, "1", "a", "x", 1, {}), Job(1, "1", "b", "x", 1, {})]
    with Ledger_at(tmp_path / "other.sqlite") as other:
        with pytest.raises(UsageError, match="same clip or the same file"):
            other.fill(twice)
        assert other.counts()["waiting"] == 0
        with pytest.raises(ZeroDivisionError):
            other.fill(Job(i, str(1 // (3 - i)), f"{i}", "x", 1, {}) for i in range(5))
        assert other.counts()["waiting"] == 0 and other.fact("batch") is None


class Ledger_at:
    def __init__(self, path):
        self.ledger = Ledger(path)

    def __enter__(self):
        return self.ledger

    def __exit__(self, *error):
        self.ledger.close()


def test_what_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UsageError, match="is not a ledger of mediadiff"):
        Ledger(tmp_path / "ledger.sqlite")


@pytest.mark.parametrize("number", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_job_costs_the_ledger_less_than_two_milliseconds_and_no_memory(tmp_path, number, record_property):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    row = {"file": "f", "sha256": "0" * 64, "recipe": {"seed": 1, "sampling": {"steps": 12}}, "seconds": 1.0}
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    ledger.fill(stub.jobs(number))
    made, shape = 0, None
    while claims := ledger.claim(shape):
        shape = claims[0].job.shape
        for claim in claims:
            ledger.done(claim.job.place, row, ["pictures/f.png"], 0, 0.0)
            made += 1
        if made % 400 == 0:
            ledger.beat()
    cost = (time.process_time() - begun) / number
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{number} jobs: {1000 * cost:.3f} ms each, memory grew by {grown:.1f} MiB")
    assert made == number and ledger.counts()["done"] == number
    assert cost < 0.002
    assert grown < 32
    assert sum(1 for _ in ledger.rows()) == number
    ledger.close()
