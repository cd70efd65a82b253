"""The scale of the data: what training subtracts from it and divides it by."""

from __future__ import annotations

import math

import torch

from mediadiff.data.cache import EncodedSet
from mediadiff.data.loader import batch
from mediadiff.diffusion.streams import Standard
from mediadiff.errors import UsageError

CLIPS = 256
BYTES = 2**29
"""Of clips in memory at once."""


def of_streams(encoded: EncodedSet) -> dict[str, Standard]:
    """Mean and standard deviation of each stream over training files as training will cut them, 256 where they fit.

    UsageError where a stream has no values, or only one.
    """
    fit = BYTES // sum(4 * math.prod(stream.shape) for stream in encoded.streams.values())
    size = min(CLIPS, max(8, fit), len(encoded.members("train")))
    sample = batch(encoded, 0, 0, size)
    standards = {}
    for name, values in sample.streams.items():
        x = values[sample.present[name]]
        if not x.numel():
            raise UsageError(f"none of {size} files tried has {name}; take it out of the recipe's streams")
        if float(x.std()) < 1e-4:
            raise UsageError(f"stream {name}: {size} files tried are all the same value (silence, or one colour)")
        standards[name] = Standard(float(x.mean()), float(x.std()))
    return standards


def of_number(encoded: EncodedSet, name: str) -> Standard:
    """The same of a number that clips may be asked for by, over all files that have it."""
    values = torch.tensor([entry.scalars[name] for entry in encoded.entries if name in entry.scalars])
    return Standard(float(values.mean()), float(values.std(correction=0).clamp_min(1e-6)))
