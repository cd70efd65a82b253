"""Locks between processes: the system gives them back when a process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mediadiff.errors import UsageError


@contextmanager
def one_at_a_time(path: str | Path) -> Iterator[None]:
    """The block runs when no other process is in one with the same `path`, a file that is made and stays empty."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(folder: str | Path, said: str) -> Iterator[None]:
    """The block runs in one process at a time for a folder. UsageError, with what is `said`, while another runs it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(said) from None
        except OSError:
            pass  # A file system that knows no locks.
        yield
    finally:
        os.close(handle)


@contextmanager
def undisturbed(folder: str | Path, writes: bool) -> Iterator[None]:
    """The block runs when no other process writes in its own to the files of `folder`, or, if it `writes`, reads them.

    Where the file system knows no locks, it runs at once.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX if writes else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)
