"""Batches as a function of (seed, step): no iterator, no state, so a resumed training sees what it would have seen."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

from mediadiff.data.cache import EncodedSet, Entry
from mediadiff.data.folder import Split
from mediadiff.errors import UsageError
from mediadiff.rng import Key, numpy_generator


@dataclass(frozen=True, eq=False)
class Batch:
    """`B` clips, all streams cut at the same second.

    `streams`: float32 `[B, C, T, H, W]` each, zeros where a clip lacks the stream; `present`: bool `[B]` each;
    `labels`: int64 `[B]`, the place in `EncodedSet.labels`, -1 for none; `captions`: empty text for none;
    `scalars`: float32 `[B]` each, NaN for none; `names`: the files, by their path in the data folder.
    """

    streams: dict[str, torch.Tensor]
    present: dict[str, torch.Tensor]
    labels: torch.Tensor
    captions: list[str]
    scalars: dict[str, torch.Tensor]
    names: list[str]


def batch(encoded: EncodedSet, seed: int, step: int, size: int, split: Split = "train") -> Batch:
    """Batch number `step` of `size` clips: a pure function of its arguments.

    Every file comes once an epoch, in an order drawn anew for each; with `balance`, every label comes once a round,
    and every file of a label once before any of it comes again. Longer files are cut at a place drawn at random;
    with `mirror`, half of the clips are flipped left to right. Raises UsageError if the split has no file.
    """
    if not encoded.members(split):
        raise UsageError(f"the {split} split has no files; change `data.test`, which now takes all or none")
    draws = range(step * size, (step + 1) * size)
    places = [_place(encoded, split, seed, draw) for draw in draws]
    return collate(encoded, places, [(seed, split, draw) for draw in draws])


def collate(encoded: EncodedSet, places: Sequence[int], keys: Sequence[tuple[Key, ...]]) -> Batch:
    """The files at these places of `encoded.entries`, each cut (and perhaps mirrored) as its key says."""
    entries = [encoded.entries[place] for place in places]
    streams = {name: torch.zeros(len(places), *stream.shape) for name, stream in encoded.streams.items()}
    for row, (place, entry, key) in enumerate(zip(places, entries, keys, strict=True)):
        flip = encoded.mirror and numpy_generator("mirror", *key).random() < 0.5
        for name, start in _starts(encoded, entry, key).items():
            x = encoded.read(place, name, start, encoded.streams[name].shape[1])
            streams[name][row] = x.flip(-1) if flip and encoded.streams[name].medium == "picture" else x
    return Batch(
        streams,
        {name: torch.tensor([name in entry.steps for entry in entries]) for name in encoded.streams},
        torch.tensor([entry.label for entry in entries]),
        [entry.caption for entry in entries],
        {name: torch.tensor([entry.scalars.get(name, math.nan) for entry in entries]) for name in encoded.scalars},
        [entry.name for entry in entries],
    )


def _place(encoded: EncodedSet, split: Split, seed: int, draw: int) -> int:
    """Which file the draw takes: a place in `encoded.entries`."""
    members = encoded.members(split)
    if encoded.balance:
        groups = encoded.by_label(split)
        turn, nth = divmod(draw, len(groups))
        group = groups[_order(len(groups), (seed, split, "labels", turn))[nth]]
        epoch, nth = divmod(turn, len(group))
        return members[group[_order(len(group), (seed, split, "label", group[0], epoch))[nth]]]
    epoch, nth = divmod(draw, len(members))
    return members[_order(len(members), (seed, split, "epoch", epoch))[nth]]


@functools.lru_cache(maxsize=256)
def _order(count: int, key: tuple[Key, ...]) -> list[int]:
    return [int(nth) for nth in numpy_generator("order", *key).permutation(count)]


def _starts(encoded: EncodedSet, entry: Entry, key: tuple[Key, ...]) -> dict[str, int]:
    """The first step of each stream's window: drawn on the coarsest stream's grid, the others nearest to its second."""
    spare = {name: steps - encoded.streams[name].shape[1] for name, steps in entry.steps.items()}
    coarse = min(spare, key=lambda name: encoded.streams[name].rate)
    rate = encoded.streams[coarse].rate
    last = min(Fraction(steps) / encoded.streams[name].rate for name, steps in spare.items())
    drawn = int(numpy_generator("crop", *key).integers(math.floor(last * rate) + 1))
    return {
        name: min(steps, math.floor(drawn / rate * encoded.streams[name].rate + Fraction(1, 2)))
        for name, steps in spare.items()
    }
