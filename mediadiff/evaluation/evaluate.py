"""Rendered clips measured against the real ones: what a model can do, in figures that anyone can print again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mediadiff.clip import Clip
from mediadiff.data.settings import DataSettings
from mediadiff.domains.base import Domain
from mediadiff.errors import UsageError
from mediadiff.evaluation import metrics, plots
from mediadiff.evaluation.classifier import BATCH, Classifier, Settings, recognise, train
from mediadiff.evaluation.controls import noise_like
from mediadiff.evaluation.impacts import seen_and_heard
from mediadiff.evaluation.levels import levels
from mediadiff.evaluation.real import FEWEST as FEWEST_REAL
from mediadiff.evaluation.real import read_real, round_trip
from mediadiff.evaluation.report import Column, Evaluation, Level, Section, Synchrony
from mediadiff.evaluation.sync import agreement, shuffled
from mediadiff.evaluation.timing import timing_sheet
from mediadiff.evaluation.views import PictureView, SoundView, View, picture_of, sound_of
from mediadiff.rng import numpy_generator

DRAWS = 10
"""Precision and recall of a set that is larger than the draw are means over this many draws."""
FEWEST = 10
"""Below this many clips there is no precision and recall."""
EPOCHS = 12
FEWEST_STEPS, MOST_STEPS = 300, 1000
"""A classifier sees each train clip `EPOCHS` times, within these numbers of steps."""
SHORT_SIDE = 32
"""Pixels of the shorter side of a picture as the classifier sees it, at most."""


def evaluate(
    name: str,
    rendered: Iterable[Clip],
    data: DataSettings,
    domains: Mapping[str, Domain],
    seconds: Fraction,
    labels: Collection[str] = (),
    seed: int = 0,
    cache: Path | None = None,
    sheet: Path | None = None,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Evaluation:
    """Measures `rendered` clips (each with the label it was asked for, if any) against the real clips of `data`.

    `domains` and `seconds` are the model's streams and its window. The classifier is trained on the real train clips
    (on real ones and noise, where there are fewer than two labels) and kept in the folder `cache`; `sheet` is a
    PNG to be drawn, real clips above rendered ones; `report` gets an event (a dict) now and then. Besides real test
    clips and rendered ones there are three controls: the test clips through the domains, noise with their spectra, and
    train clips, which are copies by construction. Everything is drawn by key from `seed`.
    Fewer than `FEWEST_REAL` real clips of sound and picture are measured by their synchrony alone.
    Raises UsageError where there are too few clips to measure with.
    """
    both = {"sound", "picture"} <= {domain.medium for domain in domains.values()}
    fewest = 2 if both else FEWEST_REAL
    real = read_real(data, domains, seconds, labels, _progress("encode", report), fewest)
    clips = list(rendered)
    if len(clips) < 2:
        raise UsageError(f"an evaluation needs two rendered clips or more; got {len(clips)}")
    if sheet is not None:
        side_by_side([*real.test, *real.train], clips, sheet)
    everything = [*real.train, *real.test]
    if few := len(everything) < FEWEST_REAL:
        note = f"{len(everything)} real clips are too few to train a classifier on: only their synchrony is measured"
    synchrony = {}
    if both:
        beside = {"real": everything} if few else {"real test": real.test}
        synchrony = _synchrony({**beside, "rendered": clips}, data.bounce is not None, seed)
    if few and not synchrony:
        raise UsageError(f"{note}, and there are not two of them, or not two rendered, with sound and moving picture")
    if few:
        return Evaluation(name, len(clips), (), (*real.notes, note), synchrony)
    drawn, _ = draw(real.test, clips, seed)
    if not drawn:
        asked = ", ".join(sorted({clip.label or "(none)" for clip in clips}))
        raise UsageError(f"no real test clip has a label of the rendered ones: {asked}")
    doubles, _ = draw(real.train, [real.test[i] for i in drawn], seed)
    sets = {
        "real test": real.test,
        "rendered": clips,
        "through domain": [round_trip(real.test[i], domains, seconds) for i in drawn],
        "noise": [noise_like(real.test[i], seed, "noise", i) for i in drawn],
        "copies": [real.train[i] for i in doubles],
    }
    sections = []
    for medium in sorted({domain.medium for domain in domains.values()}):
        classifier = _classifier(medium, real.train, clips[0], seconds, seed, cache, _progress("classifier", report))
        sections.append(_section(medium, classifier, real.train, sets, seed))
    notes = list(real.notes)
    if len(drawn) < 50:
        notes.append(f"only {len(drawn)} clips of each set are compared, so the figures are rough")
    missing = sorted(set(labels) - {clip.label or "" for clip in real.test})
    if missing:
        notes.append(f"no test clips of {', '.join(missing)}: only recognition and copies tell of them")
    return Evaluation(name, len(clips), tuple(sections), tuple(notes), synchrony)


def side_by_side(real: Sequence[Clip], rendered: Sequence[Clip], path: Path) -> Path:
    """Draws up to four real clips of each label above as many rendered ones; up to twelve labels.

    Of clips with sound and moving picture it draws the timing of two real ones and of four rendered ones.
    """
    timed = [[clip for clip in clips if _is_heard_and_seen(clip)] for clips in (real, rendered)]
    if all(timed):
        titled = zip(("real", "rendered"), timed, (2, 4), strict=True)
        return timing_sheet([(_titled(what, clip), clip) for what, some, n in titled for clip in some[:n]], path)
    rows = []
    for label in sorted({clip.label or "" for clip in rendered})[:12]:
        for title, clips in (("real", real), ("rendered", rendered)):
            found = [clip for clip in clips if (clip.label or "") == label][:4]
            rows.append(plots.Row(f"{title} {label}".strip(), found))
    return plots.sheet([row for row in rows if row.clips], path)


def _titled(what: str, clip: Clip) -> str:
    return f"{what}, {clip.label}" if clip.label else what


def draw(one: Sequence[Clip], other: Sequence[Clip], *key: int | str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Places in both sets, drawn by key: of each label as many as both have."""
    places: tuple[list[int], list[int]] = ([], [])
    for label in sorted({clip.label or "" for clip in one}):
        found = [[i for i, clip in enumerate(clips) if (clip.label or "") == label] for clips in (one, other)]
        count = min(map(len, found))
        for out, rows, which in zip(places, found, (0, 1), strict=True):
            rng = numpy_generator(*key, "draw", which, label)
            out += sorted(int(i) for i in rng.permutation(rows)[:count])
    return tuple(places[0]), tuple(places[1])


@dataclass(frozen=True)
class _Known:
    """The train clips in features and as the classifier sees them, and what real test clips have beside them."""

    classifier: Classifier
    features: np.ndarray
    images: np.ndarray
    near: float
    near_view: float


def _section(
    medium: str, classifier: Classifier, train: Sequence[Clip], sets: Mapping[str, Sequence[Clip]], seed: int
) -> Section:
    known_clips, sets = _having(medium, train), {name: _having(medium, clips) for name, clips in sets.items()}
    test, rendered = sets["real test"], sets["rendered"]
    if not test:
        raise UsageError(f"none of the real test clips has {medium}; take a folder with such files (--data)")
    features = recognise(known_clips, classifier).features
    images = _images(known_clips, classifier.view)
    known = _Known(
        classifier,
        features,
        images,
        float(np.median(metrics.nearest(recognise(test, classifier).features, features))),
        float(np.median(metrics.nearest(_images(test, classifier.view), images))),
    )
    draws = [draw(test, rendered, seed, i) for i in range(DRAWS)]
    everything = {name: [tuple(range(len(clips)))] for name, clips in sets.items()}
    drawn = everything | {"real test": [a for a, _ in draws], "rendered": [b for _, b in draws]}
    real_levels = [levels(test[i], medium) for i in draws[0][0]]
    columns = {name: _column(medium, clips, drawn[name], known, real_levels, seed) for name, clips in sets.items()}
    return Section(
        medium,
        classifier.key,
        classifier.labels,
        len(known.features),
        len(draws[0][0]),
        metrics.NEIGHBOURS,
        columns,
    )


def _column(
    medium: str,
    clips: Sequence[Clip],
    drawn: Sequence[tuple[int, ...]],
    known: _Known,
    real_levels: Sequence[Mapping[str, float]],
    seed: int,
) -> Column:
    found = recognise(clips, known.classifier)
    features, view = found.features, known.classifier.view
    recognised, confused = None, {}
    asked = [clip.label for clip in clips]
    if set(asked) <= set(known.classifier.labels):
        pairs = [(a, b) for a, b in zip(asked, found.labels, strict=True) if a != b]
        recognised = metrics.share(len(clips) - len(pairs), len(clips))
        confused = {f"{a} as {b}": n for (a, b), n in Counter(pairs).most_common()}
    first = features[list(drawn[0])]
    precision = recall = spread = None
    if len(first) >= FEWEST:
        rows = [list(one) for one in dict.fromkeys(drawn)]
        precision = float(np.mean([metrics.precision(known.features, features[r]) for r in rows]))
        recalls = [metrics.recall(known.features, features[r]) for r in rows]
        recall = float(np.mean(recalls))
        spread = float(np.std(recalls)) if len(recalls) > 1 else None
    near = metrics.nearest(features, known.features)
    near_view = metrics.nearest(_images(clips, view), known.images)
    return Column(
        len(clips),
        recognised,
        confused,
        precision,
        recall,
        spread,
        metrics.diversity(first, [asked[i] for i in drawn[0]]),
        metrics.discrepancy(known.features, first, seed),
        float(np.median(near)),
        int((near < known.near / 2).sum()),
        float(np.median(near_view)),
        int((near_view < known.near_view / 2).sum()),
        _levels([levels(clips[i], medium) for i in drawn[0]], real_levels),
    )


def _synchrony(sets: Mapping[str, Sequence[Clip]], is_bounce: bool, seed: int) -> dict[str, Synchrony]:
    """Real clips, rendered ones, and these with their sounds shuffled; impacts too, where the clips show balls."""
    sets = {name: [clip for clip in clips if _is_heard_and_seen(clip)] for name, clips in sets.items()}
    if min(map(len, sets.values())) < 2:
        return {}
    sets["rendered, sounds shuffled"] = shuffled(sets["rendered"], seed)
    return {name: synchrony_of(clips, is_bounce) for name, clips in sets.items()}


def synchrony_of(clips: Sequence[Clip], is_bounce: bool) -> Synchrony:
    """How sound and picture of these clips go together; impacts too, where they show bouncing balls."""
    return Synchrony(agreement(clips), seen_and_heard(clips) if is_bounce else None)


def _is_heard_and_seen(clip: Clip) -> bool:
    return clip.sound is not None and clip.picture is not None and not clip.picture.is_still


def _levels(found: Sequence[Mapping[str, float]], real: Sequence[Mapping[str, float]]) -> dict[str, Level]:
    from scipy.stats import ks_2samp

    out = {}
    # Of still images nothing is said of motion: what some clips lack is compared in none.
    for name in (name for name in real[0] if all(name in one for one in (*found, *real))):
        values = np.array([one[name] for one in found])
        low, median, high = (float(x) for x in np.quantile(values, [0.1, 0.5, 0.9]))
        test = ks_2samp(values, [one[name] for one in real], method="asymp")
        out[name] = Level(low, median, high, float(test.statistic), float(test.pvalue))
    return out


def _having(medium: str, clips: Sequence[Clip]) -> list[Clip]:
    return [clip for clip in clips if getattr(clip, medium) is not None]


def _progress(event: str, report: Callable[[dict[str, Any]], None]) -> Callable[[int, int], None]:
    return lambda done, of: report({"event": event, "done": done, "of": of})


def _classifier(
    medium: str,
    clips: Sequence[Clip],
    like: Clip,
    seconds: Fraction,
    seed: int,
    cache: Path | None,
    progress: Callable[[int, int], None],
) -> Classifier:
    """Of labels, where there are two or more; of real clips and noise, where not."""
    clips = _having(medium, clips)
    labels = [clip.label or "" for clip in clips]
    if len(set(labels)) < 2:
        clips = [*clips, *(noise_like(clip, seed, "other", i) for i, clip in enumerate(clips))]
        labels = ["real"] * len(labels) + ["noise"] * len(labels)
    steps = min(MOST_STEPS, max(FEWEST_STEPS, len(clips) * EPOCHS // BATCH))
    return train(clips, labels, _view(medium, like, seconds), Settings(steps, seed=seed), cache, progress)


def _view(medium: str, like: Clip, seconds: Fraction) -> View:
    if medium == "sound":
        return SoundView(sound_of(like).sample_rate, float(seconds))
    height, width = picture_of(like).frames.shape[1:3]
    scale = min(1.0, SHORT_SIDE / min(height, width))
    return PictureView(round(height * scale), round(width * scale), 1 if picture_of(like).is_still else 4)


def _images(clips: Sequence[Clip], view: View) -> np.ndarray:
    """What the classifier sees of each clip, `[N, values]`."""
    batches = [view.image(view.prepare(clips[i : i + 64])).flatten(1).numpy() for i in range(0, len(clips), 64)]
    return np.concatenate(batches)
