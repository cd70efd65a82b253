"""Reading a media file as a clip: all streams on one clock, decoded in bounded memory."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

from mediadiff.clip import Clip
from mediadiff.errors import MediaError, UsageError
from mediadiff.io.limits import LIMITS, Limits
from mediadiff.io.picture import read_picture
from mediadiff.io.probe import MediaInfo, PictureInfo, SoundInfo, probe
from mediadiff.io.sound import read_sound


def read(
    path: str | Path,
    *,
    sound: bool = True,
    picture: bool = True,
    sample_rate: int | None = None,
    channels: int | None = None,
    rate: Fraction | int | None = None,
    size: tuple[int, int] | None = None,
    max_seconds: Fraction | float | None = None,
    limits: Limits = LIMITS,
) -> Clip:
    """The file at `path` as a clip, with its tags and label.

    With both `sound` and `picture`, what the file has of the two is read; with one alone, that one must be there.
    t = 0 is where the file's first stream starts: a later sound begins with silence, a later picture holds its first
    frame, whichever of them is read.

    sound: float32, full scale at +-1 (louder is kept), at `sample_rate` Hz with `channels` channels, or the file's
        own; see `mediadiff.io.sound.mixing` for how channels are mixed.
    picture: uint8 RGB at `rate` frames per second, or the file's average rate; frames are picked by time stamp, so a
        variable rate keeps its timing. A still image is one frame. `size` is (height, width), reached by scaling to
        cover (by area, aspect kept) and cropping from the middle; without it, the size as shown: sample aspect and
        rotation applied. Transparent pixels are over black.
    max_seconds: reads no further than this.

    Raises `MediaError` with path and cause for what is no media, has not the wanted stream, is damaged, is shorter
    than it declares (MPEG program and transport streams and raw streams declare nothing), has NaN samples, or is above
    the `limits`.
    """
    if not (sound or picture):
        raise UsageError("read needs sound, picture or both; got neither")
    if isinstance(max_seconds, float) and not math.isfinite(max_seconds):
        raise UsageError(f"max_seconds is a number of seconds, or None for the whole file; got {max_seconds}")
    # through its text, so that 2.3 is 23/10
    end = None if max_seconds is None else Fraction(str(max_seconds))
    for name, value in (("sample_rate", sample_rate), ("channels", channels), ("rate", rate), ("max_seconds", end)):
        if value is not None and value <= 0:
            raise UsageError(f"{name} is above 0; got {value}")
    if size is not None and min(size) < 1:
        raise UsageError(f"size is (height, width), both 1 or more; got {size}")
    media = probe(path, limits)
    if sound and not picture and media.sound is None:
        raise MediaError(path, f"has no sound{_held(media)}")
    if picture and not sound and media.picture is None:
        raise MediaError(path, f"has no picture{_held(media)}")
    taken_sound = taken_picture = None
    if picture and media.picture is not None:
        _check_claims(media, media.picture, end, limits)
        taken_picture = read_picture(media, None if rate is None else Fraction(rate), size, end, limits)
    if sound and media.sound is not None:
        _check_claims(media, media.sound, end, limits)
        taken_sound = read_sound(media, sample_rate, channels, end, limits)
    tags = dict(media.tags)
    return Clip(taken_sound, taken_picture, tags.pop("label", None), tags)


def _held(media: MediaInfo) -> str:
    return f"; it holds {', '.join(media.left)}" if media.left else ""


def _check_claims(media: MediaInfo, stream: SoundInfo | PictureInfo, end: Fraction | None, limits: Limits) -> None:
    """Refuses from the header what would pass the limits while decoding."""
    limits.check(media.path, "seconds", stream.start - media.origin)
    if stream.seconds is None:
        return
    seconds = stream.seconds if end is None else min(end, stream.seconds)
    limits.check(media.path, "seconds", seconds)
    if isinstance(stream, PictureInfo):
        frames = seconds * stream.rate
        limits.check(media.path, "frames", frames)
        limits.check(media.path, "decoded_bytes", frames * stream.stored[0] * stream.stored[1] * 3)
