"""Randomness by key: what is drawn depends on the key alone, never on order, batch or global state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

Key = int | str


def key_seed(*key: Key) -> int:
    """A 63-bit seed from a key such as `(seed, clip, "sound")`; ints and strings never collide."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(*key: Key) -> torch.Generator:
    """A torch generator on the CPU for this key."""
    import torch

    return torch.Generator("cpu").manual_seed(key_seed(*key))


def numpy_generator(*key: Key) -> np.random.Generator:
    """A numpy generator for this key."""
    import numpy as np

    return np.random.default_rng(key_seed(*key))


def normal(shape: tuple[int, ...], *key: Key) -> torch.Tensor:
    """Standard normal float32 noise of `shape` on the CPU, a function of the key alone."""
    import torch

    return torch.randn(shape, generator=generator(*key))
