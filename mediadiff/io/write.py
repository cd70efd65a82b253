"""Writing a clip to a file, whole or not at all; the ending says the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.io.files import whole_file
from mediadiff.io.film_file import LAYOUTS, Film
from mediadiff.io.image_file import write_gif, write_png
from mediadiff.io.sound_file import write_flac, write_mp3, write_ogg, write_wav
from mediadiff.io.source import naming


@dataclass(frozen=True)
class Format:
    """What an ending stands for: the streams that it `holds`, in words, and how it is written."""

    holds: frozenset[str]
    words: str
    write: Callable[[Clip, Path], None]
    channels: tuple[int, ...] = ()  # of sound, where not any number will do


_SOUND, _PICTURE = frozenset({"sound"}), frozenset({"picture"})
_H264_AAC = Film(
    container="mp4",
    picture_codec="libx264",
    pixels="yuv420p",
    # measured: with its macroblock tree on AVX-512, x264's bytes change from run to run
    picture_options={"crf": "16", "preset": "medium", "mbtree": "0"},
    sound_codec="aac",
    sound_format="fltp",
    bits_per_second=128_000,
    options={"movflags": "+faststart"},
    is_even=True,
)
_VP9_OPUS = Film(
    container="webm",
    picture_codec="libvpx-vp9",
    pixels="yuv420p",
    picture_options={"crf": "20", "b": "0", "deadline": "good", "cpu-used": "3"},
    sound_codec="libopus",
    sound_format="flt",
    bits_per_second=96_000,
)
_FFV1_FLAC = Film(
    container="matroska",
    picture_codec="ffv1",
    pixels="bgr0",
    picture_options={"level": "3", "g": "1", "slicecrc": "1"},
    sound_codec="flac",
    sound_format="s32",
)
FORMATS: dict[str, Format] = {
    "wav": Format(_SOUND, "24-bit PCM; 32-bit float above full scale", write_wav),
    "flac": Format(_SOUND, "FLAC, 24 bits, lossless", write_flac, tuple(range(1, 9))),
    "ogg": Format(_SOUND, "Vorbis", write_ogg),
    "mp3": Format(_SOUND, "MPEG layer III", write_mp3, (1, 2)),
    "m4a": Format(_SOUND, "AAC", _H264_AAC, tuple(LAYOUTS)),
    "mp4": Format(_SOUND | _PICTURE, "H.264 and AAC", _H264_AAC, tuple(LAYOUTS)),
    "webm": Format(_SOUND | _PICTURE, "VP9 and Opus", _VP9_OPUS, tuple(LAYOUTS)),
    "mkv": Format(_SOUND | _PICTURE, "FFV1 and FLAC, lossless", _FFV1_FLAC, tuple(LAYOUTS)),
    "gif": Format(_PICTURE, "256 colours", write_gif),
    "png": Format(_PICTURE, "one frame, lossless", write_png),
}


def write(path: str | Path, clip: Clip) -> Path:
    """Writes the clip whole or not at all, in the format of the path's ending, and returns the path.

    Rates are exact. The same clip gives the same bytes. Sound and picture end together: when they differ by half a
    sample or more, silence is added to the sound, or the last frame is held, up to the longer of the two. Samples above
    full scale are kept by wav and clipped by the other formats; mp4 repeats the last row or column of an odd size. The
    label and the tags go into the file's comment (wav keeps a short one), the home folder as `~`.

    Raises `UsageError` when the format cannot hold the clip, `DiskFullError`, and `MediaError` with path and cause.
    """
    path = Path(path)
    ending = path.suffix[1:].lower()
    if ending not in FORMATS:
        raise UsageError(
            f"{path}: the ending says the format, and can be {', '.join(FORMATS)}; got {ending or 'none'!r}"
        )
    for name, stream in (("sound", clip.sound), ("picture", clip.picture)):
        if stream is not None and name not in FORMATS[ending].holds:
            raise UsageError(f"{path}: {ending} holds no {name}; write the clip as {', '.join(_able(clip))}")
    _check(path, clip, FORMATS[ending].channels)
    with naming(path, "cannot be written: "), whole_file(path) as temp:
        FORMATS[ending].write(ending_together(clip), temp)
    return path


def ending_together(clip: Clip) -> Clip:
    """The clip with its shorter stream prolonged: sound by silence, picture by holding its last frame."""
    if clip.sound is None or clip.picture is None:
        return clip
    sound, picture = clip.sound, clip.picture
    half_sample = Fraction(1, 2 * sound.sample_rate)
    missing = max(Fraction(0), sound.seconds - half_sample - picture.seconds) * picture.rate
    held = -int(-missing // 1)
    if held:
        frames = np.concatenate([picture.frames, np.repeat(picture.frames[-1:], held, axis=0)])
        picture = Picture(frames, picture.rate)
    silent = round(picture.seconds * sound.sample_rate) - sound.samples.shape[1]
    if silent > 0:
        sound = Sound(np.pad(sound.samples, ((0, 0), (0, silent))), sound.sample_rate)
    return replace(clip, sound=sound, picture=picture)


def _able(clip: Clip) -> list[str]:
    needed = {name for name, stream in (("sound", clip.sound), ("picture", clip.picture)) if stream is not None}
    return [ending for ending, format in FORMATS.items() if needed <= format.holds]


def _check(path: Path, clip: Clip, channels: tuple[int, ...]) -> None:
    if clip.sound is not None and (clip.sound.samples.size == 0 or not np.isfinite(clip.sound.samples).all()):
        raise UsageError(f"{path}: the sound is empty, or has NaN or infinite samples")
    if clip.sound is not None and channels and clip.sound.channels not in channels:
        raise UsageError(
            f"{path}: this format holds {', '.join(map(str, channels))} channels, the sound has {clip.sound.channels}; "
            "write it as wav, or mix its channels first"
        )
    if clip.picture is not None and clip.picture.frames.size == 0:
        raise UsageError(f"{path}: the picture is empty: frames {list(clip.picture.frames.shape)}")
