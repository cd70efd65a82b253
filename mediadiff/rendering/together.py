"""Sound and picture in one file: whether they still begin and end together once it is written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from mediadiff.clip import Clip
from mediadiff.errors import MediaError
from mediadiff.io.probe import probe
from mediadiff.io.write import ending_together

CODEC_FRAME = 1024
"""Samples that a lossy codec of sound keeps together: what its lengths are rounded to."""
_LOSSLESS = ("mkv",)


def together(path: Path, clip: Clip, written: Clip) -> dict[str, float]:
    """The lengths of `written`, which is `path` read back, and by how much its sound starts after its picture.

    All in seconds, for a `clip` of both. MediaError where the file is off by more than a sample, or, in a lossy format,
    by more than a codec's frame, or where a frame is missing.
    """
    sound, picture, whole, info = written.sound, written.picture, ending_together(clip), probe(path)
    if sound is None or picture is None or info.sound is None or info.picture is None:
        raise MediaError(path, "was written with sound and picture, and does not hold both")
    assert whole.sound is not None and whole.picture is not None
    offset = info.sound.start - info.picture.start
    slack = Fraction(1 if path.suffix[1:] in _LOSSLESS else CODEC_FRAME, sound.sample_rate)
    if abs(offset) > slack or abs(sound.seconds - whole.sound.seconds) > slack:
        raise MediaError(
            path,
            f"its sound lasts {float(sound.seconds):.6f} s of {float(whole.sound.seconds):.6f} and starts "
            f"{float(offset):.6f} s after its picture: write it in another format",
        )
    if len(picture.frames) != len(whole.picture.frames):
        raise MediaError(path, f"holds {len(picture.frames)} of {len(whole.picture.frames)} frames")
    lengths = {"sound_seconds": float(sound.seconds), "picture_seconds": float(picture.seconds)}
    return {name: round(value, 6) for name, value in (lengths | {"offset_seconds": float(offset)}).items()}
