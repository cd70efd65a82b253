"""Work side by side in threads: what it comes to is handed on in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Left(Exception):
    """Nobody waits for this work any more."""


def abreast(
    work: Callable[[Item, Callable[[], None]], Result], items: Iterable[Item], at_once: int
) -> Iterator[Result]:
    """`work(item, check)` for each item, in order, `at_once` of them at the same time in a thread each; 1: in none.

    Items are taken as results are asked for, `at_once` ahead of the one that is handed on, so that threads have work
    while their results are used. Work calls `check()` now and then: it raises `Left` once the iterator is closed or has
    raised, be it by Ctrl-C. Then what has not begun is dropped, and what has is waited for.
    """
    left = threading.Event()

    def check() -> None:
        if left.is_set():
            raise Left

    if at_once == 1:
        yield from (work(item, check) for item in items)
        return
    rest = iter(items)
    pool = ThreadPoolExecutor(at_once)
    try:
        waiting = deque(pool.submit(work, item, check) for item in islice(rest, at_once + 1))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(work, item, check) for item in islice(rest, 1))
    finally:
        left.set()
        pool.shutdown(cancel_futures=True)


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
