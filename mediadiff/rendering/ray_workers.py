"""The workers of a batch on a Ray cluster: actors, driven by the same ledger as processes are."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from mediadiff.errors import UsageError
from mediadiff.rendering.worker import Bench, Craft, Event

OBJECT_STORE_BYTES = 96 * 2**20
"""Nothing large goes through Ray: clips are written where they are made."""
PATIENCE = 1.0
"""Seconds that an actor waits for its next event before it answers that there is none."""


_LOCAL = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


class RayWorkers:
    """As many actors as asked for, numbered from 0; see `mediadiff.rendering.workers.Workers`.

    `craft` makes a worker's craft, where the worker is. Without an `address` a cluster of this machine alone is
    started, bound to 127.0.0.1, and stopped by `close`; with one, such as `auto`, a running one is joined.
    """

    def __init__(self, craft: Callable[[], Craft], number: int, address: str | None = None):
        self.craft, self.number = craft, number
        self._ray = _connect(number, address)
        self._hand = self._ray.remote(max_restarts=0, max_concurrency=3, num_cpus=1)(Hand)
        self._hands: dict[int, Any] = {}
        self._listening: dict[Any, int] = {}

    def start(self, number: int) -> None:
        """Starts worker `number`, ending the one that had this number."""
        self.kill(number)
        self._hands[number] = self._hand.remote(self.craft)
        self._listen(number)

    def send(self, number: int, task: Event) -> None:
        """Gives a worker a task; that it has ended is told by `events`."""
        self._hands[number].send.remote(task)

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """What the workers said since the last call, each with its number; waits up to `seconds` for the first word."""
        refs = list(self._listening)
        if not refs:
            threading.Event().wait(seconds)
            return []
        ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=min(seconds, 0.05))
        if not ready:
            ready, _ = self._ray.wait(refs, num_returns=1, timeout=seconds)
        found: list[tuple[int, Event]] = []
        for ref in ready:
            number = self._listening.pop(ref)
            try:
                events = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                del self._hands[number]
                found.append((number, _ended(error)))
                continue
            found += [(number, event) for event in events]
            if events and events[-1]["event"] == "closed":
                del self._hands[number]
            else:
                self._listen(number)
        return found

    def kill(self, number: int) -> None:
        """Ends a worker at once; it says nothing more."""
        hand = self._hands.pop(number, None)
        if hand is not None:
            self._listening = {ref: n for ref, n in self._listening.items() if n != number}
            self._ray.kill(hand)

    def stop(self, number: int) -> None:
        """Asks a worker to end when it has written what it has begun."""
        self._hands[number].stop.remote()

    def alive(self) -> list[int]:
        """The numbers of the workers that have not ended."""
        return list(self._hands)

    def close(self) -> None:
        """Ends all workers at once, and the cluster if it was started here."""
        for number in list(self._hands):
            self.kill(number)
        self._ray.shutdown()

    def _listen(self, number: int) -> None:
        self._listening[self._hands[number].listen.remote()] = number


class Hand:
    """The actor: a bench with a thread of its own, and a queue for what it says."""

    def __init__(self, craft: Callable[[], Craft]):
        self._events: queue.Queue[Event] = queue.Queue()
        self._tasks: queue.Queue[Event | None] = queue.Queue()
        self._bench = Bench(craft(), self._events.put)
        self._events.put({"event": "ready"})
        threading.Thread(target=self._work, daemon=True).start()

    def send(self, task: Event) -> None:
        """Takes a task."""
        self._tasks.put(task)

    def stop(self) -> None:
        """What has not begun is not begun any more; what has is finished."""
        # Its thread may take the last one meanwhile.
        with contextlib.suppress(queue.Empty):
            while True:
                self._tasks.get_nowait()
        self._tasks.put(None)

    def listen(self) -> list[Event]:
        """The events since the last call; waits a moment for the first."""
        found: list[Event] = []
        try:
            found.append(self._events.get(timeout=PATIENCE))
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            return found

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._bench.work(task)
        self._bench.close()
        self._events.put({"event": "closed"})


def _connect(number: int, address: str | None) -> Any:
    # Before Ray is imported: else it listens on every interface, and tells its makers that it is used.
    if address is None and "ray" in sys.modules and os.environ.get(_LOCAL) != "0":
        raise UsageError(
            f"Ray was imported before it could be kept on this machine: set {_LOCAL}=0 before that, or start a cluster "
            "yourself and give its address"
        )
    os.environ[_LOCAL] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray: pip install 'mediadiff[ray]'") from error
    if ray.is_initialized():
        raise UsageError("this process is connected to a Ray cluster already; call ray.shutdown() first")
    try:
        if address is not None:
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        else:
            ray.init(
                address="local",
                num_cpus=number,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                _node_ip_address="127.0.0.1",
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"joined at {address!r}" if address else "started here"
        raise UsageError(f"a Ray cluster cannot be {where}: {error}") from error
    return ray


def _ended(error: Exception) -> Event:
    """What the end of an actor that nobody asked to stop comes to. Ray does not tell a crash from a kill."""
    if type(error).__name__ == "OutOfMemoryError":
        return {"event": "ended", "kind": "killed", "reason": "its worker was ended by Ray: memory ran out on its node"}
    if "creation task" in str(error):
        return {"event": "ended", "kind": "crashed", "reason": f"its worker could not be started: {error}"}
    return {"event": "ended", "kind": "killed", "reason": "its worker on the cluster was killed, or crashed"}
