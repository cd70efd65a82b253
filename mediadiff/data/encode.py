"""One file of media as the core sees it: decoded at the domains' rates, filled up to the window, encoded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.data import bounce
from mediadiff.data.folder import Item
from mediadiff.data.settings import DataSettings
from mediadiff.domains.base import Domain
from mediadiff.errors import MediaError, UsageError

_LARGEST = 1000.0  # encoded values are near unit scale; the cache's half precision would hold up to 65504


def encode_item(
    item: Item, domains: Mapping[str, Domain], seconds: Fraction, settings: DataSettings
) -> dict[str, torch.Tensor]:
    """`read_item`, then `encode_clip`."""
    return encode_clip(read_item(item, domains, seconds, settings), item.path, domains, seconds)


def read_item(item: Item, domains: Mapping[str, Domain], seconds: Fraction, settings: DataSettings) -> Clip:
    """The item's file by `read_for` and at the settings' loudness, or the clip of `seconds` made in its place."""
    if item.generated is None:
        clip = read_for(item.path, domains, settings.keep)
        return clip if settings.loudness is None else at_loudness(clip, settings.loudness)
    by_medium: dict[str, Any] = {domain.medium: domain for domain in domains.values()}
    sound, picture = by_medium.get("sound"), by_medium.get("picture")
    return bounce.clip(
        item.generated.settings,
        item.generated.index,
        float(seconds),
        (picture.height, picture.width) if picture else None,
        Fraction(picture.frame_rate) if picture else Fraction(1),
        sound.sample_rate if sound else None,
        sound.channels if sound else 1,
    )


def encode_clip(clip: Clip, path: Path, domains: Mapping[str, Domain], seconds: Fraction) -> dict[str, torch.Tensor]:
    """Each stream that the clip has as float32 `[C, T, H, W]`, `T` at least the window's; see `EncodedSet.open`.

    Raises MediaError, naming `path`, if a stream holds values that are not finite.
    """
    streams = {"sound": clip.sound, "picture": clip.picture}
    # A still image has no length of its own: it is held for as long as the sound, or the window, lasts.
    lengths = [stream.seconds for stream in streams.values() if stream and not getattr(stream, "is_still", False)]
    common = min(lengths, default=seconds)
    out = {}
    for name, domain in domains.items():
        stream = streams[domain.medium]
        if stream is None:
            continue
        window = domain.steps(seconds)
        if isinstance(stream, Sound):
            if not np.isfinite(stream.samples).all():
                raise MediaError(path, "its sound has samples that are not finite (NaN or infinity)")
            stream = _pad_sound(stream, math.ceil(window / domain.rate * stream.sample_rate))
        else:
            frame_rate = Fraction(getattr(domain, "frame_rate", domain.rate))
            length = max(window / domain.rate, common) if stream.is_still else window / domain.rate
            stream = _hold(stream, math.ceil(length * frame_rate), frame_rate)
        x = domain.encode(stream).float()
        if x.shape[1] < window:
            raise UsageError(
                f"the domain of {name!r} encodes {window} steps as {x.shape[1]}; its shape() does not hold"
            )
        x = x[:, : max(window, math.ceil(common * domain.rate))]
        if not x.isfinite().all() or x.abs().max() > _LARGEST:
            raise MediaError(path, f"its {domain.medium} encodes to values that are not finite or far from unit scale")
        out[name] = x.contiguous()
    return out


def read_for(path: Path, domains: Mapping[str, Domain], keep: float) -> Clip:
    """The file decoded at the rates, channels and size of the domains; a stream that the file lacks stays None."""
    from mediadiff.io.probe import probe
    from mediadiff.io.read import read

    # Checked here once: a domain of sound has sample_rate and channels, one of picture height, width and frame_rate.
    by_medium: dict[str, Any] = {domain.medium: domain for domain in domains.values()}
    if len(by_medium) < len(domains):
        raise UsageError("a recipe has at most one stream of sound and one of picture")
    info = probe(path)
    has = {"sound": info.sound is not None, "picture": info.picture is not None}
    wanted = [medium for medium in by_medium if has[medium]]
    if not wanted:
        raise MediaError(path, f"it has no {' and no '.join(by_medium)}")
    sound = by_medium["sound"] if "sound" in wanted else None
    picture = by_medium["picture"] if "picture" in wanted else None
    return read(
        path,
        sound=sound is not None,
        picture=picture is not None,
        sample_rate=sound.sample_rate if sound else None,
        channels=sound.channels if sound else None,
        rate=Fraction(picture.frame_rate) if picture else None,
        size=(picture.height, picture.width) if picture else None,
        max_seconds=keep,
    )


def at_loudness(clip: Clip, decibels: float) -> Clip:
    """The clip with the root mean square of its sound at `decibels` below full scale; silence stays silence."""
    if clip.sound is None:
        return clip
    level = math.sqrt(np.square(clip.sound.samples, dtype=np.float64).mean()) if clip.sound.samples.size else 0.0
    # What is not finite is refused later, by name.
    gain = 10 ** (decibels / 20) / level if 0 < level < math.inf else 1.0
    return replace(clip, sound=Sound(clip.sound.samples * np.float32(gain), clip.sound.sample_rate))


def _pad_sound(sound: Sound, samples: int) -> Sound:
    missing = samples - sound.samples.shape[1]
    if missing <= 0:
        return sound
    return Sound(np.pad(sound.samples, ((0, 0), (0, missing))), sound.sample_rate)


def _hold(picture: Picture, frames: int, rate: Fraction) -> Picture:
    """The picture with its last frame held until it has `frames` frames at `rate`: its own, if it is moving."""
    missing = max(0, frames - len(picture.frames))
    return Picture(np.pad(picture.frames, ((0, missing), (0, 0), (0, 0), (0, 0)), mode="edge"), rate)
