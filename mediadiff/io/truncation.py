"""Formats that end with a mark, or state their size, but whose decoders do not notice that the end is missing."""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO

_TAIL = 65_536  # bytes in which an end mark is looked for: an Ogg page is never longer
_MP3_KILOBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
}
_PHOTO = 2**26  # bytes; of a longer JPEG the decoder has to tell whether it is whole
_JPEG_MARK = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)  # none that lies within coded samples
_UNKNOWN = (0, 0xFFFF_FFFF)  # sizes that writers leave when they stream


def missing_end(file: BinaryIO) -> str | None:
    """What is missing at the end of the file, in words; None for whole files and for formats not known here."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    for mark, check in _CHECKS:
        if head.startswith(mark):
            return check(file, size)
    return None


def _riff(file: BinaryIO, size: int) -> str | None:
    """WAV by its chunk of samples, for the outer size is often wrong there; others by the outer size."""
    if size < 12:
        return f"its header is not complete: {size} bytes"
    file.seek(4)
    declared, kind = struct.unpack("<I4s", file.read(8))
    if kind != b"WAVE":
        return _shorter(declared, size - 8)
    at = 12
    while at + 8 <= size:
        file.seek(at)
        name, declared = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            return _shorter(declared, size - at - 8)
        at += 8 + declared + declared % 2
    return None


def _ogg(file: BinaryIO, size: int) -> str | None:
    tail = _tail(file, size)
    last = tail[tail.rfind(b"OggS") :]
    is_ended = len(last) >= 27 and last[5] & 4 and len(last) >= 27 + last[26] + sum(last[27 : 27 + last[26]])
    return None if is_ended else "it has no last Ogg page"


def _gif(file: BinaryIO, size: int) -> str | None:
    return None if _tail(file, size).rstrip(b"\0\r\n").endswith(b";") else "it has no GIF end mark"


def _jpeg(file: BinaryIO, size: int) -> str | None:
    """From mark to mark: a thumbnail inside has an end of its own, and a telephone appends a film to a photo."""
    file.seek(2)
    data, at = file.read(_PHOTO), 0
    while mark := _JPEG_MARK.search(data, at):
        if mark[1] == b"\xd9":
            return None
        at = mark.end() + int.from_bytes(data[mark.end() : mark.end() + 2], "big")
    return None if size > _PHOTO else "it has no JPEG end mark"


def _mp3(file: BinaryIO, size: int) -> str | None:
    """By the number of bytes that encoders note in a first, silent frame, where they do; else by the last frame."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3":
        start = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
    file.seek(start)
    frame = file.read(256)
    noted = re.search(rb"(?:Xing|Info)\0\0\0(.)", frame, re.DOTALL)
    if noted is not None and noted[1][0] & 2:
        at = noted.end() + (4 if noted[1][0] & 1 else 0)
        return _shorter(int.from_bytes(frame[at : at + 4], "big"), size - start)
    while start + 4 <= size:
        file.seek(start)
        length = _mp3_frame(file.read(4))
        if length is None:
            return None
        start += length
    return "its last frame is not complete" if start > size else None


def _mp3_frame(header: bytes) -> int | None:
    """The length in bytes of a frame of layer III; None for what is none, such as a tag at the end."""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    kilobits, rate = header[2] >> 4, header[2] >> 2 & 3
    if header[0] != 0xFF or header[1] < 0xE0 or version == 1 or layer != 1 or kilobits in (0, 15) or rate == 3:
        return None
    is_first = version == 3
    bits = 1000 * _MP3_KILOBITS[is_first][kilobits - 1]
    hertz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    return (144 if is_first else 72) * bits // hertz + (header[2] >> 1 & 1)


def _nist(file: BinaryIO, size: int) -> str | None:
    file.seek(0)
    head = file.read(1024)
    fields = {name: int(value) for name, value in re.findall(rb"(\w+) -i (\d+)", head)}
    length = fields.get(b"sample_count", 0) * fields.get(b"channel_count", 1) * fields.get(b"sample_n_bytes", 0)
    return _shorter(length, size - len(head)) if b"pcm" in head else None


def _shorter(declared: int, held: int) -> str | None:
    if declared in _UNKNOWN or declared <= held:
        return None
    return f"it declares {declared:,} bytes and holds {held:,}"


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - _TAIL))
    return file.read()


_CHECKS = (
    (b"RIFF", _riff),
    (b"OggS", _ogg),
    (b"GIF8", _gif),
    (b"\xff\xd8\xff", _jpeg),
    ((b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3"), _mp3),
    (b"NIST_1A", _nist),
)
