"""Freed memory is kept while training runs, and given back after it."""

import ctypes
import subprocess
import sys

import pytest

from mediadiff.training import memory

# In a process of its own: in this one, what earlier tests left decides where a piece lies. Megabytes above the start.
HELD = """
import os
from mediadiff.training.memory import kept

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2

def take_and_free(megabytes):
    b"x" * (megabytes * 1024**2)
    print(round(held() - start))

start = held()
take_and_free(48)
try:
    with kept():
        take_and_free(48)
        take_and_free(96)
        raise KeyError
except KeyError:
    print(round(held() - start))
take_and_free(96)
"""
needs_glibc = pytest.mark.skipif(memory._glibc() is None, reason="needs glibc on Linux")


@needs_glibc
def test_what_is_freed_is_kept_until_the_end_whatever_ends_it():
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    before, first, second, end, after = map(int, done.stdout.split())
    assert before < 8
    assert 40 < first < 56
    # Room for the larger piece is not made beside what is kept, but of it.
    assert 88 < second < 104
    assert end < 8
    assert after < 8


@needs_glibc
def test_afterwards_pieces_are_used_again_as_before():
    """What is freed in pieces below 32 MB stays within reach, as glibc comes to do by itself."""
    script = """
import ctypes, resource
# In pages of 4 KB, whatever the machine's setting, so that they can be counted: PR_SET_THP_DISABLE.
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
from mediadiff.training.memory import kept
megabyte = 1024**2
with kept():
    pass
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * (8 * megabyte)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, *others = map(int, done.stdout.split())
    assert first > 1000
    assert max(others) < 200


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_nothing_happens_elsewhere(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("asked for a library"))
    with memory.kept():
        pass
