"""Limits on what a media file may ask for, checked from its header and again while decoding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from mediadiff.errors import MediaError


@dataclass(frozen=True)
class Limits:
    """The most that one file may hold; a small file can claim, or unpack to, a very large one.

    `decoded_bytes` counts every frame and sample that is decoded, at its own size, which bounds the work;
    `kept_bytes` counts what is returned, which bounds the memory.
    """

    pixels: int = 2**26  # of one frame
    frames: int = 100_000
    seconds: int = 2 * 3600
    channels: int = 32
    sample_rate: int = 768_000
    decoded_bytes: int = 2**35
    kept_bytes: int = 2**32

    def check(self, path: object, name: str, value: float | Fraction) -> None:
        """Raises `MediaError` when `value` is above the limit called `name`."""
        allowed = getattr(self, name)
        if value > allowed:
            raise MediaError(
                path,
                f"{name.replace('_', ' ')}: {float(value):,.0f} is above the limit of {allowed:,}; "
                f"cut the file, or pass Limits({name}=...) to allow it",
            )


LIMITS = Limits()
