"""Batches on Ray: actors and a node may die, and nothing listens beyond this machine."""

from __future__ import annotations

import functools
import random
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.rendering import stub
from tests.rendering.test_batch import check_whole, rows

# Ray itself is imported by the workers, which first see to it that it stays on this machine.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mediadiff[ray]'")
ROOT = str(Path(__file__).parent.parent.parent)


@pytest.fixture(autouse=True)
def stub_is_found(monkeypatch):
    """Actors find the stub where this test found it."""
    monkeypatch.setenv("PYTHONPATH", ROOT)


def listening() -> set[str]:
    """The addresses on which this machine's processes listen, as in /proc/net/tcp."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add(fields[1])
    return found


def test_nothing_listens_beyond_this_machine_and_bad_jobs_cost_themselves(tmp_path):
    from mediadiff.rendering.ray_workers import RayWorkers

    before = listening()
    out = tmp_path / "out"
    out.mkdir()
    crew = RayWorkers(functools.partial(stub.Craft, out), 2)
    opened = listening() - before
    assert opened
    local = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert {address.split(":")[0] for address in opened} <= local
    faults = {7: "killed", 20: "hang", 31: "nan"}
    outcome = stub.batch(out, stub.jobs(100, faults), timeout=5.0, crew=crew)
    assert outcome.counts == {"waiting": 0, "held": 0, "done": 97, "failed": 3}
    check_whole(out, 100, tuple(faults))
    failed = {row["place"]: row for row in rows(out) if row["state"] == "failed"}
    assert {place: row["kind"] for place, row in failed.items()} == {7: "killed", 20: "timeout", 31: "not finite"}
    assert all(row["tries"] <= 2 for row in failed.values())


@pytest.mark.slow
def test_ten_actors_and_a_node_die_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray
    from ray.cluster_utils import Cluster

    from mediadiff.rendering.ray_workers import RayWorkers

    out = tmp_path / "out"
    out.mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    second = cluster.add_node(num_cpus=2)
    crew = RayWorkers(functools.partial(stub.Craft, out), 3, address=cluster.address)
    killed = []

    def trouble() -> None:
        dice = random.Random(0)
        while not list(out.glob("*.bin")):
            time.sleep(0.1)
        for number in range(10):
            time.sleep(dice.uniform(0.2, 0.8))
            hands = list(crew._hands.values())
            if hands:
                ray.kill(dice.choice(hands))
                killed.append(number)
            if number == 5:
                cluster.remove_node(second, allow_graceful=False)
                killed.append("node")

    thread = threading.Thread(target=trouble)
    thread.start()
    slow = dict.fromkeys(range(0, 120, 3), "slow")
    outcome = stub.batch(out, stub.jobs(120, slow), tries=20, crew=crew)
    thread.join()
    cluster.shutdown()
    assert outcome.counts == {"waiting": 0, "held": 0, "done": 120, "failed": 0}
    # What fails in the thread ends it.
    assert len(killed) >= 6 and "node" in killed
    check_whole(out, 120)
