"""Linear log-magnitude spectrogram with fast Griffin-Lim: the default for sound."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Le, Lt

from mediadiff.clip import Picture, Sound
from mediadiff.domains._magnitudes import Magnitudes
from mediadiff.domains.base import Shape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Spectrogram(Magnitudes):
    """Decibels below full scale: 0 dB is 1, `floor_db` and less is -1. Shape `[channels, T, n_fft / 2, 1]`.

    The bin at half the sample rate is left out, so that the height is a power of two. Phase comes from Griffin-Lim.
    """

    tolerance: ClassVar[str] = "spectral convergence of -28 dB or less on speech at the default 100 iterations"

    floor_db: Annotated[float, Ge(-160), Lt(0)] = -80.0
    iterations: Annotated[int, Ge(1), Le(1000)] = 100

    def shape(self, seconds: Fraction | float) -> Shape:
        return (self.channels, self.steps(seconds), self.n_fft // 2, 1)

    def encode(self, stream: Sound | Picture) -> torch.Tensor:
        assert isinstance(stream, Sound)
        magnitude = self.transform(self.samples(stream))[:, :-1].abs()
        decibels = 20 * magnitude.clamp_min(10 ** (self.floor_db / 20)).log10()
        return (1 - 2 * decibels / self.floor_db).transpose(1, 2).unsqueeze(-1).contiguous()

    def magnitude(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        decibels = (1 - x.float().squeeze(-1).transpose(1, 2)) * self.floor_db / 2
        # What lies at the floor is silence, not a hiss at the floor's level.
        magnitude = (10 ** (decibels / 20)) * (decibels > self.floor_db + 0.5)
        return torch.nn.functional.pad(magnitude, (0, 0, 0, 1))
