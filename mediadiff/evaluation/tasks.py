"""What one model does in each of its tasks, in figures: rendered clips against the real clips they were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mediadiff.clip import Clip
from mediadiff.evaluation import joins
from mediadiff.evaluation.evaluate import synchrony_of
from mediadiff.evaluation.report import Synchrony, synchrony_lines
from mediadiff.evaluation.sync import shuffled


@dataclass(frozen=True)
class Tasks:
    """The figures of a joint model, task by task."""

    name: str
    synchrony: Mapping[str, Synchrony]
    """By set of clips: the real ones, and one set for each task."""
    joins: Mapping[str, joins.Jump]
    """Where clips that were given their beginning go on by themselves."""
    seams: Mapping[str, tuple[float, float]]
    """By stream: the median, over loops, of the step from end to beginning as a multiple of the median step inside, and
    the part of the loops in which it is 1 or less."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `json` can write."""
        synchrony = {
            name: {"av_align": one.agreement.av_align, "lag": one.agreement.lag}
            | (one.impacts.shares() if one.impacts else {})
            for name, one in self.synchrony.items()
        }
        seams = {name: {"median": median, "closed": closed} for name, (median, closed) in self.seams.items()}
        going_on = {name: jump._asdict() for name, jump in self.joins.items()}
        return {"name": self.name, "synchrony": synchrony, "joins": going_on, "seams": seams}

    def text(self) -> str:
        """The figures as tables, and what they are in words."""
        lines = [self.name, "", *synchrony_lines(self.synchrony), "", "going on, at the join"]
        for name, jump in self.joins.items():
            lines.append(
                f"  {name:9} median jump {jump.rendered:.3g}, real {jump.real:.3g}; "
                f"{100 * jump.beyond:.1f} % beyond {100 * joins.RARE:.0f} % of real ones"
            )
        lines += ["", "loops, the step from end to beginning as a multiple of the median step inside"]
        lines += [f"  {n:9} median {m:.2f}; 1 or less in {100 * part:.0f} %" for n, (m, part) in self.seams.items()]
        return "\n".join(lines)


def compare_tasks(
    name: str,
    real: Sequence[Clip],
    made: Mapping[str, Sequence[Clip]],
    gone_on: Sequence[Clip],
    begun: Fraction,
    seams: Sequence[Mapping[str, float]],
    is_bounce: bool,
    seed: int,
) -> Tasks:
    """Figures of the clips that a model made of each of the `real` ones.

    `made` holds clips by task, those with sound and picture both; `gone_on` were given the first `begun` seconds of the
    real ones; `seams` are those of loops (`mediadiff.rendering.seam`).
    """
    sets = {"real": real, **made, "going on": gone_on}
    sets |= {f"{task}, shuffled": shuffled(clips, seed) for task, clips in made.items()}
    frame = round(begun * real[0].picture.rate) if real[0].picture else 0
    both = ([joins.jumps(clip, frame, is_bounce) for clip in clips] for clips in (gone_on, real))
    steps = {stream: np.array([one[stream] for one in seams]) for stream in (seams[0] if seams else {})}
    return Tasks(
        name,
        {task: synchrony_of(clips, is_bounce) for task, clips in sets.items()},
        joins.compared(*both),
        {stream: (float(np.median(found)), float((found <= 1).mean())) for stream, found in steps.items()},
    )
