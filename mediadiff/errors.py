"""Errors for people: what was got, what is allowed, what to do next."""

from __future__ import annotations

from typing import Literal


def printable(text: object) -> str:
    """`text` with what a terminal cannot show, or would obey, escaped; for names and tags that others chose."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))


class MediadiffError(Exception):
    """Base of every error that a person can cause and mend; the command line prints it without a traceback."""


class UsageError(MediadiffError, ValueError):
    """A call or a flag that cannot be honoured."""


class MediaError(MediadiffError):
    """A media file that cannot be read or written; the message names the file and the cause."""

    def __init__(self, path: object, cause: str):
        super().__init__(f"{printable(path)}: {cause}")
        self.path = str(path)
        self.cause = cause


class ClipError(MediadiffError):
    """A clip that came out wrong: `kind` is "not finite" or "shape"."""

    def __init__(self, kind: Literal["not finite", "shape"], text: str):
        super().__init__(text)
        self.kind = kind


class RecipeError(MediadiffError):
    """A recipe with mistakes; the message lists all of them, each with its line."""


class ModelError(MediadiffError):
    """A model folder that is missing, damaged or made by something else."""


class StoreError(MediadiffError):
    """A place for files that cannot be reached, read or written; the message names it, the cause and what to do."""

    def __init__(self, place: object, cause: str):
        super().__init__(f"{printable(place)}: {cause}")
        self.cause = cause


class DiskFullError(MediadiffError):
    """No room left; the message names the path, and nothing half-written stays behind."""


class TrainingError(MediadiffError):
    """Training cannot go on; the message says why and what to try."""
