"""What the domains of sound share that keep no phase: Griffin-Lim finds one."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediadiff.clip import Sound
from mediadiff.domains._framing import Framing

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True, eq=False)
class Kept:
    """Samples `[channels, N]` that are known already `where` (bool `[N]`)."""

    samples: torch.Tensor
    where: torch.Tensor


class Magnitudes(Framing):
    """A domain whose values say how strong each frequency is, and nothing of its phase."""

    if TYPE_CHECKING:
        iterations: int

    @abstractmethod
    def magnitude(self, x: torch.Tensor) -> torch.Tensor:
        """The magnitude `[channels, n_fft / 2 + 1, T]` that `x` stands for; a full-scale sine has 1."""

    def decode(self, x: torch.Tensor) -> Sound:
        return self.sound(self.griffin_lim(self.magnitude(x)))

    def decode_around(self, x: torch.Tensor) -> Sound:
        return self.sound(self.griffin_lim(self.magnitude(x), around=True))

    def decode_beside(self, x: torch.Tensor, sound: Sound, where: np.ndarray) -> Sound:
        import torch

        kept = Kept(torch.from_numpy(sound.samples), torch.from_numpy(where))
        return self.sound(self.griffin_lim(self.magnitude(x), kept))

    def griffin_lim(self, magnitude: torch.Tensor, kept: Kept | None = None, around: bool = False) -> torch.Tensor:
        """Samples `[channels, T * hop]` whose spectrum has about this magnitude `[channels, n_fft / 2 + 1, T]`.

        Fast Griffin-Lim with momentum 0.99 (Perraudin et al. 2013), which starts from zero phase: no randomness. What
        is `kept` lends its phase to what lies beside it; with `around` the end goes on at the beginning.
        """
        import torch

        from mediadiff._compat import torchaudio

        if kept is not None or around:
            return self._phases(magnitude, kept, around)
        window = torch.hann_window(self.n_fft)
        # One sample short of T * hop, so that the transform inside has T frames, not T + 1.
        samples = torchaudio().functional.griffinlim(
            magnitude * (window.sum() / 2),
            window,
            self.n_fft,
            self.hop,
            self.n_fft,
            power=1.0,
            n_iter=self.iterations,
            momentum=0.99,
            length=magnitude.shape[-1] * self.hop - 1,
            rand_init=False,
        )
        return torch.nn.functional.pad(samples, (0, 1))

    def _phases(self, magnitude: torch.Tensor, kept: Kept | None, around: bool) -> torch.Tensor:
        """The same walk, held to what is kept in each of its rounds, on a line or on a circle."""
        import torch

        forward = self.transform_around if around else self.transform
        back = self.inverse_around if around else self.inverse

        def hold(samples: torch.Tensor) -> torch.Tensor:
            return samples if kept is None else torch.where(kept.where, kept.samples, samples)

        rebuilt = forward(hold(torch.zeros(magnitude.shape[0], magnitude.shape[-1] * self.hop)))
        before = torch.zeros_like(rebuilt)
        for _ in range(self.iterations):
            ahead = rebuilt - before * (0.99 / 1.99)
            before = rebuilt
            rebuilt = forward(hold(back(magnitude * _turns(ahead))))
        return back(magnitude * _turns(rebuilt - before * (0.99 / 1.99)))


def _turns(z: torch.Tensor) -> torch.Tensor:
    """The phases of `z` as numbers of size 1; 1 where there is none."""
    size = z.abs()
    return (z / size.clamp_min(1e-16)).where(size > 1e-16, 1)
