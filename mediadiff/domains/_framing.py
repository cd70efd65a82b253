"""Short-time Fourier framing that the domains of sound share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from mediadiff.clip import Sound
from mediadiff.domains.base import Domain
from mediadiff.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Framing(Domain):
    """Frames of `n_fft` samples every `hop` samples; `n_fft` is 4 times `hop` or more (75 % overlap).

    Step `k` is centred on sample `k * hop`, so `T` steps stand for exactly `T * hop` samples.
    """

    medium: ClassVar[Literal["sound"]] = "sound"

    sample_rate: Annotated[int, Ge(1000), Le(192_000)] = 16_000
    channels: Annotated[int, Ge(1), Le(2)] = 1
    n_fft: Annotated[int, Ge(16), Le(16_384)] = 512
    hop: Annotated[int, Ge(4), Le(4096)] = 128

    def __post_init__(self) -> None:
        if self.n_fft % 4 or self.hop * 4 > self.n_fft:
            raise UsageError(
                "n_fft is a multiple of 4 and at least 4 times hop (75 % overlap); "
                f"got n_fft {self.n_fft} and hop {self.hop}"
            )

    @property
    def rate(self) -> Fraction:
        return Fraction(self.sample_rate, self.hop)

    @property
    def reach(self) -> Fraction:
        return Fraction(self.n_fft // 2, self.sample_rate)

    def steps(self, seconds: Fraction | float) -> int:
        # A window's worth at the least: the transform reflects half a window at each edge.
        return max(-(-self.n_fft // self.hop), super().steps(seconds))

    def samples(self, sound: Sound) -> torch.Tensor:
        """The samples `[channels, T * hop]`, padded with silence to a whole number of steps."""
        import torch

        if (sound.sample_rate, sound.channels) != (self.sample_rate, self.channels):
            raise UsageError(
                f"this domain takes {self.channels} channel(s) at {self.sample_rate} Hz; "
                f"got {sound.channels} at {sound.sample_rate} Hz"
            )
        steps = max(-(-self.n_fft // self.hop), -(-sound.samples.shape[1] // self.hop))
        return torch.nn.functional.pad(torch.from_numpy(sound.samples), (0, steps * self.hop - sound.samples.shape[1]))

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Complex spectrum `[channels, n_fft / 2 + 1, T]`; a full-scale sine has magnitude 1."""
        import torch

        window = torch.hann_window(self.n_fft)
        z = torch.stft(samples, self.n_fft, self.hop, window=window, center=True, return_complex=True)
        # The last frame is centred on the end of the clip; the ones before it cover every sample.
        return z[..., :-1] * (2 / window.sum())

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """Samples `[channels, T * hop]` of a complex spectrum as `transform` gives it."""
        import torch

        window = torch.hann_window(self.n_fft)
        z = z * (window.sum() / 2)
        return torch.istft(z, self.n_fft, self.hop, window=window, center=True, length=z.shape[-1] * self.hop)

    def sound(self, samples: torch.Tensor) -> Sound:
        return Sound(samples.float().contiguous().numpy(), self.sample_rate)
