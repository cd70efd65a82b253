"""How quickly media and batches come in: the loader beside what training consumes, decoding beside plain PyAV."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mediadiff.bench.subject import Subject
from mediadiff.bench.timing import Timing, timed
from mediadiff.errors import UsageError
from mediadiff.io.read import read
from mediadiff.recipe import TrainRecipe
from mediadiff.training.memory import kept

FILES = 16
"""Videos to decode, spread over the folder."""


@dataclass(frozen=True)
class Loading:
    """A recipe's batches from the cache."""

    batch: Timing
    clips_per_second: float
    times_training: float
    """How many times as many clips come from the loader as training takes; at least 10 is asked of it."""


@dataclass(frozen=True)
class Decoding:
    """Whole videos decoded into RGB by `mediadiff.read` and by plain PyAV, in turns."""

    files: int
    frames_per_second: float
    plain_frames_per_second: float
    share: float
    """Of plain PyAV's speed, the median of the rounds; at least 0.9 is asked of it."""
    rounds: int


def loading(recipe: TrainRecipe, folder: Path, budget: float) -> Loading:
    """Measures the loader, and some steps of training on one batch that is loaded already."""
    subject = Subject.of(recipe, folder)
    batches, one, size = subject.batches(), subject.batch(0), recipe.training.batch
    loader = timed(lambda: next(batches), budget / 4)
    with kept():
        step = timed(lambda: subject.trainer.step(one), budget)
    return Loading(loader, size / loader.seconds, step.seconds / loader.seconds)


def decoding(videos: Path, rounds: int) -> Decoding:
    """Decodes some of the files in the folder `videos`, each `rounds` times and once to warm up.

    MediaError for a file that cannot be read; UsageError if there is no such folder, or no file in it.
    """
    from mediadiff.data.folder import scan
    from mediadiff.data.settings import DataSettings

    items = scan(DataSettings(folder=str(videos))).items
    if not items:
        raise UsageError(f"{videos} holds no videos")
    paths = [item.path for item in items][:: max(1, len(items) // FILES)][:FILES]
    frames = sum(map(_ours, paths))
    ours, plain = [], []
    for _ in range(rounds):
        # File by file, so that whatever else the machine does slows both.
        pairs = [(_taken(_ours, path), _taken(_plain, path)) for path in paths]
        ours.append(sum(a for a, _ in pairs))
        plain.append(sum(b for _, b in pairs))
    share = statistics.median(b / a for a, b in zip(ours, plain, strict=True))
    return Decoding(len(paths), frames / statistics.median(ours), frames / statistics.median(plain), share, rounds)


def _taken(decode: Callable[[Path], int], path: Path) -> float:
    begun = time.perf_counter()
    decode(path)
    return time.perf_counter() - begun


def _ours(path: Path) -> int:
    picture = read(path, sound=False).picture
    assert picture is not None
    return len(picture.frames)


def _plain(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return len([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
