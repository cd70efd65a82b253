"""Decoding sound: blocks of float samples, mixed to the wanted channels, resampled, put on the clip's clock."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from mediadiff.clip import Sound
from mediadiff.errors import MediaError, UsageError
from mediadiff.io import source
from mediadiff.io.limits import Limits
from mediadiff.io.probe import MediaInfo, SoundInfo
from mediadiff.io.resampling import resample

_BLOCK = 65_536  # samples per read
_GAP = Fraction(1, 10)  # seconds; a longer hole between time stamps is filled with silence
_HALF = 0.5**0.5
# ITU-R BS.775: (left, right) of each speaker; the low-frequency channel is left out
_STEREO = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "FC": (_HALF, _HALF),
    "LFE": (0.0, 0.0),
    "BL": (_HALF, 0.0),
    "SL": (_HALF, 0.0),
    "BR": (0.0, _HALF),
    "SR": (0.0, _HALF),
}


def read_sound(
    media: MediaInfo,
    sample_rate: int | None,
    channels: int | None,
    max_seconds: Fraction | None,
    limits: Limits,
) -> Sound:
    """The file's sound from t = 0 on, silent until its stream starts. See `read`."""
    info = media.sound
    assert info is not None
    target = sample_rate or info.sample_rate
    matrix = mixing(info.speakers, channels)
    lead = round((info.start - media.origin) * target)
    if max_seconds is not None:
        lead = min(lead, max(1, int(max_seconds * target)))
    limits.check(media.path, "kept_bytes", lead * len(matrix) * 4)
    kept = [np.zeros((len(matrix), lead), np.float32)]
    wanted = None if max_seconds is None else max(1, int(max_seconds * target))
    length = lead
    for block in resample(_mixed(_blocks(media, info, limits), matrix), info.sample_rate, target):
        kept.append(block)
        length += block.shape[1]
        limits.check(media.path, "kept_bytes", length * len(matrix) * 4)
        if wanted is not None and length >= wanted:
            break
    samples = np.concatenate(kept, axis=1)[:, :wanted]
    if samples.shape[1] == 0:
        raise MediaError(media.path, "its sound has no samples")
    return Sound(samples, target)


def mixing(speakers: tuple[str, ...], channels: int | None) -> np.ndarray:
    """The matrix `[out, in]` that mixes channels; None keeps them.

    One channel is copied to all; to two, the ITU-R BS.775 down-mix, scaled so that it cannot pass full scale; to one,
    the mean of those two. Unknown speakers count for both sides. Other combinations raise `UsageError`.
    """
    have = len(speakers)
    if channels in (None, have):
        return np.eye(have, dtype=np.float32)
    if have == 1:
        return np.ones((channels, 1), np.float32)
    if channels not in (1, 2):
        raise UsageError(f"channels can be 1, 2 or the file's own {have}; got {channels}")
    stereo = np.array([_STEREO.get(name, (_HALF, _HALF)) for name in speakers], np.float32).T
    stereo /= stereo.sum(axis=1, keepdims=True).max()
    return stereo if channels == 2 else stereo.mean(axis=0, keepdims=True)


def _mixed(blocks: Iterator[np.ndarray], matrix: np.ndarray) -> Iterator[np.ndarray]:
    is_identity = matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))
    for block in blocks:
        yield block if is_identity else matrix @ block


def _blocks(media: MediaInfo, info: SoundInfo, limits: Limits) -> Iterator[np.ndarray]:
    """The decoded samples, float32 `[channels, n]` at the file's rate; finite and within the limits."""
    position = 0
    for block in _libsndfile(media, info) if info.stream is None else _ffmpeg(media, info, limits):
        if not np.isfinite(block).all():
            raise MediaError(
                media.path, f"its sound has NaN or infinite samples near {position / info.sample_rate:.3f} s"
            )
        position += block.shape[1]
        limits.check(media.path, "seconds", position / info.sample_rate)
        limits.check(media.path, "decoded_bytes", position * info.channels * 4)
        yield block


def _libsndfile(media: MediaInfo, info: SoundInfo) -> Iterator[np.ndarray]:
    import soundfile

    position = 0
    damaged = source.naming(media.path, "its sound is damaged: ")
    with source.open_file(media.path) as file, damaged, soundfile.SoundFile(file) as sound:
        while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
            position += len(block)
            yield np.ascontiguousarray(block.T)
    if media.container not in source.GUESSED_LENGTH:
        _check_end(media, info, position, slack=0)


def _ffmpeg(media: MediaInfo, info: SoundInfo, limits: Limits) -> Iterator[np.ndarray]:
    assert info.stream is not None
    has_exact_end = "mp4" in media.container and info.seconds is not None
    end = round(info.seconds * info.sample_rate) if has_exact_end and info.seconds else None
    position = 0
    with source.open_media(media.path, limits) as container:
        for frame in source.decode(media.path, container, container.streams[info.stream]):
            if (frame.sample_rate, frame.layout.nb_channels) != (info.sample_rate, info.channels):
                raise MediaError(
                    media.path, f"its sound changes its rate or channels after {position / info.sample_rate:.3f} s"
                )
            hole = Fraction(0)
            if frame.pts is not None:
                hole = frame.pts * frame.time_base - info.start - Fraction(position, info.sample_rate)
                limits.check(media.path, "seconds", hole)
            silence = round(hole * info.sample_rate) if hole > _GAP else 0
            for block in chain(_silence(info.channels, silence), [_floats(frame)]):
                if end is not None:
                    # the last packet of AAC and MP3 is filled up; the track's length says where the sound ends
                    block = block[:, : max(0, end - position)]
                position += block.shape[1]
                if block.shape[1]:
                    yield block
    if end is not None:
        _check_end(media, info, position, slack=source.TOLERANCE)


def _silence(channels: int, length: int) -> Iterator[np.ndarray]:
    """In blocks, each of which is held against the limits before the next is made."""
    for start in range(0, length, _BLOCK):
        yield np.zeros((channels, min(_BLOCK, length - start)), np.float32)


def _check_end(media: MediaInfo, info: SoundInfo, position: int, slack: Fraction | int) -> None:
    held = Fraction(position, info.sample_rate)
    if info.seconds is not None and held < info.seconds - slack:
        raise MediaError(
            media.path, f"is cut: its sound declares {float(info.seconds):.3f} s and holds {float(held):.3f} s"
        )


def _floats(frame: Any) -> np.ndarray:
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return (samples / float(2 ** (8 * samples.itemsize - 1))).astype(np.float32)
    return np.ascontiguousarray(samples, np.float32)
