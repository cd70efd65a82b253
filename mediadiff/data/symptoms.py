"""What can be wrong with a clip that decodes well: silence, clipping, a constant offset, nothing that moves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.data.encode import read_item
from mediadiff.data.folder import Item
from mediadiff.data.settings import DataSettings
from mediadiff.domains.base import Domain

_SILENT = 10 ** (-60 / 20)
_TRIPS = 5
_LOST_DB, _LOST_LEVELS = -10.0, 2.0


def of_clip(clip: Clip, window: float | None = None) -> list[str]:
    """What is odd about the clip, a text for each oddity; empty if nothing is.

    `window` is the training window in seconds, if there is one.
    """
    odd = []
    if clip.sound is not None:
        odd += _of_sound(clip.sound)
    if clip.picture is not None:
        odd += _of_picture(clip.picture, window)
    if clip.sound is not None and clip.picture is not None and not clip.picture.is_still:
        if abs(clip.sound.seconds - clip.picture.seconds) > Fraction(1, 10):
            odd.append("sound and picture end over 0.1 s apart; the common part is used")
    if window is not None and float(clip.seconds) < window / 4 and not (clip.picture and clip.picture.is_still):
        odd.append(f"fills less than a quarter of the window of {window:g} s")
    return odd


def _of_sound(sound: Sound) -> list[str]:
    samples = sound.samples
    if not samples.size:
        return ["no samples"]
    odd = []
    if not np.isfinite(samples).all():
        odd.append("samples that are not finite (NaN or infinity)")
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(np.abs(samples).max())
    offset = np.abs(samples.mean(1)).max()
    if peak < _SILENT:
        odd.append("silent (below -60 dB)")
    elif _loud_part(samples, sound.sample_rate) < 0.1:
        odd.append("silent for over nine tenths of its length")
    if peak > 1.001:
        odd.append("above full scale (over 1.0), which is kept")
    if _clipped_part(samples) > 0.001:
        odd.append("clipped (runs of samples at the peak)")
    if offset > 0.02:
        odd.append("a constant offset above 0.02 (DC)")
    return odd


def _loud_part(samples: np.ndarray, sample_rate: int) -> float:
    """The part of 20 ms blocks that lies above -60 dB (root of the mean square)."""
    block = max(1, sample_rate // 50)
    count = max(1, samples.shape[1] // block)
    blocks = samples[:, : count * block].reshape(samples.shape[0], count, -1)
    return float((np.sqrt((blocks**2).mean((0, 2))) > _SILENT).mean())


def _clipped_part(samples: np.ndarray) -> float:
    """The part of samples that lie in runs of three or more at the peak."""
    magnitude = np.abs(samples)
    peak = magnitude.max()
    if peak < 0.5:
        return 0.0
    at_peak = magnitude >= 0.999 * peak
    runs = at_peak[:, :-2] & at_peak[:, 1:-1] & at_peak[:, 2:]
    inside = np.zeros_like(at_peak)
    for begin in range(3):
        inside[:, begin : begin + runs.shape[1]] |= runs
    return float(inside.mean())


def _of_picture(picture: Picture, window: float | None) -> list[str]:
    if not len(picture.frames):
        return ["no frames"]
    odd = []
    if int(picture.frames.max()) - int(picture.frames.min()) <= 2:
        odd.append("of one colour throughout")
    elif picture.is_still:
        if window is not None and window * picture.rate > 1:
            odd.append("a still image in a recipe for moving picture; it is held")
    elif all(np.array_equal(frame, picture.frames[0]) for frame in picture.frames[1:]):
        odd.append("nothing moves")
    return odd


def round_trip(
    items: Sequence[Item], domains: Mapping[str, Domain], seconds: Fraction, settings: DataSettings
) -> list[tuple[str, bool]]:
    """Takes some files through each domain and back: for each a text, and whether the signal is lost on the way.

    Sound is measured by spectral convergence in dB, picture by the mean error in 256 levels.
    """
    places = np.unique(np.linspace(0, len(items) - 1, min(_TRIPS, len(items))).round().astype(int))
    short = replace(settings, keep=min(settings.keep, 10.0))
    clips = [read_item(items[place], domains, seconds, short) for place in places]
    texts = []
    for name, domain in domains.items():
        if domain.medium == "sound":
            losses = [_sound_loss(clip.sound, domain) for clip in clips if clip.sound is not None]
            unit, limit = "dB of spectral convergence", _LOST_DB
        else:
            losses = [_picture_loss(clip.picture, domain) for clip in clips if clip.picture is not None]
            unit, limit = "of 255 levels of mean error", _LOST_LEVELS
        if losses:
            worst = max(losses)
            text = f"{name} through its domain and back: {worst:.1f} {unit} at worst, of {len(losses)} files"
            is_lost = worst > limit
            texts.append((f"{text}; above {limit:g} the signal is lost on the way" if is_lost else text, is_lost))
    return texts


def _sound_loss(sound: Sound, domain: Domain) -> float:
    if np.abs(sound.samples).max(initial=0) < _SILENT:
        return -math.inf
    back = domain.decode(domain.encode(sound))
    assert isinstance(back, Sound)
    length = min(back.samples.shape[1], sound.samples.shape[1])
    size = getattr(domain, "n_fft", 512)
    there, again = (_magnitude(samples[:, :length], size) for samples in (sound.samples, back.samples))
    return 20 * math.log10(max(1e-8, float((there - again).norm() / there.norm())))


def _magnitude(samples: np.ndarray, size: int) -> torch.Tensor:
    x = torch.nn.functional.pad(torch.from_numpy(samples), (0, max(0, size - samples.shape[1])))
    return torch.stft(x, size, size // 4, window=torch.hann_window(size), return_complex=True).abs()


def _picture_loss(picture: Picture, domain: Domain) -> float:
    back = domain.decode(domain.encode(picture))
    assert isinstance(back, Picture)
    return float(np.abs(back.frames.astype(np.int16) - picture.frames).mean())
