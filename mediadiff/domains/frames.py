"""Frames of a picture as they are: RGB. One frame is a still image."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from mediadiff.clip import Picture, Sound
from mediadiff.domains.base import Domain, Shape
from mediadiff.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Frames(Domain):
    """RGB from -1 to 1, `[3, T, height, width]`, at `frame_rate` frames per second: 12, or "24000/1001"."""

    medium: ClassVar[Literal["picture"]] = "picture"
    tolerance: ClassVar[str] = "within 1/255 of every value"

    height: Annotated[int, Ge(1), Le(4096)] = 64
    width: Annotated[int, Ge(1), Le(4096)] = 64
    frame_rate: int | str = 12

    def __post_init__(self) -> None:
        try:
            above = Fraction(self.frame_rate) > 0
        except (ValueError, ZeroDivisionError):
            above = False
        if not above:
            raise UsageError(f"frame_rate is frames per second, such as 12 or '24000/1001'; got {self.frame_rate!r}")

    @property
    def rate(self) -> Fraction:
        return Fraction(self.frame_rate)

    def shape(self, seconds: Fraction | float) -> Shape:
        return (3, self.steps(seconds), self.height, self.width)

    def encode(self, stream: Sound | Picture) -> torch.Tensor:
        import torch

        assert isinstance(stream, Picture)
        if stream.frames.shape[1:3] != (self.height, self.width):
            got = "x".join(map(str, stream.frames.shape[1:3]))
            raise UsageError(f"this domain takes frames of {self.height}x{self.width} (height x width); got {got}")
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(stream.frames, -1, 0), np.float32) / 127.5 - 1)

    def decode(self, x: torch.Tensor) -> Picture:
        values = ((x.float() + 1) * 127.5).round().clamp(0, 255)
        return Picture(np.ascontiguousarray(np.moveaxis(values.byte().numpy(), 0, -1)), self.rate)
