"""Why a clip of a batch was not made: kinds of failure, and which of them are worth another try."""

from __future__ import annotations

import signal

from mediadiff.errors import ClipError, DiskFullError, MediadiffError, MediaError, StoreError

KINDS = {
    "request": "the model cannot do what was asked",
    "media": "a given file cannot be used",
    "not finite": "the model gave values that are not finite",
    "shape": "the clip is not as long as was asked",
    "encoder": "the file could not be written or read back",
    "disk": "no room on the disk",
    "store": "the place for the files could not be reached",
    "memory": "no memory left",
    "killed": "the worker was killed, as the system does when memory runs out",
    "crashed": "the worker crashed",
    "timeout": "it took too long",
    "error": "something else went wrong",
}
"""Every kind, with what it means."""

LASTING = ("request", "media", "not finite", "shape")
"""Kinds that another try cannot mend, since the same clip has the same bytes."""


def kind_of(error: BaseException, writing: bool) -> str:
    """The kind of an error that a clip met; `writing` where it was made already and was being written."""
    if isinstance(error, DiskFullError):
        return "disk"
    if isinstance(error, ClipError):
        return error.kind
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "memory"
    if isinstance(error, MediaError):
        return "encoder" if writing else "media"
    if isinstance(error, StoreError):
        return "store"
    if isinstance(error, MediadiffError):
        return "request"
    return "error"


def reason_of(error: BaseException) -> str:
    """The error in words; of one that has none, its name."""
    if isinstance(error, MediadiffError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def kind_of_exit(code: int) -> tuple[str, str]:
    """Kind and reason of the end of a worker that nobody asked to stop; `code` is negative for a signal."""
    if code == -signal.SIGKILL:
        return "killed", "its worker was killed (signal 9), as the system does when memory runs out"
    if code < 0:
        return "crashed", f"its worker crashed ({signal.Signals(-code).name})"
    return "crashed", f"its worker ended without a word (exit code {code})"
