"""A model measured against the real clips of its recipe's data: what `mediadiff evaluate` prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff.errors import UsageError

if TYPE_CHECKING:
    from fractions import Fraction

    from mediadiff.clip import Clip
    from mediadiff.data.settings import DataSettings
    from mediadiff.evaluation.report import Evaluation
    from mediadiff.evaluation.tasks import Tasks
    from mediadiff.model import Model

Report = Callable[[dict[str, Any]], None]


def measure(
    model: Model,
    data: Path | None = None,
    num: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    guidance: float | None = None,
    sheet: Path | None = None,
    report: Report = lambda event: None,
) -> Evaluation:
    """Renders `num` clips (by default ten of each label, and a hundred at least) and measures them.

    They are asked for by the labels in turn, or, of a model that takes captions, by those of the real clips in turn.

    `data` is another folder, laid out as the model's own data is, or a training recipe; without it, the data that the
    model was trained on. `sheet` is a PNG to be drawn, see
    `mediadiff.evaluation.evaluate.side_by_side`. `report` gets an event now and then.
    """
    num = enough(model, num)
    settings = real_data(model, data)
    clips = model.render(
        num, seed=seed, steps=steps, sampler=sampler, guidance=guidance, **asked_of(model, settings, seed)
    )
    return evaluated(model, counted(clips, num, report), settings, sheet, report)


def asked_of(model: Model, data: DataSettings, seed: int) -> dict[str, Any]:
    """What clips are asked for by, in turn: the labels, or labels and captions of real clips in an order by key."""
    from mediadiff.data.folder import scan
    from mediadiff.rng import numpy_generator

    if not model.recipe.condition.caption:
        return {"label": model.labels or None}
    items = [item for item in scan(data).items if not model.labels or item.label in model.labels]
    items = [items[i] for i in numpy_generator(seed, "asked").permutation(len(items))]
    return {"label": [item.label for item in items] if model.labels else None, "caption": [i.caption for i in items]}


def enough(model: Model, num: int | None) -> int:
    """Clips to measure a model by: `num`, or ten of each label and a hundred at least. UsageError for less than two."""
    num = max(100, 10 * len(model.labels)) if num is None else num
    if num < 2:
        raise UsageError(f"an evaluation needs two clips or more; got --num {num}")
    return num


def evaluated(
    model: Model, clips: Iterable[Clip], data: DataSettings, sheet: Path | None, report: Report
) -> Evaluation:
    """The figures of clips that the model rendered, beside the real ones of `data`."""
    from mediadiff.evaluation.evaluate import evaluate
    from mediadiff.io.files import cache_folder

    return evaluate(
        model.name,
        clips,
        data,
        model.recipe.streams,
        model.seconds,
        model.labels,
        cache=cache_folder() / "classifiers",
        sheet=sheet,
        report=report,
    )


def measure_tasks(
    model: Model,
    data: Path | None = None,
    num: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    guidance: float | None = None,
    report: Report = lambda event: None,
) -> Tasks:
    """Tries every task of a model of sound and picture on `num` (by default 100) real test clips, and measures them.

    From each real clip: a clip of both, a sound for its picture, a picture for its sound, and a clip that goes on from
    its first half; and as many loops. UsageError for a model of one stream, or where there are too few test clips.
    """
    import tempfile
    from fractions import Fraction

    from mediadiff.evaluation.real import read_real
    from mediadiff.evaluation.tasks import compare_tasks
    from mediadiff.rendering.seam import seam

    if {stream.medium for stream in model.recipe.streams.values()} != {"sound", "picture"}:
        raise UsageError(
            f"{model.name} makes {' and '.join(model.recipe.streams)} alone: there are no tasks to compare"
        )
    num = 100 if num is None else enough(model, num)
    settings = real_data(model, data)
    real = read_real(settings, model.recipe.streams, model.seconds, model.labels).test
    usable = [clip for clip in real if _can_be_given(clip, model.seconds)]
    if len(usable) < len(real):
        text = f"{len(real) - len(usable)} real test clips are left out: without sound or motion, or too short"
        report({"event": "note", "text": text})
    real = usable[:num]
    if len(real) < min(num, 20):
        raise UsageError(f"there are {len(real)} real test clips of sound and picture; --num asks for {num}")
    sampling = model.sampling(steps=steps, sampler=sampler, guidance=guidance)
    half = Fraction(round(model.seconds / 2 * real[0].picture.rate)) / real[0].picture.rate  # type: ignore[union-attr]
    made: dict[str, list[Clip]] = {}
    with tempfile.TemporaryDirectory(prefix="mediadiff-") as folder:
        files = [clip.save(Path(folder, f"{i}.mkv")) for i, clip in enumerate(real)]
        asked: dict[str, Callable[[Path], dict[str, Any]]] = {
            "both": lambda file: {},
            "sound for a picture": lambda file: {"given_video": file},
            "picture for a sound": lambda file: {"given_audio": file},
            # Rounded up, so that the last frame is kept to its end.
            "going on": lambda file: {"given": file, "keep": f"0:{math.ceil(half * 10**6) / 10**6:.6f}s"},
            "loop": lambda file: {"loop": True},
        }
        for task, of in asked.items():
            requests = [model.requests(1, None, seed, i, task=of(file))[0] for i, file in enumerate(files)]
            length = model.length(None, task == "loop")
            clips = model.generator.render(requests, length, sampling)
            made[task] = list(counted(clips, len(requests), report))
    gone_on, loops = made.pop("going on"), made.pop("loop")
    seams = [seam(clip) for clip in loops]
    return compare_tasks(model.name, real, made, gone_on, half, seams, settings.bounce is not None, seed)


def _can_be_given(clip: Clip, seconds: Fraction) -> bool:
    """Whether a clip has a sound and a moving picture that both last so long, but for a part of a frame."""
    sound, picture = clip.sound, clip.picture
    if sound is None or picture is None or picture.is_still:
        return False
    return min(sound.seconds, picture.seconds) > seconds - 1 / picture.rate


def real_data(model: Model, data: Path | None) -> DataSettings:
    """The data settings of a folder, of a training recipe, or of the model's own recipe."""
    from mediadiff.data.folder import resolve
    from mediadiff.recipe import TrainRecipe, load_recipe

    if data is None:
        own = model.recipe.data
        if own.folder is None:
            return own
        try:
            resolve(own.folder)
        except UsageError as error:
            raise UsageError(f"{error}\nOr name the folder with the real clips: --data FOLDER") from None
        return own
    if data.is_dir():
        return replace(model.recipe.data, folder=str(data), bounce=None)
    loaded = load_recipe(data)
    if not isinstance(loaded, TrainRecipe):
        raise UsageError(f"{data} is a recipe for {loaded.purpose}; --data takes a folder or a training recipe")
    return loaded.data


def counted(clips: Iterable[Clip], num: int, report: Report) -> Iterator[Clip]:
    """The same clips; each is reported as it comes."""
    for done, clip in enumerate(clips, 1):
        report({"event": "sample", "done": done, "of": num})
        yield clip
