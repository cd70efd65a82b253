"""Small media for the tests of reading and writing."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mediadiff.clip import Picture, Sound


def tone(seconds: float = 1.0, sample_rate: int = 16_000, hertz: float = 440.0, channels: int = 1) -> Sound:
    """A sine at half of full scale; channel c has c more periods per second."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    waves = [np.sin(2 * np.pi * (hertz + channel) * time) for channel in range(channels)]
    return Sound((0.5 * np.stack(waves)).astype(np.float32), sample_rate)


def ramps(frames: int = 24, size: tuple[int, int] = (48, 64), rate: Fraction | int = 25) -> Picture:
    """Smooth colours that drift, so that every frame differs and codecs have an easy time."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    across, down = columns / max(1, size[1] - 1), rows / max(1, size[0] - 1)
    drawn = [
        np.stack([255 * across, 255 * down, 128 + 90 * np.sin(3 * across + number / 4)], axis=-1)
        for number in range(frames)
    ]
    return Picture(np.stack(drawn).round().astype(np.uint8), Fraction(rate))


def numbered(frames: int, rate: Fraction | int = 25) -> Picture:
    """Flat grey frames 32x32 whose level is 8 times their number, for tests of timing."""
    levels = (np.arange(frames, dtype=np.uint8) * 8)[:, None, None, None]
    return Picture(np.broadcast_to(levels, (frames, 32, 32, 3)).copy(), Fraction(rate))


def mux(
    path: Path,
    frames: Iterable[tuple[np.ndarray, Fraction]] = (),
    sound: Sound | None = None,
    sound_start: Fraction = Fraction(0),
    turn: int = 0,
    aspect: Fraction = Fraction(1),
    tags: dict[str, str] | None = None,
) -> Path:
    """A Matroska or MP4 file, by its ending, of lossless frames at given times, and of PCM or ALAC sound.

    Times are kept to 1/1000 s; the last frame lasts 1/10 s; `turn` is the rotation in degrees that players apply
    (MP4 alone).
    """
    frames = list(frames)
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        clock = Fraction(1, 1000)
        picture = voice = None
        if frames:
            picture = container.add_stream("libx264rgb", options={"qp": "0", "bf": "0"}, rate=1000)
            picture.width, picture.height, picture.pix_fmt = frames[0][0].shape[1], frames[0][0].shape[0], "rgb24"
            picture.codec_context.time_base = clock
            picture.codec_context.sample_aspect_ratio = aspect
            if turn:
                picture.set_display_rotation(turn)
        if sound is not None:
            voice = container.add_stream("flac" if path.suffix == ".mkv" else "alac", rate=sound.sample_rate)
            voice.layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound.channels]
        packets: list[av.Packet] = []
        for pixels, time in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time / clock), clock
            packets += picture.encode(frame)
        packets += [] if picture is None else picture.encode(None)
        for packet in packets:
            packet.duration = round(Fraction(1, 10) / packet.time_base)
        container.mux(packets)
        if voice is not None:
            whole = av.AudioFrame.from_ndarray(sound.samples, format="fltp", layout=voice.layout)
            whole.sample_rate, whole.time_base = sound.sample_rate, Fraction(1, sound.sample_rate)
            whole.pts = round(sound_start * sound.sample_rate)
            cutter = av.AudioResampler(format=voice.format.name, frame_size=voice.frame_size)
            for part in [*cutter.resample(whole), *cutter.resample(None)]:
                container.mux(voice.encode(part))
            container.mux(voice.encode(None))
    return path
