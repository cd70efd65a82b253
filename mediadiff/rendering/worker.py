"""A worker of a batch: a process that makes micro-batches of clips and writes them while the next one is made.

It reads tasks and writes events, a JSON object a line. It ends at the end of its input, at once: whoever gave it work
is gone then.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

from mediadiff.rendering.failures import kind_of, reason_of

Event = dict[str, Any]
Emit = Callable[[Event], None]


class Craft(Protocol):
    """How clips are made, and how each becomes a file. Both run at the same time, in a thread each."""

    def make(self, jobs: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
        """For each job of one micro-batch what `finish` takes, or the error that it met."""

    def finish(self, job: Mapping[str, Any], made: Any, seconds: float) -> Event:
        """Writes the job's file into its place and returns `row`, its row in the manifest, and `pictures`."""


class Bench:
    """Carries out tasks by a craft: the network goes on while finished clips are decoded, encoded and written."""

    def __init__(self, craft: Craft, emit: Emit):
        self.craft, self.emit = craft, emit
        # One micro-batch may wait for the writer: more would only pile up memory.
        self._made: queue.Queue[tuple[Event, Iterator[Any], float] | None] = queue.Queue(1)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def work(self, task: Event) -> None:
        """Makes the clips of a task; they are written later.

        Emits `begun`, `through` when the network is, `made` or `failed` for each clip, and `finished`; or, when the
        network could not be run for all of them, `begun` and `upset`.
        """
        self.emit({"event": "begun", "task": task["task"]})
        # This thread's own processor time: what the writer takes beside it is not the network's.
        begun = time.thread_time()
        try:
            clips = iter(self.craft.make(task["jobs"]))
            # The first clip is there when the network is through; the rest is decoded by the writer.
            first = next(clips)
        except Exception as error:
            self.emit({"event": "upset", "task": task["task"], "kind": kind_of(error, False), **_told(error)})
            return
        self._made.put((task, chain([first], clips), time.thread_time() - begun))
        # The next task may come: while it is made, this one is written.
        self.emit({"event": "through", "task": task["task"]})

    def close(self) -> None:
        """Waits until all is written."""
        self._made.put(None)
        self._writer.join()

    def _write(self) -> None:
        while (made := self._made.get()) is not None:
            task, clips, seconds = made
            share = seconds / len(task["jobs"])
            for job in task["jobs"]:
                begun = time.monotonic()
                writing = False
                event = {"task": task["task"], "place": job["place"]}
                try:
                    clip = next(clips)
                    if isinstance(clip, Exception):
                        raise clip
                    writing = True
                    found = self.craft.finish(job, clip, share + time.monotonic() - begun)
                    self.emit({"event": "made", **event, **found})
                except Exception as error:
                    self.emit({"event": "failed", **event, "kind": kind_of(error, writing), **_told(error)})
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            self.emit({"event": "finished", "task": task["task"], "network_seconds": seconds, "peak_bytes": peak})


def serve(craft: Craft) -> None:
    """Works for whoever holds the other ends of standard input and output, until they are closed."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # What a library prints must not get between the events.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(OSError):
        # When memory runs out, the system shall take a worker, not the batch.
        Path("/proc/self/oom_score_adj").write_text("500")
    lock = threading.Lock()

    def emit(event: Event) -> None:
        with lock:
            events.write(json.dumps(event) + "\n")
            events.flush()

    tasks: queue.Queue[Event | None] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin, tasks), daemon=True).start()
    bench = Bench(craft, emit)
    emit({"event": "ready"})
    while (task := tasks.get()) is not None:
        bench.work(task)
    bench.close()
    emit({"event": "closed"})


def _listen(lines: IO[str], tasks: queue.Queue[Event | None]) -> None:
    for line in lines:
        task = json.loads(line)
        if task.get("stop"):
            # What has not begun is not begun any more.
            with contextlib.suppress(queue.Empty):
                while True:
                    tasks.get_nowait()
            tasks.put(None)
        else:
            tasks.put(task)
    os._exit(1)


def _told(error: BaseException) -> Event:
    return {"reason": reason_of(error)}
