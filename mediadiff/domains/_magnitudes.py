"""What the domains of sound share that keep no phase: Griffin-Lim finds one."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from mediadiff.clip import Sound
from mediadiff.domains._framing import Framing
from mediadiff.domains._griffin_lim import Kept, griffin_lim

if TYPE_CHECKING:
    import numpy as np
    import torch


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
        """Samples `[channels, T * hop]` whose spectrum has about this magnitude, see `_griffin_lim.griffin_lim`."""
        return griffin_lim(magnitude, self.n_fft, self.hop, self.iterations, kept, around)
