"""What takes the steps of training: Muon for the matrices of the network, AdamW for all else."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mediadiff.training.muon import Muon

NARROW = 32
"""Rows or columns below which a layer's weight is left to AdamW: of few vectors, each one matters."""
DECAY, DECAY_MATRICES = 0.01, 0.1
"""Weight decay. Each step of Muon is equally long, so that without enough of it matrices grow until training breaks."""


class Optimizer:
    """Steps over all parameters of a module, each at the same learning rate.

    A matrix, or the kernel of a convolution of planes as one with a row for each output, moves by its momentum made
    orthogonal (Muon; scaled to AdamW's own steps as in arXiv 2502.16982, eq. 4): all that a batch teaches counts, not
    what it repeats most. All else, such as vectors and tables, moves as AdamW moves it. With `bf16` Muon computes in
    bfloat16. `haste` is its learning rate by the one that is asked for.
    """

    def __init__(self, module: nn.Module, bf16: bool, haste: float = 1.0):
        self.module, self.haste = module, haste
        self.parameters = list(module.parameters())
        self.matrices = [m.weight for m in module.modules() if isinstance(m, (nn.Linear, nn.Conv2d)) and _wide(m)]
        # Kernels as matrices, in the same memory.
        self.views = [weight.detach().flatten(1) for weight in self.matrices]
        matrices = {id(weight) for weight in self.matrices}
        rest = [p for p in self.parameters if id(p) not in matrices]
        self.adam = torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=DECAY, fused=True)
        # It takes no empty list.
        self.muon = Muon(self.views, 0.0, DECAY_MATRICES, bf16) if self.views else None

    def clip(self, most: float) -> Tensor:
        """The norm of all gradients together, `[]`; where it is above `most`, they are scaled down to that."""
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        # Scaled by 1 they would stay what they are, after going through memory once more.
        if norm > most:
            nn.utils.clip_grads_with_norm_(self.parameters, most, norm)
        return norm

    def step(self, learning_rate: float) -> None:
        """Changes the parameters in place by their gradients, and drops the gradients."""
        for view, parameter in zip(self.views, self.matrices, strict=True):
            view.grad = None if parameter.grad is None else parameter.grad.flatten(1)
        for optimizer in self._each():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * self.haste
            optimizer.step()
        self.clear()

    def clear(self) -> None:
        """Drops the gradients."""
        for parameter in [*self.parameters, *self.views]:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """The moments, by names that `load` knows."""
        return {
            f"{kind}.{place}.{name}": value
            for kind, optimizer in zip(("adam", "muon"), self._each(), strict=False)
            for place, values in optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Goes on with moments that `state` gave."""
        for kind, optimizer in zip(("adam", "muon"), self._each(), strict=False):
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in state.items():
                of, place, name = key.split(".")
                if of == kind:
                    moments.setdefault(int(place), {})[name] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})

    def _each(self) -> list[torch.optim.Optimizer]:
        return [self.adam] if self.muon is None else [self.adam, self.muon]


def _wide(layer: nn.Linear | nn.Conv2d) -> bool:
    return min(layer.weight.shape[0], layer.weight[0].numel()) >= NARROW
