"""Formats that end with a mark, or state their size, but whose decoders do not notice that the end is missing."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

_TAIL = 65_536  # bytes in which an end mark is looked for: an Ogg page is never longer


def missing_end(file: BinaryIO) -> str | None:
    """What is missing at the end of a WAV, Ogg, GIF or JPEG file, in words; None for whole files and other formats."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _riff(file, size)
    if head[:4] == b"OggS":
        last = tail.rfind(b"OggS")
        ended = last >= 0 and len(tail) > last + 5 and tail[last + 5] & 4
        return None if ended else "it has no last Ogg page"
    if head[:4] == b"GIF8":
        return None if tail.rstrip(b"\0").endswith(b";") else "it has no GIF end mark"
    if head[:3] == b"\xff\xd8\xff":
        return None if b"\xff\xd9" in tail else "it has no JPEG end mark"
    return None


def _riff(file: BinaryIO, size: int) -> str | None:
    at = 12
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            # writers that stream leave 0 or the largest number here
            declared = length if length < 0xFFFF_F000 else 0
            held = size - at - 8
            return f"it declares {declared:,} bytes of samples and holds {held:,}" if declared > held else None
        at += 8 + length + length % 2
    return None
