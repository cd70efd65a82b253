"""The real clips that a model is measured against, read as the model's training read them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.data.encode import encode_clip, read_item
from mediadiff.data.folder import scan
from mediadiff.data.settings import DataSettings
from mediadiff.domains.base import Domain
from mediadiff.errors import MediaError, UsageError
from mediadiff.rng import numpy_generator

FEWEST = 20
"""Real clips that a classifier can be trained on and compared with."""
MOST = 3000
"""Train clips that are read; of more, this many are drawn."""


@dataclass(frozen=True)
class RealClips:
    """The train and test clips of a folder, at the model's rates and size and at most its window long."""

    train: Sequence[Clip]
    test: Sequence[Clip]
    notes: tuple[str, ...]
    """What a reader of the figures should know: files that could not be read, a missing test split."""


def read_real(
    data: DataSettings,
    domains: Mapping[str, Domain],
    seconds: Fraction,
    labels: Collection[str],
    progress: Callable[[int, int], None] = lambda done, of: None,
    fewest: int = FEWEST,
) -> RealClips:
    """All clips of the folder that have one of `labels` (all clips, without theirs, where there are no labels).

    Of more than `MOST` train clips as many are drawn, by key, with a note. Without a test split every fifth clip stands
    in for it, with a note: the model may have been trained on those.
    Raises UsageError where fewer than `fewest` clips are left to compare with.
    """
    items = [item for item in scan(data).items if not labels or item.label in labels]
    notes = []
    if not any(item.split == "test" for item in items):
        items = [replace(item, split="train" if i % 5 else "test") for i, item in enumerate(items)]
        notes.append("the data has no test split, so the model may have seen what it is measured against")
    train_items = [i for i, item in enumerate(items) if item.split != "test"]
    if len(train_items) > MOST:
        kept = set(numpy_generator("train clips").permutation(train_items)[:MOST].tolist())
        items = [item for i, item in enumerate(items) if item.split == "test" or i in kept]
        notes.append(f"of {len(train_items)} train clips {MOST} are looked at, for copies too")
    train: list[Clip] = []
    test: list[Clip] = []
    bad = []
    if data.loudness is None:
        # Only loudness is a matter of all that is kept of a file.
        data = replace(data, keep=min(data.keep, float(seconds) + 1))
    for done, item in enumerate(items, 1):
        try:
            clip = cut(read_item(item, domains, seconds, data), seconds)
        except MediaError as error:
            bad.append(str(error))
            continue
        (test if item.split == "test" else train).append(replace(clip, label=item.label if labels else None))
        progress(done, len(items))
    if bad:
        notes.append(f"{len(bad)} files could not be read, the first: {bad[0]}")
    if len(train) + len(test) < fewest or not test or not train:
        raise UsageError(
            f"too few real clips to measure with: {len(train)} train and {len(test)} test clips of the model's labels "
            f"in {data.folder or 'the generated data'}; take a folder with more (--data), or another rule for data.test"
        )
    return RealClips(train, test, tuple(notes))


def round_trip(clip: Clip, domains: Mapping[str, Domain], seconds: Fraction) -> Clip:
    """The clip as the domains give it back: the best that any model in these domains can do."""
    streams: dict[str, Any] = {}
    for name, x in encode_clip(clip, Path("a clip"), domains, seconds).items():
        domain = domains[name]
        streams[domain.medium] = domain.decode(x[:, : domain.steps(seconds)])
    return cut(Clip(**streams, label=clip.label), seconds)


def cut(clip: Clip, seconds: Fraction) -> Clip:
    """The first `seconds` of the clip."""
    sound, picture = clip.sound, clip.picture
    if sound is not None:
        sound = Sound(sound.samples[:, : round(seconds * sound.sample_rate)], sound.sample_rate)
    if picture is not None:
        picture = Picture(picture.frames[: max(1, round(seconds * picture.rate))], picture.rate)
    return replace(clip, sound=sound, picture=picture)
