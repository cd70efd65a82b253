"""Amplitude-compressed complex spectrogram: keeps the phase, so it inverts exactly."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt, Le

from mediadiff.clip import Picture, Sound
from mediadiff.domains._framing import Framing
from mediadiff.domains.base import Shape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Stft(Framing):
    """`gain * z * |z| ** (power - 1)` per bin (EDMSound, arXiv 2311.08667). Shape `[2 * channels, T, n_fft / 2, 1]`.

    Real parts of all channels come first, then the imaginary ones. The bins at 0 and at half the sample rate are both
    real: they share one cell, as its real and its imaginary part.
    """

    tolerance: ClassVar[str] = "60 dB of signal to noise or more"

    power: Annotated[float, Gt(0), Le(1)] = 0.5
    gain: Annotated[float, Gt(0)] = 4.0

    def shape(self, seconds: Fraction | float) -> Shape:
        return (2 * self.channels, self.steps(seconds), self.n_fft // 2, 1)

    def encode(self, stream: Sound | Picture) -> torch.Tensor:
        import torch

        assert isinstance(stream, Sound)
        z = self.transform(self.samples(stream))
        first = torch.complex(z[:, :1].real, z[:, -1:].real)
        z = torch.cat([first, z[:, 1:-1]], dim=1).transpose(1, 2)
        z = torch.polar(self.gain * z.abs() ** self.power, z.angle())
        return torch.cat([z.real, z.imag]).unsqueeze(-1).contiguous()

    def decode(self, x: torch.Tensor) -> Sound:
        import torch

        real, imag = x.float().squeeze(-1).transpose(1, 2).chunk(2)
        z = torch.complex(real, imag)
        z = torch.polar((z.abs() / self.gain) ** (1 / self.power), z.angle())
        zero = torch.zeros_like(z[:, :1].real)
        first, last = torch.complex(z[:, :1].real, zero), torch.complex(z[:, :1].imag, zero)
        return self.sound(self.inverse(torch.cat([first, z[:, 1:], last], dim=1)))
