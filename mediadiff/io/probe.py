"""What a media file holds, from its headers and the first frame of each stream."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from mediadiff.errors import MediaError, printable
from mediadiff.io import colour, source, tags
from mediadiff.io.geometry import Geometry, Size, orientation
from mediadiff.io.limits import LIMITS, Limits
from mediadiff.io.truncation import missing_end

_LIBSNDFILE = {"wav", "w64", "aiff", "au", "caf", "flac", "ogg", "mp3"}  # containers that it reads faster and exactly
# by the number of channels, where a file does not name its speakers
USUAL_SPEAKERS = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
_MALFORMED = 3  # libsndfile's number
_UNKNOWN_LENGTH = 2**62  # frames; libsndfile's word for a FLAC that does not say
_NOT_SHOWN = 0x400 | 0x800  # FFmpeg's dispositions: attached picture, timed thumbnails


@dataclass(frozen=True)
class SoundInfo:
    """A sound stream; `start` and `seconds` are on the file's clock, `seconds` None when nothing declares it."""

    codec: str
    sample_rate: int
    speakers: tuple[str, ...]  # FFmpeg's names in the order of the channels: FL, FR, FC, LFE ...
    start: Fraction
    seconds: Fraction | None
    stream: int | None  # its number for FFmpeg; None: libsndfile reads the file

    @property
    def channels(self) -> int:
        return len(self.speakers)


@dataclass(frozen=True)
class PictureInfo:
    """A picture stream; `size` is (height, width) as shown, with sample aspect and rotation applied."""

    codec: str
    size: Size
    stored: Size
    geometry: Geometry
    rate: Fraction  # frames per second on average; 1 for a still image
    is_still: bool
    start: Fraction
    seconds: Fraction | None
    pixels: str  # FFmpeg's name of the pixel format
    colour: str
    stream: int
    tick: Fraction  # seconds of a step of its clock


@dataclass(frozen=True)
class MediaInfo:
    """A media file: its container, the sound and the picture that `read` takes from it, and what it leaves."""

    path: str
    container: str
    bytes: int
    seconds: Fraction | None
    sound: SoundInfo | None
    picture: PictureInfo | None
    left: tuple[str, ...] = ()  # streams that are not read, in words
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> Fraction:
        """The file's time that counts as t = 0: where its first stream starts."""
        return min(stream.start for stream in (self.sound, self.picture) if stream is not None)

    def lines(self) -> list[str]:
        """The file in words, one line for each stream and tag."""
        lines = [f"{printable(self.path)}: {self.container}, {self.bytes:,} bytes{_seconds(self.seconds)}"]
        if (picture := self.picture) is not None:
            height, width = picture.size
            rate = "still image" if picture.is_still else f"{picture.rate} frames/s ({float(picture.rate):.6g})"
            shown = "" if picture.size == picture.stored else f" (stored {picture.stored[1]}x{picture.stored[0]})"
            turned = f", {picture.geometry.words}" if picture.geometry.words else ""
            lines.append(
                f"  picture: {picture.codec}, {width}x{height}{shown}{turned}, {rate}, {picture.pixels}, "
                f"{picture.colour}{_seconds(picture.seconds)}{_start(picture.start - self.origin)}"
            )
        if (sound := self.sound) is not None:
            lines.append(
                f"  sound: {sound.codec}, {sound.sample_rate} Hz, {_speakers(sound.speakers)}"
                f"{_seconds(sound.seconds)}{_start(sound.start - self.origin)}"
            )
        lines += [f"  not read: {words}" for words in self.left]
        return lines + [f"  tag {printable(key)}: {printable(value)}" for key, value in self.tags.items()]

    def to_dict(self) -> dict[str, Any]:
        """The same for programs: JSON values only; exact numbers are texts such as "24000/1001"."""
        return _plain(asdict(self))


def probe(path: str | Path, limits: Limits = LIMITS) -> MediaInfo:
    """What the file at `path` holds. Raises `MediaError` when it is no media, damaged, cut or above the limits."""
    with source.open_file(path) as file:
        missing = missing_end(file)
    if missing:
        raise MediaError(path, f"is cut: {missing}")
    try:
        info = _with_ffmpeg(path, limits)
    except source.UnknownFormatError:
        sound = _with_libsndfile(path)
        if sound is None:
            raise
        info = MediaInfo(str(path), "libsndfile", os.path.getsize(path), sound.seconds, sound, None)
    if info.sound is not None:
        limits.check(path, "channels", info.sound.channels)
        limits.check(path, "sample_rate", info.sound.sample_rate)
    return info


def _with_ffmpeg(path: str | Path, limits: Limits) -> MediaInfo:
    with source.open_media(path, limits) as container:
        chosen, left = _choose(container)
        for stream in chosen.values():
            if stream.type == "video":
                _check_pixels(path, stream, limits)
        name = container.format.name
        sounds = [stream for stream in container.streams.audio if source.is_readable(stream)]
        first = _first_frames(path, container, chosen)
        sound = picture = None
        if "audio" in first:
            sound = _sound(chosen["audio"], first["audio"])
            if name in _LIBSNDFILE and len(sounds) == 1 and "video" not in first and sound.channels <= 2:
                sound = _with_libsndfile(path) or sound
        if "video" in first:
            picture = _picture(chosen["video"], first["video"], name)
        left += tuple(
            f"{source.KINDS[kind]} {source.codec_name(chosen[kind])} without a frame" for kind in chosen.keys() - first
        )
        if sound is None and picture is None:
            held = f"; it holds {', '.join(left)}" if left else ""
            raise MediaError(path, f"has no sound and no picture that can be read{held}")
        # Ogg keeps the tags with its streams, PNG with the frame, where PyAV does not show them
        metadata = {**container.metadata}
        if name == "ogg":
            metadata |= container.streams[0].metadata
        elif name == "png_pipe":
            metadata |= _png_texts(path)
        seconds = Fraction(container.duration, 1_000_000) if container.duration else None
        return MediaInfo(str(path), name, container.size, seconds, sound, picture, left, tags.unpack(metadata))


def _choose(container: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The first readable stream of each kind, and the others in words. Cover art is no picture stream."""
    chosen: dict[str, Any] = {}
    left = []
    for stream in container.streams:
        kind = stream.type
        if kind == "video" and int(stream.disposition) & _NOT_SHOWN:
            left.append(f"cover art ({source.codec_name(stream)})")
        elif kind not in source.KINDS:
            left.append(f"{kind} stream")
        elif not source.is_readable(stream):
            codec = source.codec_name(stream) or "unknown"
            left.append(f"{source.KINDS[kind]} with the codec {codec}, which is not allowed")
        elif kind in chosen:
            left.append(f"another {source.KINDS[kind]} stream ({source.codec_name(stream)})")
        else:
            chosen[kind] = stream
    return chosen, tuple(left)


def _check_pixels(path: str | Path, stream: Any, limits: Limits) -> None:
    pixels = stream.codec_context.width * stream.codec_context.height
    limits.check(path, "pixels", pixels)
    if not pixels:
        raise MediaError(
            path,
            "its picture is damaged, of a kind that FFmpeg does not decode (such as animated WebP), "
            f"or above the limit of {limits.pixels:,} pixels",
        )


def _first_frames(path: str | Path, container: Any, chosen: dict[str, Any]) -> dict[str, Any]:
    """The first frame of each chosen stream; a stream without any is missing."""
    wanted = {stream.index: kind for kind, stream in chosen.items()}
    first: dict[str, Any] = {}
    for packet in container.demux(*chosen.values()) if chosen else ():
        kind = wanted[packet.stream.index]
        if kind in first:
            continue
        with source.naming(path, f"its {source.KINDS[kind]} cannot be decoded: "):
            frames = packet.decode()
        if frames:
            first[kind] = frames[0]
        if len(first) == len(chosen):
            break
    return first


def _sound(stream: Any, frame: Any) -> SoundInfo:
    names = tuple(channel.name for channel in frame.layout.channels)
    if len(set(names)) < len(names):
        names = USUAL_SPEAKERS.get(len(names), tuple(str(number) for number in range(len(names))))
    length = source.declared_length(stream)
    return SoundInfo(source.codec_name(stream), frame.sample_rate, names, _time(frame), length, stream.index)


def _picture(stream: Any, frame: Any, container: str) -> PictureInfo:
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1
    geometry = Geometry(Fraction(aspect), *orientation(frame))
    is_still = container.endswith("_pipe")
    rate = Fraction(stream.average_rate or stream.guessed_rate or 1)
    if container == "gif" and stream.frames and stream.duration:
        # FFmpeg's average is rounded to a usual rate
        rate = stream.frames / (stream.duration * stream.time_base)
    is_lone = is_still or (container == "gif" and stream.frames == 1)
    return PictureInfo(
        codec=source.codec_name(stream),
        size=geometry.shown(frame.height, frame.width),
        stored=(frame.height, frame.width),
        geometry=geometry,
        rate=Fraction(1) if is_lone else rate,
        is_still=is_lone,
        start=_time(frame),
        seconds=None if is_lone else source.declared_length(stream),
        pixels=frame.format.name,
        colour=colour.words(frame, stream.metadata),
        stream=stream.index,
        tick=stream.time_base,
    )


def _png_texts(path: str | Path) -> dict[str, str]:
    from PIL import Image

    with source.open_file(path) as file, source.naming(path):
        try:
            with Image.open(file) as image:
                found = image.info
        except (ValueError, SyntaxError, Image.DecompressionBombError):
            # What Pillow takes for an attack, such as a text of megabytes: only tags are lost.
            return {}
        return {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, str)}


def _with_libsndfile(path: str | Path) -> SoundInfo | None:
    import soundfile

    with source.open_file(path) as file:
        try:
            with soundfile.SoundFile(file) as sound:
                if sound.frames >= _UNKNOWN_LENGTH:
                    return None
                if sound.format != "WAV" and re.search(r"\(should be|truncated", sound.extra_info):
                    raise MediaError(path, "is cut: it declares more than it holds")
                speakers = USUAL_SPEAKERS.get(sound.channels, tuple(str(number) for number in range(sound.channels)))
                seconds = Fraction(sound.frames, sound.samplerate)
                codec = f"{sound.format} {sound.subtype}".lower()
                return SoundInfo(codec, sound.samplerate, speakers, Fraction(0), seconds, None)
        except soundfile.LibsndfileError as error:
            if error.code == _MALFORMED:
                raise MediaError(path, f"is damaged: {error.error_string}") from error
            return None


def _time(frame: Any) -> Fraction:
    return frame.pts * frame.time_base if frame.pts is not None else Fraction(0)


def _speakers(names: tuple[str, ...]) -> str:
    usual = {1: "mono", 2: "stereo"}
    return usual.get(len(names), f"{len(names)} channels ({' '.join(names)})")


def _seconds(value: Fraction | None) -> str:
    return "" if value is None else f", {float(value):.3f} s"


def _start(value: Fraction) -> str:
    return f", starts at {float(value):.3f} s" if value else ""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Fraction) else value
