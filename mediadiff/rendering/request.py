"""What a clip is asked for by; with the model's weights it is all that the clip depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.domains.base import Domain
from mediadiff.errors import UsageError

WHOLE = "whole"
Range = tuple[Fraction, Fraction | None]
"""Seconds from and to; None is the clip's end."""


@dataclass(frozen=True)
class Source:
    """A file that a clip is made from, known by what it holds; where it lies is told by `Request.files`."""

    name: str
    """Its name without folders."""
    sha256: str


@dataclass(frozen=True)
class Given:
    """What a clip is given of a file: by stream all of it (`WHOLE`), or some ranges."""

    source: Source
    keep: Mapping[str, str | tuple[Range, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data: name, sha256, and keep, whose times are texts such as "1/2"."""
        ranges = {
            name: kept
            if isinstance(kept, str)
            else [[str(low), None if high is None else str(high)] for low, high in kept]
            for name, kept in self.keep.items()
        }
        return asdict(self.source) | {"keep": ranges}


@dataclass(frozen=True)
class Moment:
    """What is asked for at a moment of a clip; between moments it changes evenly. None: as before and after."""

    at: Fraction
    """Seconds."""
    label: str | None = None
    guidance: float | None = None
    strength: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data of what is said at this moment."""
        return {"at": str(self.at)} | {n: v for n, v in asdict(self).items() if n != "at" and v is not None}


@dataclass(frozen=True)
class Request:
    """One clip to be made: `index` is its place in the endless row of its seed, `label` one of the model's."""

    index: int
    seed: int = 0
    label: str | None = None
    caption: str = ""
    scalars: Mapping[str, float] = field(default_factory=dict)
    given: tuple[Given, ...] = ()
    start: Source | None = None
    """The file to vary."""
    strength: float = 1.0
    """How far `start` may change: at 1 it is forgotten."""
    loop: bool = False
    """Whether the clip's end goes on at its beginning."""
    timeline: tuple[Moment, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where the files lie: a path for each `Source.sha256`. No part of what is asked."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data without `files`; what a task adds is there only where there is a task."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in ("index", "seed", "label", "caption")}
        plain["scalars"] = dict(self.scalars)
        if self.given:
            plain["given"] = [one.to_dict() for one in self.given]
        if self.start:
            plain |= {"from": asdict(self.start), "strength": self.strength}
        if self.loop:
            plain["loop"] = True
        if self.timeline:
            plain["timeline"] = [moment.to_dict() for moment in self.timeline]
        return plain


@dataclass(frozen=True)
class Order:
    """One file to be made: a request, and how it is to be carried out."""

    request: Request
    seconds: Fraction
    sampling: SamplingSettings
    format: str
    """The file's ending, without a dot."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the `recipe` of the clip's manifest row; `Model.order` takes it back."""
        asked = {"seconds": str(self.seconds), "sampling": asdict(self.sampling), "format": self.format}
        return self.request.to_dict() | asked

    def shape(self) -> str:
        """Equal for orders that one model may carry out in one micro-batch."""
        asked = self.request
        task: list[Any] = [bool(asked.given), asked.start and asked.strength, asked.loop]
        task += [[moment.label is not None, moment.strength] for moment in asked.timeline]
        return _digest([str(self.seconds), asdict(self.sampling), task])

    def file_name(self, number: int | None = None) -> str:
        """`LABEL-NUMBER.EXT`, or `clip-NUMBER.EXT` without a label; what a file name cannot hold becomes `_`.

        The number is the request's index unless another is given.
        """
        safe = re.sub(r"[^\w.+=@ -]|^[.-]", "_", self.request.label or "clip")
        return f"{safe}-{self.request.index if number is None else number:06d}.{self.format}"


def natural_ending(domains: Mapping[str, Domain], seconds: Fraction) -> str:
    """The format that suits the streams: wav for sound, mp4 for moving picture, png for a still."""
    media = {domain.medium: domain for domain in domains.values()}
    if set(media) == {"sound"}:
        return "wav"
    return "png" if set(media) == {"picture"} and media["picture"].steps(seconds) == 1 else "mp4"


def check_format(ending: str, domains: Mapping[str, Domain], seconds: Fraction) -> None:
    """UsageError where clips of these streams do not go into a file of this ending."""
    from mediadiff.io.write import FORMATS

    media = {domain.medium: domain for domain in domains.values()}
    able = [name for name, format in FORMATS.items() if media.keys() <= format.holds]
    if ending not in able:
        raise UsageError(f"format {ending}: holds no clips of {' and '.join(media)}; take one of {', '.join(able)}")
    if ending == "png" and (steps := media["picture"].steps(seconds)) > 1:
        raise UsageError(f"format png: holds one frame, and these clips have {steps}; take mp4, webm, mkv or gif")


def identity(weights: str, asked: Mapping[str, Any]) -> str:
    """16 hex digits that name a clip by what was asked (`Order.to_dict`) of which weights, on any machine."""
    return _digest([weights, without_home(asked)])


def without_home(made: Mapping[str, Any]) -> dict[str, Any]:
    """The same plain data with the home folder written as `~`: where a person works is nobody's business."""
    home = json.dumps(str(Path.home()))[1:-1]
    text = json.dumps(made)
    return json.loads(text.replace(home, "~") if len(home) > 1 else text)


def recorded_identity(weights: str, recipe: Mapping[str, Any]) -> str:
    """The `identity` of a recipe as a manifest row holds it, whoever's home folder was left out of it."""
    return _digest([weights, recipe])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
