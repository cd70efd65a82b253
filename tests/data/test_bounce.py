"""Bouncing balls: the path, the picture and the sound agree with each other and with the laws of motion."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import numpy as np
import pytest

from mediadiff.data import bounce
from mediadiff.data.bounce import APART, COLOURS, GRAVITY, RADII, Ball, Scene
from mediadiff.data.settings import BounceSettings

THREE = BounceSettings(balls=3)
SCENES = [bounce.scene(THREE, index, 2.0) for index in range(30)]


def ball(**changes: float) -> Ball:
    """A small green ball that falls from half a box height and hits the floor 0.4 s into the clip, in the middle."""
    drop = 0.5
    period = 2 * math.sqrt(2 * drop / GRAVITY)
    values = dict(colour=3, radius=RADII[0], drop=drop, phase=period - 0.4, start=0.5, speed=0.0, width=1.0)
    return Ball(**{**values, **changes})  # type: ignore[arg-type]


def test_a_ball_falls_freely_between_impacts_and_loses_nothing() -> None:
    one = ball()
    step = 1e-3
    # In the middle of a flight the second difference of the height is that of free fall.
    _, y = one.at(0.4 + one.period / 2 + np.array([-step, 0.0, step]))
    assert (y[0] - 2 * y[1] + y[2]) / step**2 == pytest.approx(-GRAVITY, rel=1e-3)
    assert y[1] == pytest.approx(one.radius + one.drop)
    x, later = one.at(0.4 + one.period / 2 + one.period * np.arange(1, 4))
    assert later == pytest.approx(y[1]) and x == pytest.approx(0.5)


def test_the_path_turns_exactly_at_each_impact_and_nowhere_else() -> None:
    for scene in SCENES[:12]:
        for number, one in enumerate(scene.balls):
            mine = [impact for impact in scene.impacts() if impact.ball == number]
            for impact in mine:
                t, step = impact.seconds, 1e-5
                x, y = one.at(t + np.array([-2 * step, -step, 0.0, step, 2 * step]))
                path = x if impact.wall else y
                into, out = (path[1] - path[0]) / step, (path[4] - path[3]) / step
                assert into == pytest.approx(-out, rel=1e-3, abs=2e-3) and abs(into) == pytest.approx(
                    impact.speed, rel=1e-3
                )
                ends = (one.radius, one.width - one.radius) if impact.wall else (one.radius,)
                assert min(abs(path[2] - end) for end in ends) < 1e-9
                assert impact.place == pytest.approx(x[2] / one.width)
            # Every turn of a finely sampled path is one of these impacts (or the top of a flight, which is smooth).
            t = np.linspace(0, scene.seconds, 50_001)
            for path, wall in zip(one.at(t), (True, False), strict=True):
                bend = np.abs(np.diff(path, 2)) / (t[1] - t[0])
                corners = t[1:-1][bend > 0.1]
                at = np.array([impact.seconds for impact in mine if impact.wall == wall])
                assert all(np.abs(at - corner).min() < 8e-5 for corner in corners)


def test_a_ball_stays_in_its_box() -> None:
    for scene in SCENES:
        for one in scene.balls:
            x, y = one.at(np.linspace(0, 30, 5001))
            assert one.radius - 1e-9 <= x.min() and x.max() <= one.width - one.radius + 1e-9
            assert one.radius - 1e-9 <= y.min() and y.max() <= 1 - one.radius + 1e-9


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 44_100])
def test_a_tone_starts_within_one_sample_of_its_impact(sample_rate: int) -> None:
    sound = Scene((ball(),), 1.0).sound(sample_rate, 1)
    first = int(np.flatnonzero(sound.samples[0])[0])
    assert 0 <= first / sample_rate - 0.4 < 2 / sample_rate  # the first sample of a sine may be 0 itself
    for scene in SCENES[:10]:
        samples = scene.sound(sample_rate, 1).samples[0]
        assert np.flatnonzero(samples)[0] / sample_rate - scene.impacts()[0].seconds < 2 / sample_rate


def test_the_pitch_is_that_of_colour_and_size() -> None:
    heard = {}
    for colour in range(len(COLOURS)):
        for radius in RADII:
            sound = Scene((ball(colour=colour, radius=radius),), 1.0).sound(16_000, 1)
            spectrum = np.abs(np.fft.rfft(sound.samples[0, 6400:8400], 65_536))
            heard[colour, radius] = spectrum.argmax() * 16_000 / 65_536
            assert heard[colour, radius] == pytest.approx(bounce.pitch_of(colour, radius), rel=0.01)
    assert heard[0, RADII[1]] == pytest.approx(300, rel=0.01) and heard[0, RADII[0]] == pytest.approx(600, rel=0.01)
    pitches = sorted(heard.values())
    assert all(b / a > 2 ** (1 / 7) for a, b in zip(pitches, pitches[1:], strict=False))


@pytest.mark.parametrize(("start", "left_of_right"), [(0.0, 5.24), (0.5, 1.0), (1.0, 1 / 5.24)])
def test_the_place_is_heard_in_stereo_with_equal_power(start: float, left_of_right: float) -> None:
    left, right = Scene((ball(start=start),), 1.0).sound(16_000, 2).samples
    mono = Scene((ball(start=start),), 1.0).sound(16_000, 1).samples[0]
    assert np.sqrt((left**2).sum() / (right**2).sum()) == pytest.approx(left_of_right, rel=0.03)
    assert (left**2 + right**2).sum() == pytest.approx((mono**2).sum(), rel=1e-4)


def test_faster_is_louder() -> None:
    def peak(drop: float) -> float:
        one = ball(drop=drop, phase=2 * math.sqrt(2 * drop / GRAVITY) - 0.4)
        return float(np.abs(Scene((one,), 1.0).sound(16_000, 1).samples).max())

    assert peak(0.2) < peak(0.4) < peak(0.8) < 0.6
    speeds = math.sqrt(0.2), math.sqrt(0.8)
    expected = [bounce.loudness(math.sqrt(2 * GRAVITY) * speed) for speed in speeds]
    assert peak(0.8) / peak(0.2) == pytest.approx(expected[1] / expected[0], rel=1e-3)


@pytest.mark.parametrize(
    ("rate", "size"), [(Fraction(12), (32, 32)), (Fraction(125, 8), (24, 40)), (Fraction(24000, 1001), (48, 32))]
)
def test_each_frame_shows_the_middle_of_its_time(rate: Fraction, size: tuple[int, int]) -> None:
    height, width = size
    one = ball(width=width / height, speed=0.4, start=0.2)
    picture = Scene((one,), 2.0).picture(height, width, rate)
    assert picture.rate == rate and picture.frames.shape == (round(2 * rate), height, width, 3)
    light = (picture.frames.astype(float) - bounce.BACKGROUND.astype(float)).clip(0)[..., 1]
    x = (light.sum(1) * (np.arange(width) + 0.5)).sum(1) / light.sum((1, 2)) / height
    y = 1 - (light.sum(2) * (np.arange(height) + 0.5)).sum(1) / light.sum((1, 2)) / height
    seconds = (np.arange(len(x)) + 0.5) / float(rate)
    assert np.abs(np.stack([x, y]) - np.stack(one.at(seconds))).max() * height < 0.1  # a tenth of a pixel


def test_a_clip_is_a_function_of_seed_and_index() -> None:
    one, same = (bounce.clip(THREE, 7, 2.0, channels=2) for _ in range(2))
    assert one.sound and one.picture and same.sound and same.picture
    assert np.array_equal(one.sound.samples, same.sound.samples)
    assert np.array_equal(one.picture.frames, same.picture.frames)
    # However many clips the settings ask for, and whatever is made before.
    assert bounce.scene(BounceSettings(clips=20, balls=3), 7, 2.0) == bounce.scene(THREE, 7, 2.0)
    others = [bounce.scene(THREE, 8, 2.0), bounce.scene(BounceSettings(balls=3, seed=1), 7, 2.0)]
    assert bounce.scene(THREE, 7, 2.0) not in others


def test_numbers_of_balls_are_even_and_colours_differ() -> None:
    assert [len(scene.balls) for scene in SCENES[:6]] == [1, 2, 3, 1, 2, 3]
    assert all(len({one.colour for one in scene.balls}) == len(scene.balls) for scene in SCENES)
    assert [bounce.clip(THREE, i, 0.5).label for i in range(3)] == ["1", "2", "3"]


def test_impacts_are_apart_so_that_each_is_heard_alone() -> None:
    gaps = [np.diff([0, *(impact.seconds for impact in scene.impacts()), 2.0]).min() for scene in SCENES]
    assert sum(gap >= APART for gap in gaps) >= 28 and min(gaps) > APART / 3
    assert 1 < np.mean([len(scene.impacts()) / len(scene.balls) for scene in SCENES]) < 3


def test_any_size_rate_and_length() -> None:
    clip = bounce.clip(THREE, 2, 7.3, (20, 64), Fraction(30000, 1001), 44_100, 2)
    assert clip.picture and clip.picture.frames.shape == (219, 20, 64, 3)
    assert clip.sound and clip.sound.samples.shape == (2, 321_930) and np.abs(clip.sound.samples).max() < 1
    assert bounce.clip(THREE, 2, 0.5, size=None).picture is None
    assert bounce.clip(THREE, 2, 0.5, sample_rate=None).sound is None


def test_hundreds_of_clips_a_second() -> None:
    settings = BounceSettings()
    best = min(_seconds(settings) for _ in range(3))
    assert best < 1.0, f"100 clips took {best:.2f} s of processor time"


def _seconds(settings: BounceSettings) -> float:
    begun = time.process_time()
    for index in range(100):
        bounce.clip(settings, index, 2.0)
    return time.process_time() - begun
