"""Models side by side, or one model sampled in several ways: what `mediadiff compare` prints."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff.errors import UsageError
from mediadiff.measure import asked_of, counted, enough, evaluated, real_data
from mediadiff.model import Model, load
from mediadiff.yaml_document import read_value

if TYPE_CHECKING:
    from mediadiff.diffusion.settings import SamplingSettings
    from mediadiff.evaluation.report import Column, Evaluation, Synchrony

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Rival:
    """What one model came to."""

    asked: str
    """The model and the changes to its sampling, as they were asked for."""
    sampling: SamplingSettings
    evaluations: float
    """Runs of the network for a clip, those for guidance too."""
    seconds: float
    """Seconds for a clip on this machine, decoded, in full micro-batches."""
    evaluation: Evaluation


@dataclass(frozen=True)
class Comparison:
    """The figures of all."""

    rivals: tuple[Rival, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `json` can write."""
        return {
            "rivals": [
                {
                    "asked": one.asked,
                    "sampling": asdict(one.sampling),
                    "evaluations": one.evaluations,
                    "seconds_per_clip": one.seconds,
                    "evaluation": one.evaluation.to_dict(),
                }
                for one in self.rivals
            ]
        }

    def text(self) -> str:
        """A table for each medium, and one for synchrony, with one line for each model.

        Models that are held against the same real clips stand below these.
        """
        from mediadiff.evaluation.report import aligned, synchrony_lines

        heads = ["", "sampler", "steps", "evaluations", "s per clip"]
        cost = [[r.asked, r.sampling.sampler, str(r.sampling.steps), f"{r.evaluations:g}"] for r in self.rivals]
        parts = aligned([heads, *([*row, f"{r.seconds:.3f}"] for row, r in zip(cost, self.rivals, strict=True))])
        for medium in dict.fromkeys(s.medium for r in self.rivals for s in r.evaluation.sections):
            rows = [[medium, "clips", "recognised", "precision", "recall", "discrepancy"]]
            shown: list[str] = []
            for rival in self.rivals:
                for section in rival.evaluation.sections:
                    if section.medium == medium:
                        if shown != (shown := [section.classifier, *_cells(section.columns["real test"])]):
                            rows.append(["real test", *shown[1:]])
                        rows.append([rival.asked, *_cells(section.columns["rendered"])])
            parts += ["", *aligned(rows)]
            if len({s.classifier for r in self.rivals for s in r.evaluation.sections if s.medium == medium}) > 1:
                parts.append("Each group is measured by a classifier of its own, and compares within itself only.")
        together: dict[str, Synchrony] = {}
        for rival in self.rivals:
            if found := rival.evaluation.synchrony:
                name, real = next(iter(found.items()))
                if real not in together.values():
                    together[f"{name} ({rival.asked})" if name in together else name] = real
                together[rival.asked] = found["rendered"]
        if together:
            parts += ["", *synchrony_lines(together)]
        return "\n".join(parts)


def compare(
    asked: Sequence[str],
    data: Path | None = None,
    num: int | None = None,
    seed: int = 0,
    report: Report = lambda event: None,
) -> Comparison:
    """Renders `num` clips of the same seed with each of `asked`, such as `digits:steps=2,sampler=unipc`, and measures.

    See `mediadiff.measure.measure` for `data` and the default of `num`. Raises UsageError and RecipeError for what
    cannot be asked, before anything is rendered.
    """
    told = [_parsed(one) for one in asked]
    rows = [(text, model, model.sampling(**changes), real_data(model, data)) for text, model, changes in told]
    counts = [enough(model, num) for _, model, _, _ in rows]
    rivals = []
    for (text, model, sampling, real), count in zip(rows, counts, strict=True):
        requests = model.requests(count, seed=seed, **asked_of(model, real, seed))
        # What is loaded when it is first used, and tried out by the processor, is no clip's time.
        for _ in model.generator.render(requests[:1], model.seconds, sampling):
            pass
        with _counting(model) as runs:
            begun = time.monotonic()
            clips = list(counted(model.generator.render(requests, model.seconds, sampling), count, report))
            seconds = (time.monotonic() - begun) / count
        evaluations = len(runs) / math.ceil(count / sampling.batch)
        rivals.append(Rival(text, sampling, evaluations, seconds, evaluated(model, clips, real, None, report)))
    return Comparison(tuple(rivals))


def _parsed(text: str) -> tuple[str, Model, dict[str, Any]]:
    """`MODEL:key=value,key=value` as it stands, its model, and the changes to how that is sampled."""
    found = re.fullmatch(r"(.+?)(?::(\w+=.*))?", text)
    if found is None:
        raise UsageError("compare takes models, such as digits or digits:steps=2,sampler=unipc; got an empty name")
    changes: dict[str, Any] = {}
    # Not at the commas inside {sound: 40, picture: 10}.
    for part in re.split(r",(?![^{]*})", found[2]) if found[2] else ():
        name, equals, value = part.partition("=")
        read, wrong = read_value(value)
        if not equals or wrong:
            raise UsageError(f"{text}: {part!r} is not of the form key=value, such as steps=2")
        changes[name] = read
    return text, load(found[1]), changes


@contextmanager
def _counting(model: Model) -> Iterator[list[None]]:
    """One entry for each run of a network of the model inside the block."""
    runs: list[None] = []
    networks = [network for network in (model.generator.denoiser, model.generator.weak) if network is not None]
    hooks = [network.register_forward_pre_hook(lambda *given: runs.append(None)) for network in networks]
    try:
        yield runs
    finally:
        for hook in hooks:
            hook.remove()


def _cells(column: Column) -> list[str]:
    share = f"{100 * column.recognised.value:.1f} %" if column.recognised else "-"
    figures = ["-" if value is None else f"{value:.2f}" for value in (column.precision, column.recall)]
    return [str(column.clips), share, *figures, f"{column.discrepancy.value:.1f}"]
