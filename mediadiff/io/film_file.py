"""Writing sound and picture together with PyAV: mp4, webm, mkv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.io import colour, tags
from mediadiff.io.resampling import at_rate, nearest_rate

_BITEXACT = 1 << 23  # FFmpeg's codec flag: no version, no time in the stream
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


@dataclass(frozen=True)
class Film:
    """A container with its codecs; calling it writes a clip.

    The same clip gives the same bytes: one thread, no time stamps, no random numbers in the file.
    """

    container: str
    picture_codec: str
    pixels: str
    picture_options: Mapping[str, str]
    sound_codec: str
    sound_format: str
    bits_per_second: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    is_even: bool = False  # width and height are padded to even numbers

    def __call__(self, clip: Clip, path: Path) -> None:
        import av

        # an absolute path: a name such as "http:x.mp4" would be taken for an address
        options = {"fflags": "+bitexact", **self.options}
        if self.container == "mp4" and clip.sound is not None:
            # the clock of the edit list, which says where the sound ends
            options["movie_timescale"] = str(clip.sound.sample_rate)
        with av.open(str(path.absolute()), "w", format=self.container, options=options) as container:
            if text := tags.pack(tags.of(clip)):
                container.metadata["comment"] = text
            picture = None if clip.picture is None else self._add_picture(container, clip.picture)
            sound = None if clip.sound is None else self._add_sound(container, clip.sound)
            if clip.picture is not None:
                self._mux_picture(container, picture, clip.picture)
            if clip.sound is not None:
                self._mux_sound(container, sound, clip.sound)

    def _add_picture(self, container: Any, picture: Picture) -> Any:
        stream = container.add_stream(self.picture_codec, rate=picture.rate, options=dict(self.picture_options))
        codec = stream.codec_context
        height, width = picture.frames.shape[1:3]
        codec.width, codec.height = (width + width % 2, height + height % 2) if self.is_even else (width, height)
        codec.pix_fmt = self.pixels
        codec.time_base = 1 / picture.rate
        codec.thread_count = 1
        codec.flags |= _BITEXACT
        if self.pixels.startswith("yuv"):
            codec.colorspace = codec.color_primaries = codec.color_trc = colour.BT709
            codec.color_range = colour.LIMITED
        return stream

    def _mux_picture(self, container: Any, stream: Any, picture: Picture) -> None:
        codec = stream.codec_context
        height, width = picture.frames.shape[1:3]
        margin = ((0, codec.height - height), (0, codec.width - width), (0, 0))
        for number, pixels in enumerate(picture.frames):
            frame = colour.from_rgb(np.pad(pixels, margin, "edge"), self.pixels)
            frame.pts, frame.time_base = number, 1 / picture.rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    def _add_sound(self, container: Any, sound: Sound) -> Any:
        import av

        rates = av.Codec(self.sound_codec, "w").audio_rates or ()
        stream = container.add_stream(self.sound_codec, rate=nearest_rate(sound.sample_rate, rates))
        codec = stream.codec_context
        codec.layout, codec.format = LAYOUTS[sound.channels], self.sound_format
        codec.thread_count = 1
        codec.flags |= _BITEXACT
        if self.bits_per_second is not None:
            codec.bit_rate = self.bits_per_second * sound.channels
        return stream

    def _mux_sound(self, container: Any, stream: Any, sound: Sound) -> None:
        import av

        codec = stream.codec_context
        sound = at_rate(sound, codec.sample_rate)
        samples = np.ascontiguousarray(sound.samples)
        if self.sound_codec == "flac":
            # FFmpeg cuts to FLAC's 24 bits; rounded, the same clip is the same in wav, flac and mkv
            samples = np.rint(samples * np.float32(2**23)) / np.float32(2**23)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=LAYOUTS[sound.channels])
        frame.sample_rate, frame.pts, frame.time_base = sound.sample_rate, 0, Fraction(1, sound.sample_rate)
        cutter = av.AudioResampler(format=self.sound_format, frame_size=codec.frame_size)
        for part in [*cutter.resample(frame), *cutter.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
