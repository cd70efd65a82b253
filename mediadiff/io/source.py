"""Opening a media file so that nothing in it can reach another file or the network, and decoding its streams."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff.errors import MediaError
from mediadiff.io.limits import Limits

if TYPE_CHECKING:
    import av

# Containers by FFmpeg's names: no playlists, no scripts, nothing that names other files.
CONTAINERS = (
    "mov mp4 m4a 3gp 3g2 mj2 matroska webm avi flv asf mpeg mpegts mpegvideo m4v h264 hevc ivf obu dv gif apng "
    "png_pipe jpeg_pipe webp_pipe bmp_pipe tiff_pipe wav w64 aiff au caf flac ogg mp3 aac ac3 eac3 amr ape wv tta"
).split()
CODECS = frozenset(
    "h264 hevc vp8 vp9 av1 libdav1d mpeg1video mpeg2video mpeg4 msmpeg4v1 msmpeg4v2 msmpeg4 h263 flv theora mjpeg ffv1 "
    "png apng gif webp bmp tiff prores dnxhd huffyuv ffvhuff rawvideo wmv1 wmv2 wmv3 vc1 dvvideo qtrle cinepak "
    "aac mp1 mp1float mp2 mp2float mp3 mp3float vorbis opus flac alac ac3 eac3 ape wavpack tta wmav1 wmav2 wmapro "
    "amrnb amrwb gsm gsm_ms speex".split()
)
KINDS = {"video": "picture", "audio": "sound"}  # FFmpeg's words and ours
_CODEC_FAMILIES = ("pcm_", "adpcm_")
# Their length is guessed from the bit rate or from the last time stamp, so it cannot tell whether a part is missing.
GUESSED_LENGTH = frozenset("mpeg mpegts mpegvideo mp3 aac ac3 eac3 h264 hevc m4v obu amr ogg asf".split())
TOLERANCE = Fraction(3, 100)  # seconds by which a compressed stream may miss its declared length


class UnknownFormatError(MediaError):
    """FFmpeg knows no format for the file; libsndfile may."""


class _Nameless(io.BufferedReader):
    """A file whose name FFmpeg cannot see: the content alone decides what it is."""

    name = ""


@contextmanager
def naming(path: str | Path, doing: str = "") -> Iterator[None]:
    """Turns the errors of PyAV, soundfile and the system into a `MediaError` that names the file and the cause."""
    import av
    import soundfile

    try:
        yield
    except (av.FFmpegError, soundfile.SoundFileRuntimeError, OSError, EOFError, UnicodeError, MemoryError) as error:
        cause = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)
        cause = cause.removeprefix("Error : ") or type(error).__name__
        raise MediaError(path, doing + cause[:1].lower() + cause[1:]) from error


def open_file(path: str | Path) -> io.BufferedReader:
    """The regular local file at `path`, opened for reading; pipes, devices and empty files raise `MediaError`."""
    try:
        # without O_NONBLOCK the open of a pipe would wait for a writer
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise MediaError(path, f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(handle)
        raise MediaError(path, "is empty" if stat.S_ISREG(status.st_mode) else "is not a regular file")
    return _Nameless(io.FileIO(handle, "rb"))


@contextmanager
def open_media(path: str | Path, limits: Limits) -> Iterator[av.container.InputContainer]:
    """The container at `path`, opened by its content; closed at the end. Raises `MediaError`."""
    import av

    options = {
        "protocol_whitelist": "",
        "format_whitelist": ",".join(CONTAINERS),
        "max_pixels": str(limits.pixels),  # FFmpeg decodes a frame of some formats to open them
    }
    with open_file(path) as file:
        try:
            with naming(path, "no known format, or a damaged header: "):
                container = av.open(file, "r", options=options, metadata_errors="replace")
        except MediaError as error:
            raise UnknownFormatError(path, error.cause) from error
        with container, naming(path):
            for stream in filter(is_readable, container.streams.video):
                # frame threads can hang on damaged files
                stream.codec_context.thread_count = 1
                stream.thread_type = "SLICE"
            yield container


def codec_name(stream: Any) -> str:
    """The decoder's name; empty when there is none."""
    return stream.codec_context.name if stream.codec_context is not None else ""


def is_readable(stream: Any) -> bool:
    """Whether the stream's codec is known and allowed."""
    return codec_name(stream) in CODECS or codec_name(stream).startswith(_CODEC_FAMILIES)


def decode(path: str | Path, container: av.container.InputContainer, stream: Any) -> Iterator[Any]:
    """Every frame of `stream` in order of time.

    Raises `MediaError` for a part that is damaged, and, at the end, when the packets of all streams together end
    before the length that the container declares, or its own before the stream's: a file that was cut.
    """
    ends: dict[int, int | Fraction] = {}
    where, tick = 0.0, float(stream.time_base)
    for packet in container.demux():
        of = packet.stream.index
        if packet.pts is not None:
            # In the stream's own ticks: whole numbers, for fractions take as long as decoding a small picture.
            ends[of] = max(ends.get(of, 0), packet.pts + (packet.duration or _ticks(packet.stream)))
        if of != stream.index:
            continue
        damaged = f"damaged after {where:.3f} s of its {KINDS[stream.type]}"
        with naming(path, f"{damaged}: "):
            frames: list[Any] = list(packet.decode())
        for frame in frames:
            if frame.is_corrupt:
                raise MediaError(path, damaged)
            if frame.pts is not None:
                where = frame.pts * tick
            yield frame
    if container.format.name in GUESSED_LENGTH:
        return
    slack = max([TOLERANCE, *(_frame_length(stream) / 2 for stream in container.streams.video)])
    streams: Any = container.streams
    held_each = {of: end * streams[of].time_base for of, end in ends.items()}
    reached, own = max(held_each.values(), default=Fraction(0)), held_each.get(stream.index, Fraction(0))
    # not from the container's start time, which FFmpeg gets wrong for Opus below 48 kHz
    whole = Fraction(container.duration or 0, 1_000_000)
    for what, declared, held in (("it", whole, reached), (f"its {KINDS[stream.type]}", declared_length(stream), own)):
        if declared is not None and held < declared - slack:
            raise MediaError(path, f"is cut: {what} declares {float(declared):.3f} s and holds {float(held):.3f} s")


def declared_length(stream: Any) -> Fraction | None:
    """What the container declares for the stream, in seconds; Matroska does so in a tag."""
    if stream.duration:
        return stream.duration * stream.time_base
    try:
        hours, minutes, seconds = (Fraction(part) for part in stream.metadata.get("DURATION", "").split(":"))
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _ticks(stream: Any) -> Fraction:
    """The length of a packet that does not say it."""
    return _frame_length(stream) / stream.time_base


def _frame_length(stream: Any) -> Fraction:
    return 1 / stream.average_rate if stream.type == "video" and stream.average_rate else Fraction(0)
