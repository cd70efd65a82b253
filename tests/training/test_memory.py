"""Freed memory is kept while training runs, and given back after it."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest
import torch

from mediadiff.training import memory

MEGABYTE = 1024 * 1024
SIZE = 96


def _held() -> int:
    """Megabytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // MEGABYTE


def _take_and_free() -> None:
    torch.ones(SIZE * MEGABYTE // 4)


@pytest.mark.skipif(memory._glibc() is None, reason="needs glibc on Linux")
def test_what_is_freed_stays_until_the_end() -> None:
    _take_and_free()
    before = _held()
    with memory.kept():
        _take_and_free()
        assert _held() - before > SIZE * 0.8
    assert _held() - before < SIZE * 0.2
    _take_and_free()
    assert _held() - before < SIZE * 0.2


def test_an_error_passes_and_ends_it() -> None:
    with pytest.raises(ZeroDivisionError), memory.kept():
        raise ZeroDivisionError
    if memory._glibc():
        before = _held()
        _take_and_free()
        assert _held() - before < SIZE * 0.2


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("asked for a library"))
    with memory.kept():
        _take_and_free()
