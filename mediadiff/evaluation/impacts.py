"""Impacts of bouncing balls, seen and heard: the exact score of synchrony, one impact at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from mediadiff.clip import Clip, Sound
from mediadiff.data.bounce import Scene
from mediadiff.evaluation.paths import Turn, turns
from mediadiff.evaluation.sync import matches
from mediadiff.evaluation.tones import Tone, tones
from mediadiff.evaluation.views import picture_of, sound_of

IN_TUNE = 1.0
"""Semitones by which a pitch may be off: half of what is between two colours."""
IN_PLACE = 0.15
"""Part of the box's width by which a place may be off."""


@dataclass(frozen=True)
class Impacts:
    """Counts over one clip or many, which can be added.

    `seen`: impacts in the picture; `matched`: those with a tone of their own within one frame; `in_tune`, `in_place`:
    of the matched ones, those whose pitch is the ball's, and whose stereo place is the impact's (None for mono sound);
    `alone`: tones without an impact, where the picture would show one.
    """

    seen: int = 0
    matched: int = 0
    in_tune: int = 0
    in_place: int | None = 0
    alone: int = 0

    def __add__(self, other: Impacts) -> Impacts:
        in_place = None if self.in_place is None or other.in_place is None else self.in_place + other.in_place
        return Impacts(
            self.seen + other.seen,
            self.matched + other.matched,
            self.in_tune + other.in_tune,
            in_place,
            self.alone + other.alone,
        )

    def shares(self) -> dict[str, float | None]:
        """0..1, None of nothing: impacts that sound, tones without an impact, in tune, in place (of the matched)."""
        return {
            "matched": _share(self.matched, self.seen),
            "alone": _share(self.alone, self.matched + self.alone),
            "in_tune": _share(self.in_tune, self.matched),
            "in_place": _share(self.in_place, self.matched),
        }


def seen_and_heard(clips: Iterable[Clip]) -> Impacts:
    """The impacts that the pictures show against the tones of the sounds."""
    total = Impacts()
    for clip in clips:
        picture = picture_of(clip)
        frame = 1 / float(picture.rate)
        # A path is seen on both sides of an impact from the second frame to the last but one.
        shown = (2 * frame, (len(picture.frames) - 2) * frame)
        total += compare(turns(picture), tones(sound_of(clip)), frame, shown)
    return total


def true_and_heard(scene: Scene, sound: Sound, rate: Fraction | float) -> Impacts:
    """The impacts that happen in the scene against the tones of the sound, within a frame at `rate`."""
    happened = [
        Turn(impact.seconds, impact.place, scene.balls[impact.ball].pitch, impact.wall) for impact in scene.impacts()
    ]
    return compare(happened, tones(sound), 1 / float(rate), (0.0, scene.seconds))


def compare(seen: Sequence[Turn], heard: Sequence[Tone], within: float, shown: tuple[float, float]) -> Impacts:
    """Impacts against tones, matched one to one `within` seconds. A tone outside `shown` (from, to) is not alone."""
    pairs = matches([turn.seconds for turn in seen], [tone.seconds for tone in heard], within)
    matched = [(seen[i], heard[j]) for i, j in pairs]
    taken = {j for _, j in pairs}
    alone = sum(shown[0] <= tone.seconds <= shown[1] for j, tone in enumerate(heard) if j not in taken)
    places = [(turn.place, tone.place) for turn, tone in matched]
    return Impacts(
        seen=len(seen),
        matched=len(matched),
        in_tune=sum(12 * abs(math.log2(tone.pitch / turn.pitch)) <= IN_TUNE for turn, tone in matched),
        in_place=None
        if any(tone.place is None for tone in heard)
        else sum(tone is not None and abs(turn - tone) <= IN_PLACE for turn, tone in places),
        alone=alone,
    )


def _share(part: int | None, of: int) -> float | None:
    return None if part is None or not of else part / of
