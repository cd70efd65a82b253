"""Views: what the classifiers see of a stream, as tensors of one size, and the augmentations they are trained with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError

FLOOR_DB = -40.0
"""Far enough down for speech; hiss below it, which a domain may leave out, makes no clip look different."""


@dataclass(frozen=True)
class SoundView:
    """Sound as a log-mel picture, relative to the loudest cell of the clip.

    Loudness is left out on purpose (it has figures of its own), and everything 40 dB under the loudest cell is one
    floor, so that digital silence and a faint rendered hiss look the same.
    """

    sample_rate: int
    seconds: float
    bands: int = 64
    frame: float = 0.032
    hop: float = 0.016

    def prepare(self, clips: Sequence[Clip]) -> Tensor:
        """float32 waves `[B, N]`: mono, at this view's rate, cut or padded with silence to `seconds`."""
        n = round(self.sample_rate * self.seconds)
        waves = np.zeros((len(clips), n), np.float32)
        for i, clip in enumerate(clips):
            wave = self._mono(sound_of(clip))[:n]
            waves[i, : len(wave)] = wave
        return torch.from_numpy(waves)

    def augment(self, waves: Tensor, generator: torch.Generator) -> Tensor:
        """The same waves moved in time by up to an eighth of the window, some with hiss at 15 to 55 dB below."""
        b, n = waves.shape
        reach = n // 8
        shift = torch.randint(-reach, reach + 1, (b, 1), generator=generator)
        place = torch.arange(n) - shift
        moved = waves.gather(1, place.clamp(0, n - 1)) * ((place >= 0) & (place < n))
        level = 10 ** (-(15 + 40 * torch.rand(b, 1, generator=generator)) / 20)
        level = level * (torch.rand(b, 1, generator=generator) < 0.5) * moved.square().mean(1, keepdim=True).sqrt()
        return moved + level * torch.randn(b, n, generator=generator)

    def image(self, waves: Tensor) -> Tensor:
        """float32 `[B, 1, bands, T]` in 0..1: mel power in dB, the loudest cell 1, 40 dB below it and less 0."""
        size = round(self.sample_rate * self.frame)
        spectrum = torch.stft(
            waves,
            size,
            round(self.sample_rate * self.hop),
            window=torch.hann_window(size),
            return_complex=True,
            pad_mode="constant",
        )
        power = _mel(size, self.sample_rate, self.bands) @ (spectrum.real.square() + spectrum.imag.square())
        decibels = 10 * torch.log10(power / power.amax((1, 2), keepdim=True).clamp_min(1e-10) + 1e-10)
        return (1 - decibels / FLOOR_DB).clamp(0, 1)[:, None]

    def mask(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The same pictures, each with one stripe of bands and one of steps put out (up to an eighth of each)."""
        b, _, h, w = images.shape
        return images * _keep(b, h, generator)[:, None, :, None] * _keep(b, w, generator)[:, None, None, :]

    def _mono(self, sound: Sound) -> np.ndarray:
        wave = np.nan_to_num(sound.samples).mean(0)
        if sound.sample_rate == self.sample_rate:
            return wave
        from scipy.signal import resample_poly

        common = math.gcd(sound.sample_rate, self.sample_rate)
        out: np.ndarray = resample_poly(wave, self.sample_rate // common, sound.sample_rate // common)
        return out.astype(np.float32)


@dataclass(frozen=True)
class PictureView:
    """A picture as a few frames evenly spread over the clip, and the change from each to the next."""

    height: int
    width: int
    frames: int = 4

    def prepare(self, clips: Sequence[Clip]) -> Tensor:
        """float32 `[B, frames * 3, height, width]` in 0..1; a clip with fewer frames repeats some."""
        size = (self.height, self.width)
        out = []
        for clip in clips:
            frames = picture_of(clip).frames
            place = np.linspace(0, len(frames) - 1, self.frames).round().astype(int)
            chosen = torch.from_numpy(np.ascontiguousarray(frames[place])).permute(0, 3, 1, 2).float() / 255
            if chosen.shape[2:] != size:
                chosen = F.interpolate(chosen, size, mode="bilinear", antialias=True, align_corners=False)
            out.append(chosen.flatten(0, 1))
        return torch.stack(out)

    def augment(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """The same pictures moved by up to an eighth of each side, in other light, with a little noise."""
        b = len(pictures)
        theta = torch.eye(2, 3).expand(b, 2, 3).clone()
        theta[:, :, 2] = 0.25 * (2 * torch.rand(b, 2, generator=generator) - 1)
        grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
        moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        gain = 0.8 + 0.4 * torch.rand(b, 1, 1, 1, generator=generator)
        lift = 0.2 * (torch.rand(b, 1, 1, 1, generator=generator) - 0.5)
        return (moved - 0.5) * gain + 0.5 + lift + 0.03 * torch.randn(moved.shape, generator=generator)

    def image(self, pictures: Tensor) -> Tensor:
        """float32 `[B, (2 * frames - 1) * 3, height, width]`: the frames about 0, then their differences."""
        frames = pictures.unflatten(1, (self.frames, 3))
        change = (frames[:, 1:] - frames[:, :-1]).flatten(1, 2) * 4
        return torch.cat([pictures * 2 - 1, change], 1)

    def mask(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The same pictures, each with one patch put out (up to an eighth of each side)."""
        b, _, h, w = images.shape
        rows, columns = 1 - _keep(b, h, generator), 1 - _keep(b, w, generator)
        return images * (1 - rows[:, None, :, None] * columns[:, None, None, :])


View = SoundView | PictureView


def sound_of(clip: Clip) -> Sound:
    """The clip's sound; a UsageError where it has none."""
    if clip.sound is None:
        raise UsageError("this measure needs clips with sound; got one with picture only")
    return clip.sound


def picture_of(clip: Clip) -> Picture:
    """The clip's picture; a UsageError where it has none."""
    if clip.picture is None:
        raise UsageError("this measure needs clips with picture; got one with sound only")
    return clip.picture


def _keep(count: int, size: int, generator: torch.Generator) -> Tensor:
    start = torch.rand(count, 1, generator=generator) * size
    length = torch.rand(count, 1, generator=generator) * size / 8
    place = torch.arange(size)
    return 1 - ((place >= start) & (place < start + length)).float()


@cache
def _mel(size: int, rate: int, bands: int) -> Tensor:
    """Triangles `[bands, size // 2 + 1]`, evenly spaced on the mel scale of O'Shaughnessy (1987), unit peak.

    A band narrower than one bin takes the nearest bin, so that none is empty.
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    hertz = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.arange(size // 2 + 1, dtype=torch.float64) * rate / size
    low, mid, high = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
    up, down = (bins - low) / (mid - low), (high - bins) / (high - mid)
    weights = torch.minimum(up, down).clamp_min(0)
    nearest = F.one_hot((bins - mid).abs().argmin(1), len(bins)).double()
    return torch.where(weights.sum(1, keepdim=True) > 0, weights, nearest).float()
