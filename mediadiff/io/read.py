"""Reading a media file as a clip: all streams on one clock, decoded in bounded memory."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from mediadiff.clip import Clip
from mediadiff.errors import MediaError, UsageError
from mediadiff.io.limits import LIMITS, Limits
from mediadiff.io.picture import read_picture
from mediadiff.io.probe import MediaInfo, probe
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
    _check_claims(media, end, limits)
    tags = dict(media.tags)
    return Clip(
        read_sound(media, sample_rate, channels, end, limits) if sound and media.sound else None,
        read_picture(media, None if rate is None else Fraction(rate), size, end, limits)
        if picture and media.picture
        else None,
        label=tags.pop("label", None),
        tags=tags,
    )


def _held(media: MediaInfo) -> str:
    return f"; it holds {', '.join(media.left)}" if media.left else ""


def _check_claims(media: MediaInfo, end: Fraction | None, limits: Limits) -> None:
    """Refuses from the header what would pass the limits while decoding."""
    for stream in (media.sound, media.picture):
        if stream is not None:
            limits.check(media.path, "seconds", stream.start - media.origin)
            limits.check(media.path, "seconds", (stream.seconds or 0) if end is None else 0)
    picture = media.picture
    if picture is not None and picture.seconds is not None:
        frames = (picture.seconds if end is None else min(end, picture.seconds)) * picture.rate
        limits.check(media.path, "frames", frames)
        limits.check(media.path, "decoded_bytes", frames * picture.stored[0] * picture.stored[1] * 3)
