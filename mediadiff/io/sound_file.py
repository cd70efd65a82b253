"""Writing sound files with libsndfile: wav, flac, ogg, mp3."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mediadiff.clip import Clip, Sound
from mediadiff.io import tags
from mediadiff.io.resampling import at_rate, nearest_rate

_BLOCK = 65_536  # samples per write: libsndfile's Vorbis encoder overflows its stack on long ones
_WAV_COMMENT = 1000  # bytes; libsndfile drops a longer one
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def write_wav(clip: Clip, path: Path) -> None:
    """24-bit PCM, exact for 16- and 24-bit sources; 32-bit float when a sample is above full scale."""
    assert clip.sound is not None
    if np.abs(clip.sound.samples).max() > 1:
        data = _encode(clip, "WAV", "FLOAT", _WAV_COMMENT)
        # the PEAK chunk (version, time, and two words for each channel) holds the time of writing; without it the same
        # sound gives the same bytes
        at = data.index(b"PEAK" + struct.pack("<I", 8 + 8 * clip.sound.channels)) + 12
        data = data[:at] + bytes(4) + data[at + 4 :]
    else:
        data = _encode(clip, "WAV", "PCM_24", _WAV_COMMENT)
    path.write_bytes(data)


def write_flac(clip: Clip, path: Path) -> None:
    """24 bits, lossless; samples above full scale are clipped."""
    path.write_bytes(_encode(clip, "FLAC", "PCM_24"))


def write_ogg(clip: Clip, path: Path) -> None:
    """Vorbis at quality 0.6."""
    path.write_bytes(_with_fixed_serial(_encode(clip, "OGG", "VORBIS", compression=0.4)))


def write_mp3(clip: Clip, path: Path) -> None:
    """MPEG layer III at a variable rate, with the length that players need to leave the padding out."""
    path.write_bytes(_encode(clip, "MP3", "MPEG_LAYER_III", compression=0.2, rates=_MP3_RATES))


def _encode(
    clip: Clip,
    container: str,
    subtype: str,
    comment: int | None = None,
    compression: float | None = None,
    rates: Sequence[int] = (),
) -> bytes:
    import soundfile

    assert clip.sound is not None
    sound = at_rate(clip.sound, nearest_rate(clip.sound.sample_rate, rates))
    lossy: dict[str, Any] = {} if compression is None else {"compression_level": compression}
    if container == "MP3":
        lossy["bitrate_mode"] = "VARIABLE"
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", sound.sample_rate, sound.channels, subtype, format=container, **lossy
    ) as writer:
        if text := tags.pack(tags.of(clip), comment):
            writer.comment = text
        for block in _blocks(sound, subtype):
            writer.write(block)
    return file.getvalue()


def _blocks(sound: Sound, subtype: str) -> Iterator[np.ndarray]:
    for start in range(0, sound.samples.shape[1], _BLOCK):
        block = sound.samples[:, start : start + _BLOCK].T
        if subtype == "PCM_24":
            # scaled here: libsndfile maps 1.0 to 2^23 - 1 and so would not give 16-bit sources back exactly
            whole = np.clip(np.rint(block.astype(np.float64) * 2**23), -(2**23), 2**23 - 1)
            yield (whole.astype(np.int64) << 8).astype(np.int32)
        else:
            yield np.ascontiguousarray(block)


def _with_fixed_serial(data: bytes) -> bytes:
    """The Ogg pages with stream number 1 in place of libsndfile's random one, their checksums set anew."""
    pages = []
    at = 0
    while at < len(data):
        segments = data[at + 26]
        length = 27 + segments + sum(data[at + 27 : at + 27 + segments])
        page = bytearray(data[at : at + length])
        page[14:18] = struct.pack("<I", 1)
        page[22:26] = bytes(4)
        page[22:26] = struct.pack("<I", _ogg_checksum(page))
        pages.append(bytes(page))
        at += length
    return b"".join(pages)


def _ogg_checksum(page: bytes | bytearray) -> int:
    """CRC-32 with the bits of zlib's in the other order, without its inversions."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(mirrored.to_bytes(4, "big").translate(_REVERSED), "little")
