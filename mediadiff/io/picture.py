"""Decoding pictures: frames by their time stamps, put on an exact grid, turned, scaled, in RGB."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mediadiff.clip import Picture
from mediadiff.errors import MediaError
from mediadiff.io import colour, source
from mediadiff.io.geometry import Size, centre, cover
from mediadiff.io.limits import Limits
from mediadiff.io.probe import MediaInfo, PictureInfo


def read_picture(
    media: MediaInfo,
    rate: Fraction | None,
    size: Size | None,
    max_seconds: Fraction | None,
    limits: Limits,
) -> Picture:
    """The file's picture from t = 0 on, its first frame held until its stream starts. See `read`."""
    info = media.picture
    assert info is not None
    target_rate = rate or info.rate
    height, width = size or info.size
    limits.check(media.path, "pixels", height * width)
    wanted = None if max_seconds is None else max(1, int(max_seconds * target_rate))
    kept, count, shown, rgb, converter = bytearray(), 0, None, b"", colour.converter()
    for frame in on_grid(_timed(media, info, limits), target_rate * info.tick, media.origin / info.tick, info.is_still):
        if frame is not shown:
            shown, rgb = frame, _draw(media.path, frame, info, (height, width), limits, converter).tobytes()
        kept += rgb
        count += 1
        limits.check(media.path, "kept_bytes", len(kept))
        limits.check(media.path, "frames", count)
        if count == wanted:
            break
    if not count:
        raise MediaError(media.path, "its picture has no frames")
    return Picture(np.frombuffer(kept, np.uint8).reshape(count, height, width, 3), target_rate)


def on_grid(
    frames: Iterator[tuple[int | Fraction, int | Fraction, Any]],
    rate: Fraction,
    origin: Fraction,
    is_still: bool = False,
) -> Iterator[Any]:
    """Frames with their start and end as frames at an exact `rate`, all on one clock, whatever its unit.

    Step k shows what is on at its middle, `origin + (k + 1/2) / rate`, so time stamps may be rounded by almost half a
    step. The first frame is held from `origin` on; a stream that is shorter than a step gives one frame.
    """
    first, each = origin + 1 / (2 * rate), 1 / rate
    # Whole numbers, for fractions take as long as decoding a small picture.
    parts = math.lcm(first.denominator, each.denominator)
    middle, step = int(first * parts), int(each * parts)
    held: Any = None
    held_until: int | Fraction = 0
    given = False
    for start, end, frame in frames:
        while held is not None and middle < start * parts:
            yield held
            given = True
            middle += step
        held, held_until = frame, end
    if held is None:
        return
    while middle < held_until * parts and not (is_still and given):
        yield held
        given = True
        middle += step
    if not given:
        yield held


def _timed(media: MediaInfo, info: PictureInfo, limits: Limits) -> Iterator[tuple[int | Fraction, int | Fraction, Any]]:
    """The decoded frames with their start and end on the file's clock, in the stream's ticks."""
    begin, usual = info.start / info.tick, 1 / (info.rate * info.tick)
    tick, first = float(info.tick), float(info.start)
    previous = None
    work = 0
    with source.open_media(media.path, limits) as container:
        for number, frame in enumerate(source.decode(media.path, container, container.streams[info.stream])):
            limits.check(media.path, "frames", number + 1)
            limits.check(media.path, "pixels", frame.width * frame.height)
            work += frame.width * frame.height * 3
            limits.check(media.path, "decoded_bytes", work)
            start: int | Fraction | None = frame.pts
            if previous is not None and (start is None or start <= previous[0]):
                start = previous[1]
            start = begin if start is None else start
            limits.check(media.path, "seconds", float(start) * tick - first)
            previous = (start, start + (frame.duration or usual))
            yield *previous, frame


def _draw(path: str, frame: Any, info: PictureInfo, target: Size, limits: Limits, converter: Any) -> np.ndarray:
    """The frame as it is shown, scaled to cover `target` and cropped to it from the middle."""
    scaled = cover(info.geometry.shown(frame.height, frame.width), target)
    limits.check(path, "pixels", scaled[0] * scaled[1])
    rgb = colour.to_rgb(frame, *info.geometry.stored(scaled), converter)
    return centre(info.geometry.turn(rgb), target)
