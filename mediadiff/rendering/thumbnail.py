"""Small pictures of clips, drawn in milliseconds: a spectrogram for sound, a contact sheet for film."""

from __future__ import annotations

import io
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.io.files import write_bytes
from mediadiff.rendering.page import PICTURES

SOUND_SIZE = (320, 140)
"""Width and height in pixels of a picture of sound."""

_WAVE = 36  # rows of the waveform; the spectrogram has the rest
_FLOOR_DB, _TOP_DB = -90.0, -10.0  # of the colours, below full scale
_MOST_FRAMES, _SIDE, _GAP = 12, 96, 2
_PAPER, _LINE, _LOUD, _INK = 252, 253, 254, 255  # colours after those of the spectrogram
_TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000)


def draw(clip: Clip, folder: str | Path, stem: str) -> list[str]:
    """Draws the clip into `folder`; returns the pictures' paths relative to it, `pictures/STEM-....png`.

    A film is shown by `STEM-frames.png`, a contact sheet of up to 12 frames; a still needs no other picture. Sound is
    shown by `STEM-sound.png`: the waveform, its height the square root of the samples, full scale at the edges and red
    above it; below it the spectrogram, mel frequency upwards, its colours from 90 to 10 dB below full scale. Each file
    is written whole or not at all, and the same clip gives the same bytes. Raises UsageError when `stem` is no file's
    name, and DiskFullError.
    """
    if not stem or "/" in stem or "\0" in stem:
        raise UsageError(f"a picture's stem is the name of a file without its folder; got {stem!r}")
    drawn = {}
    if clip.picture is not None and len(clip.picture.frames) > 1:
        drawn["frames"] = _contact_sheet(clip.picture)
    if clip.sound is not None:
        drawn["sound"] = _sound_image(clip.sound)
    names = []
    for what, image in drawn.items():
        data = io.BytesIO()
        image.save(data, "PNG", compress_level=1)
        names.append(f"{PICTURES}/{stem}-{what}.png")
        write_bytes(Path(folder) / names[-1], data.getvalue())
    return names


def _sound_image(sound: Sound) -> Image.Image:
    samples = np.nan_to_num(sound.samples, nan=0.0, posinf=0.0, neginf=0.0)
    if samples.shape[1] == 0:
        samples = np.zeros((1, 1), np.float32)
    width, height = SOUND_SIZE
    heights = height - _WAVE
    unit = (_decibels(samples, sound.sample_rate, width, heights) - _FLOOR_DB) / (_TOP_DB - _FLOOR_DB)
    pixels = np.concatenate([_wave(samples, width), (unit * (_PAPER - 1)).round().astype(np.uint8)[::-1]])
    image = Image.fromarray(pixels)
    image.putpalette(_PALETTE)
    pen, font = ImageDraw.Draw(image), _font()
    for hertz in _TICKS_HZ:
        row = height - round(float(heights * _mel(hertz) / _mel(sound.sample_rate / 2)))
        if row > _WAVE + 6:
            pen.line((0, row, 3, row), _INK)
            pen.text((6, row - 6), f"{hertz / 1000:g}k", _INK, font=font)
    return image


def _wave(samples: np.ndarray, width: int) -> np.ndarray:
    """The waveform of `[channels, N]` as colours `[rows, width]`: from the lowest to the highest sample of a column."""
    starts = np.arange(width) * samples.shape[1] // width
    top = np.maximum.reduceat(samples.max(0), starts)
    foot = np.minimum.reduceat(samples.min(0), starts)
    # Square roots: a clip at a hundredth of full scale can be seen, and a louder one is still higher.
    heights = (np.sign(edge) * np.sqrt(np.minimum(np.abs(edge), 1)) for edge in (top, foot))
    first, last = (((1 - height) / 2 * (_WAVE - 1)).round() for height in heights)
    rows = np.arange(_WAVE)[:, None]
    ink = np.where((top > 1) | (foot < -1), _LOUD, _LINE)
    return np.where((rows >= first) & (rows <= last), ink, _PAPER).astype(np.uint8)


def _decibels(samples: np.ndarray, sample_rate: int, width: int, height: int) -> np.ndarray:
    """Decibels below full scale of the channels' mean power, `[height, width]` in mel bands, lowest first."""
    length = samples.shape[1]
    size = 2 ** max(6, round(math.log2(0.032 * sample_rate)))
    # A column of a long clip is the mean of a few windows, not of all: its picture costs little more.
    each = min(4, max(1, math.ceil(2 * length / (width * size))))
    starts = np.arange(width * each) * length // (width * each)
    window = np.hanning(size).astype(np.float32)
    power = np.zeros((width, size // 2 + 1), np.float32)
    for channel in samples:
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(channel, size // 2), size)
        spectrum = np.fft.rfft(windows[starts] * window)
        power += (spectrum.real**2 + spectrum.imag**2).reshape(width, each, -1).mean(1)
    power *= 1 / (len(samples) * (size / 4) ** 2)
    # The mean over a band of any width, of less than a bin too: what its two edges have below them, subtracted.
    edges = _hertz(np.linspace(0, _mel(sample_rate / 2), height + 1)) / (sample_rate / 2) * (size // 2 + 1)
    bins = np.minimum(edges.astype(int), size // 2)
    below = power.astype(np.float64).cumsum(axis=1) - power
    bands = np.diff(below[:, bins] + (edges - bins) * power[:, bins], axis=1) / np.diff(edges)
    return np.clip(10 * np.log10(np.maximum(bands.T, 1e-12)), _FLOOR_DB, _TOP_DB)


def _mel(hertz: float) -> float:
    return math.log1p(hertz / 700)


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * np.expm1(mel)


def _contact_sheet(picture: Picture) -> Image.Image:
    """Up to 12 frames, evenly spread from the first to the last, row by row, each as near to 96 pixels as fits."""
    count, height, width, _ = picture.frames.shape
    places = [round(i * (count - 1) / (min(count, _MOST_FRAMES) - 1)) for i in range(min(count, _MOST_FRAMES))]
    scale = _SIDE / max(height, width)
    if scale >= 1:  # whole, so that pixels stay square
        frames = picture.frames[places].repeat(int(scale), axis=1).repeat(int(scale), axis=2)
    else:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = [Image.fromarray(picture.frames[place]).resize(size, Image.Resampling.BOX) for place in places]
        frames = np.stack([np.asarray(image) for image in small])
    columns = min(len(frames), 4)
    height, width = frames.shape[1] + _GAP, frames.shape[2] + _GAP
    page = np.full((math.ceil(len(frames) / columns) * height, columns * width, 3), _COLOURS[0], np.uint8)
    for place, frame in enumerate(frames):
        top, left = place // columns * height, place % columns * width
        page[top : top + height - _GAP, left : left + width - _GAP] = frame
    return Image.fromarray(page[:-_GAP, :-_GAP])


@cache
def _font() -> Any:
    return ImageFont.load_default_imagefont()


def _palette() -> bytes:
    """256 colours: the spectrogram's, each lighter than the one before, then paper, line, loud and ink."""
    at = np.linspace(0, len(_COLOURS) - 1, _PAPER)
    ramp = np.stack([np.interp(at, range(len(_COLOURS)), channel) for channel in zip(*_COLOURS, strict=True)], axis=1)
    others = [_COLOURS[0], (120, 190, 230), (255, 90, 80), (235, 238, 245)]
    return np.concatenate([ramp, others]).round().astype(np.uint8).tobytes()


_COLOURS = ((12, 14, 24), (36, 44, 104), (44, 112, 142), (88, 180, 124), (214, 222, 92), (255, 252, 226))
_PALETTE = _palette()
