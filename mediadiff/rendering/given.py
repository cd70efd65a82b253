"""What a clip is given: the streams of files, fitted to the model, and which of their time steps are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.domains.base import Domain
from mediadiff.errors import MediaError, UsageError
from mediadiff.rendering.request import WHOLE, Request, Source

FEATHER = Fraction(1, 100)
"""Seconds inside a kept part of sound, at an edge where it meets what is made, in which one fades into the other."""


@dataclass(frozen=True, eq=False)
class Material:
    """A stream of a given file, as long as the clip or longer."""

    media: Sound | Picture
    """At the model's rate and size, whole time steps."""
    x: Tensor
    """The same, encoded: `[C, T, H, W]`."""
    known: Tensor
    """bool `[T]`: the steps that are kept."""
    ranges: tuple[tuple[Fraction, Fraction], ...]
    """The seconds that are kept."""
    own: Sound | Picture | None
    """Where the stream is given whole: the clip's stream, as the file has it."""

    def part(self, begin: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """`count` samples `[channels, N]` or frames `[N, H, W, 3]` from `begin` on, and the share of each, 0 to 1.

        Frames are kept or not; the share of samples rises and falls within `FEATHER` where kept meets made.
        """
        if isinstance(self.media, Picture):
            frames = self.media.frames[begin : begin + count]
            return frames, self.known.numpy()[begin : begin + count].astype(np.float32)
        rate, length = self.media.sample_rate, self.media.samples.shape[1]
        at = np.arange(begin, begin + count)
        share = np.zeros(count, np.float32)
        for low, high in self.ranges:
            first, last = round(low * rate), min(length, round(high * rate))
            fade = min(round(FEATHER * rate), (last - first) // 4)
            # From the middle of the first sample: no sample of the fade has all or nothing.
            rise = (at - first + 0.5) / max(1, fade) if first > 0 and fade else np.where(at >= first, 1.0, 0.0)
            fall = (last - at - 0.5) / max(1, fade) if last < length and fade else np.where(at < last, 1.0, 0.0)
            share = np.maximum(share, np.sin(np.clip(np.minimum(rise, fall), 0, 1) * np.pi / 2) ** 2)
        return self.media.samples[:, begin : begin + count], share.astype(np.float32)


def materials(
    request: Request, domains: Mapping[str, Domain], seconds: Fraction, steps: Mapping[str, int]
) -> tuple[dict[str, Material], dict[str, Tensor]]:
    """What a request is given, by stream, and what it varies: `[C, T, H, W]` of every stream, or nothing.

    `seconds` is the clip's length and `steps` how many time steps each stream is made in. UsageError or MediaError for
    a file that is not there, has changed, lacks a stream or is too short.
    """
    given = {}
    for one in request.given:
        for name, keep in one.keep.items():
            whole = ((Fraction(0), None),) if keep == WHOLE else keep
            given[name] = _material(request, one.source, domains[name], whole, seconds, steps[name], keep == WHOLE)
        if not any(bool(given[name].known.any()) for name in one.keep):
            raise UsageError(f"what is to be kept of {one.source.name} is shorter than one time step of the model")
    start: dict[str, Tensor] = {}
    for name, domain in domains.items() if request.start else ():
        assert request.start is not None
        media = _fitted(_path(request, request.start), request.start, domain, seconds, steps[name], seconds)
        start[name] = _encoded(domain, media, steps[name], request.start)
    return given, start


def notes(request: Request, domains: Mapping[str, Domain], seconds: Fraction) -> list[str]:
    """How the files of a request are fitted to the model, in words. MediaError for a file without the stream."""
    said = []
    for source, name, keep in _uses(request, domains):
        changes = list(_changes(_path(request, source), source, domains[name], seconds))
        if changes:
            whole = "; the clip has it as the file does" if keep == WHOLE else ""
            said.append(f"{source.name}: for the model, its {name} is {', '.join(changes)}{whole}")
    return said


def _uses(request: Request, domains: Mapping[str, Domain]) -> Iterator[tuple[Source, str, Any]]:
    """Every file, each stream of it that is used, and what is kept of that."""
    for one in request.given:
        yield from ((one.source, name, keep) for name, keep in one.keep.items())
    if request.start:
        yield from ((request.start, name, ()) for name in domains)


def _changes(path: str, source: Source, domain: Any, seconds: Fraction) -> Iterator[str]:
    from mediadiff.io.probe import probe

    info = getattr(probe(path), domain.medium)
    if info is None:
        raise MediaError(source.name, f"has no {domain.medium}")
    if domain.medium == "sound":
        if info.sample_rate != domain.sample_rate:
            yield f"resampled from {info.sample_rate} to {domain.sample_rate} Hz"
        if info.channels != domain.channels:
            yield f"mixed from {info.channels} to {domain.channels} channels"
    else:
        if info.size != (domain.height, domain.width):
            (height, width), (high, wide) = info.size, (domain.height, domain.width)
            yield f"scaled and cropped from {width}x{height} to {wide}x{high}"
        if info.is_still:
            yield "held as long as the clip"
        elif info.rate != domain.rate:
            yield f"picked by time from {info.rate} to {domain.rate} frames a second"
    if info.seconds is not None and info.seconds > seconds + 1 / domain.rate and not getattr(info, "is_still", False):
        yield f"cut at {float(seconds):g} s of {float(info.seconds):g} s"


def _material(
    request: Request, source: Source, domain: Any, keep: Sequence[Any], seconds: Fraction, steps: int, whole: bool
) -> Material:
    path, length = _path(request, source), steps / domain.rate
    ranges = tuple((low, length if high is None or whole else high) for low, high in keep)
    for low, high in ranges:
        if low >= seconds or (high > seconds and high != length):
            raise UsageError(
                f"keep {float(low):g}:{float(high):g}s of {source.name} does not lie within the clip, which lasts "
                f"{float(seconds):g} s; make it longer with --seconds"
            )
    needed = min(seconds, max(high for _, high in ranges))
    media = _fitted(path, source, domain, seconds, steps, needed)
    known = torch.zeros(steps, dtype=torch.bool)
    begins = [Fraction(step) / domain.rate for step in range(steps)]
    for low, high in ranges:
        # A step is known where all that its values come from is kept; beyond the ends of the clip there is nothing.
        here = [
            (low == 0 or begin - domain.reach >= low)
            and (high >= length or max(begin + 1 / domain.rate, begin + domain.reach) <= high)
            for begin in begins
        ]
        known |= torch.tensor(here)
    own = None
    if whole:
        own = _read(path, source.sha256, domain.medium, None, None, None, seconds)
        if isinstance(own, Picture) and own.is_still:
            own = _lasting(Picture(own.frames, domain.rate), seconds)
    return Material(media, _encoded(domain, media, steps, source), known, ranges, own)


def _fitted(path: str, source: Source, domain: Any, seconds: Fraction, steps: int, needed: Fraction) -> Sound | Picture:
    """The file's stream at the domain's rate and size: `steps` time steps, filled with silence or its last frame.

    MediaError where it has less than the `needed` seconds, by more than a time step.
    """
    length = steps / domain.rate
    if domain.medium == "sound":
        sound = _read(path, source.sha256, "sound", domain.sample_rate, domain.channels, None, length)
        assert isinstance(sound, Sound)
        _long_enough(sound, source, domain, seconds, needed)
        return Sound(
            np.pad(sound.samples, ((0, 0), (0, round(length * domain.sample_rate) - sound.samples.shape[1]))),
            sound.sample_rate,
        )
    picture = _read(path, source.sha256, "picture", domain.rate, None, (domain.height, domain.width), length)
    assert isinstance(picture, Picture)
    if not picture.is_still:
        _long_enough(picture, source, domain, seconds, needed)
    return _lasting(picture, length)


def _long_enough(stream: Sound | Picture, source: Source, domain: Domain, seconds: Fraction, needed: Fraction) -> None:
    if stream.seconds < needed - 1 / domain.rate:
        last = float(stream.seconds)
        remedy = f"make the clip as short with --seconds {last:g}" if needed >= seconds else "keep less of it"
        raise MediaError(
            source.name,
            f"its {domain.medium} lasts {last:g} s, and {float(needed):g} s of it are needed: {remedy}, "
            "or give a longer file",
        )


def _lasting(picture: Picture, seconds: Fraction) -> Picture:
    """The picture with its last frame held until `seconds`; one that is longer already stays as it is."""
    missing = max(0, math.ceil(seconds * picture.rate) - len(picture.frames))
    return Picture(np.pad(picture.frames, ((0, missing), (0, 0), (0, 0), (0, 0)), mode="edge"), picture.rate)


def _encoded(domain: Domain, media: Sound | Picture, steps: int, source: Source) -> Tensor:
    if isinstance(media, Sound) and not np.isfinite(media.samples).all():
        raise MediaError(source.name, "its sound has samples that are not finite (NaN or infinity)")
    return domain.encode(media).float()[:, :steps]


def _path(request: Request, source: Source) -> str:
    """Where a source lies. MediaError where that is not told."""
    path = request.files.get(source.sha256)
    if path is None:
        wanted = f"say where the file with sha256 {source.sha256[:16]} lies (replay: --file)"
        raise MediaError(source.name, f"is needed for this clip: {wanted}")
    return path


@lru_cache(maxsize=8)
def _read(
    path: str, sha256: str, medium: str, rate: Any, channels: int | None, size: Any, seconds: Fraction
) -> Sound | Picture:
    """One stream of a file, its first `seconds`. MediaError where the file is not the one that was asked for."""
    from mediadiff.io.files import sha256 as hash_of
    from mediadiff.io.probe import probe
    from mediadiff.io.read import read

    try:
        found = hash_of(path)
    except OSError as error:
        raise MediaError(path, error.strerror or str(error)) from error
    if found != sha256:
        raise MediaError(path, "has changed since the clip was asked for")
    shown = getattr(probe(path), medium)
    if shown is None:
        raise MediaError(path, f"has no {medium}")
    # A whole number of samples or frames, the last of which may begin within the last moment.
    own = Fraction(rate or (shown.sample_rate if medium == "sound" else shown.rate))
    whole = math.ceil(seconds * own) / own
    if medium == "sound":
        clip: Clip = read(path, picture=False, sample_rate=rate, channels=channels, max_seconds=whole)
        assert clip.sound is not None
        return clip.sound
    clip = read(path, sound=False, rate=rate, size=size, max_seconds=whole)
    assert clip.picture is not None
    return clip.picture
