"""Why a clip was not made: every error has a kind, and every kind a meaning."""

import pytest

from mediadiff.errors import ClipError, DiskFullError, MediaError, StoreError, UsageError
from mediadiff.rendering.failures import KINDS, LASTING, kind_of, kind_of_exit

ERRORS = [
    (DiskFullError("full"), "disk", "disk"),
    (ClipError("not finite", "NaN"), "not finite", "not finite"),
    (ClipError("shape", "short"), "shape", "shape"),
    (MemoryError(), "memory", "memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory", "memory"),
    (MediaError("a.wav", "is empty"), "media", "encoder"),
    (StoreError("s3://bucket", "does not answer"), "store", "store"),
    (UsageError("no such label"), "request", "request"),
    (ZeroDivisionError(), "error", "error"),
]


@pytest.mark.parametrize(("error", "making", "writing"), ERRORS, ids=lambda value: type(value).__name__)
def test_kinds_of_errors(error, making, writing):
    assert (kind_of(error, writing=False), kind_of(error, writing=True)) == (making, writing)


def test_every_kind_has_a_meaning_and_a_place_that_may_answer_again_is_asked_again():
    found = {kind for _, making, writing in ERRORS for kind in (making, writing)}
    found |= {kind_of_exit(-9)[0], kind_of_exit(-11)[0], kind_of_exit(1)[0], "timeout"}
    assert found == set(KINDS)
    assert set(LASTING) < set(KINDS) and not {"store", "disk", "memory", "killed", "timeout"} & set(LASTING)
