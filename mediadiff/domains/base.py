"""What every domain promises: the door between a stream of media and the core."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import torch

    from mediadiff.clip import Picture, Sound

Shape = tuple[int, int, int, int]


class Domain(ABC):
    """A domain turns one stream into a tensor `[C, T, H, W]` near unit scale, and back.

    A domain is a frozen dataclass whose fields are its settings, in a module of its own in this folder; recipes name it
    by that module. `T` runs at `rate` steps per second; an axis that the domain lacks has extent 1. Importing a
    domain's module loads no heavy package, so recipes can be checked without one.
    """

    medium: ClassVar[Literal["sound", "picture"]]
    tolerance: ClassVar[str]
    """How near `decode(encode(stream))` comes to the stream; the conformance test holds it to that."""

    @property
    @abstractmethod
    def rate(self) -> Fraction:
        """Time steps per second, exact."""

    @abstractmethod
    def shape(self, seconds: Fraction | float) -> Shape:
        """`(C, T, H, W)` of a clip of `seconds`."""

    @abstractmethod
    def encode(self, stream: Sound | Picture) -> torch.Tensor:
        """The stream as float32 `[C, T, H, W]`; the stream already has the domain's rate, channels and size."""

    @abstractmethod
    def decode(self, x: torch.Tensor) -> Sound | Picture:
        """The stream that `x` `[C, T, H, W]` stands for, `T / rate` seconds long."""

    def steps(self, seconds: Fraction | float) -> int:
        """Time steps that hold `seconds`: rounded to the nearest, at least one."""
        return max(1, math.floor(Fraction(seconds).limit_denominator(10**6) * self.rate + Fraction(1, 2)))
