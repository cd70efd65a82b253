"""Fast Griffin-Lim: finds phases for the magnitudes of a sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

MOMENTUM = 0.99


@dataclass(frozen=True, eq=False)
class Kept:
    """Samples `[channels, T * hop]` that are known already `where` (bool `[T * hop]`)."""

    samples: Tensor
    where: Tensor


class Overlap:
    """Samples `[channels, steps * hop]` and the spectra of their frames, on a line or, `around`, on a circle.

    Its arrays are made once and filled again and again: at the size of a short clip, making them costs most.
    """

    def __init__(self, channels: int, steps: int, n_fft: int, hop: int, around: bool = False):
        import torch

        self.n_fft = n_fft
        self.window = torch.hann_window(n_fft)
        pieces, half, length = -(-n_fft // hop), n_fft // 2, steps * hop
        # Frame k is centred on sample k * hop, so the line begins half a frame before the first sample.
        self.line = torch.zeros(channels, length + (pieces - 1) * hop)
        self.samples = self.line[:, half : half + length]
        self.seen = self.line.unfold(1, n_fft, hop)[:, :steps]
        self.frames = torch.empty(channels, steps, n_fft)
        # Piece after piece of all frames at once, so that each sample is summed in the same order.
        self.sums: list[tuple[Tensor, Tensor]] = []
        rows = self.line.unflatten(1, (-1, hop))
        for i in range(pieces):
            piece = self.frames[:, :, i * hop : (i + 1) * hop]
            place = rows[:, :, : piece.shape[2]]
            inside = steps - i if around else steps
            self.sums.append((place[:, i : i + inside], piece[:, :inside]))
            if inside < steps:
                self.sums.append((place[:, : steps - inside], piece[:, inside:]))
        at = torch.arange(self.line.shape[1])
        mirrored = half + length - 1 - (length - 1 - (at - half).abs()).abs()
        source = at % length if around else mirrored
        # Beyond the ends a circle has its other end, and a line its mirror image.
        self.beyond = (source != at).nonzero().flatten()
        self.source = source[self.beyond]
        self.frames[:] = self.window**2
        self._sum()
        self.weight = self.line.clamp_min(1e-6)
        self.line.zero_()

    def fill(self, z: Tensor) -> None:
        """Makes `samples` those whose spectra come nearest to `z` `[channels, steps, n_fft / 2 + 1]`."""
        import torch

        torch.fft.irfft(z, self.n_fft, out=self.frames)
        self.frames *= self.window
        self._sum()
        self.line /= self.weight
        self._close()

    def keep(self, kept: Kept) -> None:
        """Puts what is kept into the samples of a line."""
        import torch

        torch.where(kept.where, kept.samples, self.samples, out=self.samples)
        self._close()

    def spectra(self, out: Tensor) -> Tensor:
        """The spectra of `samples`, put into `out` `[channels, steps, n_fft / 2 + 1]`."""
        import torch

        torch.mul(self.seen, self.window, out=self.frames)
        return torch.fft.rfft(self.frames, out=out)

    def _sum(self) -> None:
        self.line.zero_()
        for place, piece in self.sums:
            place += piece

    def _close(self) -> None:
        self.line[:, self.beyond] = self.line[:, self.source]


def griffin_lim(
    magnitude: Tensor, n_fft: int, hop: int, iterations: int, kept: Kept | None = None, around: bool = False
) -> Tensor:
    """Samples `[channels, T * hop]` whose spectrum has about this magnitude `[channels, n_fft / 2 + 1, T]`.

    A full-scale sine has magnitude 1. Fast Griffin-Lim (Perraudin et al. 2013) with momentum 0.99, which starts from
    zero phase: no randomness. What is `kept` lends its phase to what lies beside it; `around`, instead, lets the end go
    on at the beginning.
    """
    import torch

    overlap = Overlap(magnitude.shape[0], magnitude.shape[2], n_fft, hop, around)
    target = magnitude.transpose(1, 2) * (overlap.window.sum() / 2)
    size, before = torch.empty(target.shape), torch.zeros(target.shape, dtype=torch.complex64)
    if kept is not None:
        overlap.keep(kept)
    spectra = overlap.spectra(torch.empty_like(before))
    # Where nothing is known, next to nothing, of phase 0.
    spectra[spectra == 0] = 1e-10

    def ahead() -> None:
        """Into `before`: a step beyond `spectra`, with the magnitudes that are wanted."""
        torch.sub(spectra, before, alpha=MOMENTUM / (1 + MOMENTUM), out=before)
        # numpy's is twelve times as fast as torch's.
        np.abs(before.numpy(), out=size.numpy())
        torch.div(target, size.add_(1e-16), out=size)
        before.mul_(size)

    for _ in range(iterations):
        ahead()
        overlap.fill(before)
        if kept is not None:
            overlap.keep(kept)
        before, spectra = spectra, overlap.spectra(out=before)
    ahead()
    overlap.fill(before)
    return overlap.samples.clone()
