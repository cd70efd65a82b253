"""The workers of a batch on this machine: processes, each with a pipe for tasks and one for events."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from mediadiff.errors import printable
from mediadiff.rendering.failures import kind_of_exit
from mediadiff.rendering.worker import Event


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    """What it wrote to standard error."""
    rest: bytes = b""


class Workers:
    """As many worker processes as asked for, numbered from 0. One that ends is not replaced until `start` is called.

    `command` starts a worker; see `mediadiff.rendering.worker.serve`.
    """

    def __init__(self, command: Sequence[str], number: int):
        self.command, self.number = command, number
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()

    def start(self, number: int) -> None:
        """Starts worker `number`, ending the one that had this number."""
        self.kill(number)
        said = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            # Ctrl-C is for the batch, which lets its workers finish what they have in hand.
            start_new_session=True,
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._workers[number] = _Worker(process, said)
        self._selector.register(process.stdout, selectors.EVENT_READ, number)

    def send(self, number: int, task: Event) -> None:
        """Gives a worker a task; one that has ended takes it too, and its end is told by `events`."""
        stdin = self._workers[number].process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(task).encode() + b"\n")
            stdin.flush()

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """What the workers said since the last call, each with its number; waits up to `seconds` for the first word.

        A worker that has ended says `{"event": "ended", "kind": ..., "reason": ...}` last.
        """
        found: list[tuple[int, Event]] = []
        for key, _ in self._selector.select(seconds):
            worker = self._workers[key.data]
            try:
                data = os.read(key.fd, 1 << 20)
            except BlockingIOError:
                continue
            lines = (worker.rest + data).split(b"\n")
            worker.rest = lines.pop()
            found += [(key.data, json.loads(line)) for line in lines]
            if not data:
                code = worker.process.wait()
                self._forget(key.data)
                kind, reason = kind_of_exit(code)
                if kind == "crashed" and (last := _last_words(worker.said)):
                    reason = f"{reason}: {last}"
                worker.said.close()
                found.append((key.data, {"event": "ended", "code": code, "kind": kind, "reason": reason}))
        return found

    def kill(self, number: int) -> None:
        """Ends a worker at once; it says nothing more."""
        worker = self._workers.get(number)
        if worker is not None:
            self._forget(number)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
            worker.said.close()

    def stop(self, number: int) -> None:
        """Asks a worker to end when it has written what it has begun."""
        self.send(number, {"stop": True})

    def close(self) -> None:
        """Ends all workers at once."""
        for number in list(self._workers):
            self.kill(number)
        self._selector.close()

    def alive(self) -> list[int]:
        """The numbers of the workers that have not ended."""
        return list(self._workers)

    def _forget(self, number: int) -> None:
        process = self._workers.pop(number).process
        assert process.stdout is not None and process.stdin is not None
        self._selector.unregister(process.stdout)
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _last_words(said: IO[bytes]) -> str:
    """The last line of what a worker wrote to standard error."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - 4000))
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return printable(lines[-1])[:300] if lines else ""
