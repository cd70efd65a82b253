"""What every domain promises: the door between a stream of media and the core."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mediadiff.clip import Picture, Sound

Shape = tuple[int, int, int, int]


def exact(seconds: Fraction | float) -> Fraction:
    """A length in seconds as the fraction that is meant: the nearest in millionths or larger parts."""
    return Fraction(seconds).limit_denominator(10**6)


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

    def decode_around(self, x: torch.Tensor) -> Sound | Picture:
        """The same where time is a circle: the last step lies beside the first."""
        from mediadiff.clip import Picture, Sound

        thrice = self.decode(x.repeat(1, 3, 1, 1))
        if isinstance(thrice, Sound):
            third = thrice.samples.shape[1] // 3
            return Sound(thrice.samples[:, third : 2 * third].copy(), thrice.sample_rate)
        third = len(thrice.frames) // 3
        return Picture(thrice.frames[third : 2 * third].copy(), thrice.rate)

    def decode_beside(self, x: torch.Tensor, sound: Sound, where: np.ndarray) -> Sound | Picture:
        """The same for a sound that is known already at the samples `where` (bool `[N]`) of `sound`, which is as long.

        A domain that has to guess, such as at the phase, guesses what fits the known.
        """
        return self.decode(x)

    @property
    def reach(self) -> Fraction:
        """Seconds to each side of a step, beyond which the stream does not matter to the step's values."""
        return Fraction(0)

    def steps(self, seconds: Fraction | float) -> int:
        """Time steps that hold `seconds`: rounded to the nearest, at least one."""
        return max(1, math.floor(exact(seconds) * self.rate + Fraction(1, 2)))
