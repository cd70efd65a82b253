"""Balls in a box, seen and heard: clips whose synchrony is exact, with every impact known.

Each ball flies under gravity and loses nothing when it bounces, so that all of its path is known in closed form: its
height repeats, its place between the walls goes to and fro. Each impact sounds, at its exact sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.data.settings import BounceSettings
from mediadiff.errors import UsageError
from mediadiff.rng import numpy_generator

VERSION = 4
"""To be raised when the same settings make other clips."""
GRAVITY = 2.0
"""Box heights per second squared."""
COLOURS = np.array(
    [(235, 64, 52), (245, 166, 35), (235, 230, 60), (70, 210, 90), (60, 150, 245), (190, 90, 235)], np.float32
)
BACKGROUND = np.array([14, 14, 20], np.float32)
RADII = (0.12, 0.18)
"""Of small and of large balls, in box heights."""
NARROWEST = 0.5
"""Box heights: the least width of a box."""
DROPS = (0.5, 1.0)
"""Of the way from the floor to the ceiling."""
SPEEDS = (0.2, 0.5)
"""Along the floor, in box heights per second. Where no clip has more than one ball it is twice as fast, and its impacts
are sparse all the same."""
LOWEST = 300.0
"""Hz: what a large ball of the first colour sounds; each next colour is a sixth of an octave higher, a small ball an
octave."""
ATTACK, DECAY = 0.002, 0.07
"""Seconds of an impact's rise, and of its fall to a third."""
APART = 0.1
"""Seconds between any two impacts, and to the clip's ends, where `TRIES` draws of a ball suffice: each impact is heard
alone."""
TRIES = 40


@dataclass(frozen=True)
class Ball:
    """A ball's look, and where it is at any time. Lengths are in box heights, the floor is at 0."""

    colour: int
    """A row of `COLOURS`."""
    radius: float
    drop: float
    """How far it falls from its highest point to the floor."""
    phase: float
    """Seconds before the clip's start at which it last left the floor."""
    start: float
    """Where between the walls it starts, from 0 (touching the left one) to 1."""
    speed: float
    """Along the floor, in box heights per second; negative to the left."""
    width: float
    """Of the box."""

    @property
    def pitch(self) -> float:
        """The fundamental of its impacts, in Hz."""
        return pitch_of(self.colour, self.radius)

    @property
    def period(self) -> float:
        """Seconds between two impacts on the floor."""
        return 2 * math.sqrt(2 * self.drop / GRAVITY)

    @property
    def room(self) -> float:
        """How far it can go between the walls."""
        return self.width - 2 * self.radius

    def at(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Its centre, from the left wall and above the floor, at each of `seconds`."""
        since = (seconds + self.phase) % self.period
        height = self.radius + since * (GRAVITY / 2) * (self.period - since)
        way = (self.start * self.room + self.speed * seconds) % (2 * self.room)
        return self.radius + np.where(way < self.room, way, 2 * self.room - way), height

    def impacts(self, seconds: float) -> list[tuple[float, float, bool]]:
        """All of its impacts before `seconds`: when, how fast, and whether on a wall."""
        down = math.sqrt(2 * GRAVITY * self.drop)
        floor = [(t, down, False) for t in _times(self.period - self.phase, self.period, seconds)]
        if not self.speed:
            return floor
        pace = self.room / abs(self.speed)
        first = (1 - self.start if self.speed > 0 else self.start) * pace
        return floor + [(t, abs(self.speed), True) for t in _times(first, pace, seconds)]


@dataclass(frozen=True)
class Impact:
    """A ball meets the floor or a wall: `seconds` into the clip, at `place` (0 left to 1 right), with `speed` in box
    heights per second."""

    seconds: float
    place: float
    speed: float
    ball: int
    wall: bool


@dataclass(frozen=True)
class Scene:
    """One clip, known exactly."""

    balls: tuple[Ball, ...]
    seconds: float

    def impacts(self) -> list[Impact]:
        """Every impact within the clip, in order of time."""
        found = []
        for number, ball in enumerate(self.balls):
            impacts = ball.impacts(self.seconds)
            places = ball.at(np.array([t for t, _, _ in impacts]))[0] / ball.width
            for (t, speed, wall), place in zip(impacts, places, strict=True):
                found.append(Impact(t, float(place), speed, number, wall))
        return sorted(found, key=lambda impact: impact.seconds)

    def picture(self, height: int, width: int, rate: Fraction) -> Picture:
        """The box as a still camera sees it: uint8 `[T, H, W, 3]`, each frame at the middle of its time."""
        count = max(1, round(self.seconds * rate))
        seconds = (np.arange(count) + 0.5) / float(rate)
        rows = 1 - (np.arange(height, dtype=np.float32) + 0.5) / height
        columns = (np.arange(width, dtype=np.float32) + 0.5) / height
        frames = np.broadcast_to(BACKGROUND, (count, height, width, 3)).copy()
        for ball in self.balls:
            x, y = (v.astype(np.float32) for v in ball.at(seconds))
            away = np.sqrt(np.square(columns - x[:, None])[:, None, :] + np.square(rows - y[:, None])[:, :, None])
            # An edge one pixel wide: a ball's place is seen to a part of a pixel.
            cover = np.clip((ball.radius - away) * height + 0.5, 0, 1)[..., None]
            frames += cover * (COLOURS[ball.colour] - frames)
        return Picture(frames.round().astype(np.uint8), rate)

    def sound(self, sample_rate: int, channels: int) -> Sound:
        """Every impact as a short tone of its ball's pitch, louder when faster, panned to where it happens."""
        out = np.zeros((channels, max(1, round(self.seconds * sample_rate))), np.float32)
        for impact in self.impacts():
            first = math.ceil(impact.seconds * sample_rate)
            t = np.arange(first, min(out.shape[1], first + round(6 * DECAY * sample_rate))) / sample_rate
            t = (t - impact.seconds).astype(np.float32)
            turns = 2 * np.pi * self.balls[impact.ball].pitch * t
            tone = np.sin(turns) + 0.4 * np.sin(2 * turns)
            tone *= np.minimum(t / ATTACK, 1) * np.exp(-t / DECAY) * loudness(impact.speed)
            for channel, gain in enumerate(pan(impact.place) if channels == 2 else (1.0,)):
                out[channel, first : first + len(t)] += gain * tone
        return Sound(out, sample_rate)


def pitch_of(colour: int, radius: float) -> float:
    """The pitch in Hz of a ball of this look: see `LOWEST`."""
    return LOWEST * 2 ** (colour / len(COLOURS) + (radius == RADII[0]))


def loudness(speed: float) -> float:
    """How strong an impact's fundamental starts, for its speed in box heights per second."""
    return min(0.1 + 0.12 * speed, 0.6)


def pan(place: float) -> tuple[float, float]:
    """Gains left and right, of equal power, for a place from 0 to 1."""
    return math.cos(place * math.pi / 2), math.sin(place * math.pi / 2)


def scene(settings: BounceSettings, index: int, seconds: float, width: float = 1.0) -> Scene:
    """Clip number `index` of the settings' seed: a function of these arguments alone. `width` is the box's, in its
    heights; UsageError where it leaves the balls no room."""
    if width < NARROWEST:
        raise UsageError(f"a picture of balls is at least half as wide as high; got {width:.2g} times its height")
    random = numpy_generator("bounce", settings.seed, index)
    # As many clips with each number of balls, whatever the number of clips.
    count = 1 + index % settings.balls
    balls: list[Ball] = []
    taken = [0.0, seconds]
    for colour in random.permutation(len(COLOURS))[:count]:
        best, widest = None, -1.0
        for _ in range(TRIES):
            ball = _ball(int(colour), width, settings.balls == 1, random)
            times = sorted([*taken, *(t for t, _, _ in ball.impacts(seconds))])
            apart = min(after - before for before, after in zip(times, times[1:], strict=False))
            if apart > widest:
                best, widest = (ball, times), apart
            if apart >= APART:
                break
        assert best is not None
        balls.append(best[0])
        taken = best[1]
    return Scene(tuple(balls), seconds)


def _ball(colour: int, width: float, is_lone: bool, random: np.random.Generator) -> Ball:
    radius = RADII[int(random.integers(2))]
    drop = float(random.uniform(*DROPS)) * (1 - 2 * radius)
    period = 2 * math.sqrt(2 * drop / GRAVITY)
    speed = float(random.uniform(*SPEEDS)) * (2 if is_lone else 1) * (1 if random.random() < 0.5 else -1)
    return Ball(colour, radius, drop, float(random.uniform(0, period)), float(random.uniform(0, 1)), speed, width)


def clip(
    settings: BounceSettings,
    index: int,
    seconds: float,
    size: tuple[int, int] | None = (32, 32),
    rate: Fraction = Fraction(12),
    sample_rate: int | None = 16_000,
    channels: int = 1,
) -> Clip:
    """Clip number `index` as media, `size` in pixels (height, width), labelled with its number of balls.

    Without `size` it has no picture, without `sample_rate` no sound.
    """
    made = scene(settings, index, seconds, size[1] / size[0] if size else 1.0)
    sound = made.sound(sample_rate, channels) if sample_rate else None
    picture = made.picture(*size, rate) if size else None
    return Clip(sound=sound, picture=picture, label=str(len(made.balls)))


@dataclass(frozen=True)
class Generated:
    """A clip by its number, to be made when it is wanted."""

    settings: BounceSettings
    index: int

    @property
    def content(self) -> str:
        """What stands for a file's hash: equal for equal clips, whatever else the settings hold."""
        return f"bounce-{VERSION}-{self.settings.seed}-{self.settings.balls}-{self.index}"


def _times(first: float, every: float, end: float) -> list[float]:
    return [first + i * every for i in range(max(0, math.ceil((end - first) / every)))]
