"""Synchrony: what is shifted is found shifted, what is only louder, brighter or noisier is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.data import bounce
from mediadiff.data.settings import BounceSettings
from mediadiff.evaluation import sync
from mediadiff.evaluation._librosa import librosa
from mediadiff.evaluation.impacts import Impacts, compare, seen_and_heard, true_and_heard
from mediadiff.evaluation.paths import Turn, paths, turns
from mediadiff.evaluation.sync import (
    Agreement,
    agreement,
    av_align,
    matches,
    motion,
    offset,
    onset_strength,
    onsets,
    shuffled,
)
from mediadiff.evaluation.tones import Tone, tones

SETTINGS = BounceSettings(balls=3)
RATE = Fraction(12)
NUMBER = 12
SCENES = [bounce.scene(SETTINGS, i, 2.0) for i in range(NUMBER)]


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [bounce.clip(SETTINGS, i, 2.0, rate=RATE, channels=2) for i in range(NUMBER)]


@pytest.fixture(scope="module")
def before(clips: list[Clip]) -> tuple[Impacts, Agreement]:
    """The figures of the clips as they are."""
    return seen_and_heard(clips), agreement(clips)


def late(clip: Clip, seconds: float) -> Clip:
    """The clip with its sound later by `seconds` (earlier where below 0), silence in its place."""
    assert clip.sound is not None
    n = round(abs(seconds) * clip.sound.sample_rate)
    x = clip.sound.samples
    moved = np.pad(x, ((0, 0), (n, 0)))[:, : x.shape[1]] if seconds > 0 else np.pad(x[:, n:], ((0, 0), (0, n)))
    return replace(clip, sound=Sound(moved, clip.sound.sample_rate))


def softer(clip: Clip) -> Clip:
    assert clip.sound is not None
    return replace(clip, sound=Sound(clip.sound.samples * np.float32(0.25), clip.sound.sample_rate))


def dimmer(clip: Clip) -> Clip:
    assert clip.picture is not None
    frames = (clip.picture.frames * 0.85).round().astype(np.uint8)
    return replace(clip, picture=Picture(frames, clip.picture.rate))


def noisier(clip: Clip) -> Clip:
    """Noise 60 dB below full scale in sound and picture."""
    assert clip.sound is not None and clip.picture is not None
    rng = np.random.default_rng(0)
    samples = clip.sound.samples + 1e-3 * rng.standard_normal(clip.sound.samples.shape, np.float32)
    frames = clip.picture.frames + 0.255 * rng.standard_normal(clip.picture.frames.shape)
    return replace(
        clip,
        sound=Sound(samples, clip.sound.sample_rate),
        picture=Picture(frames.round().clip(0, 255).astype(np.uint8), clip.picture.rate),
    )


def test_real_clips_score_almost_all_and_shuffled_ones_little(
    clips: list[Clip], before: tuple[Impacts, Agreement]
) -> None:
    real, wrong = before[0], seen_and_heard(shuffled(clips, 0))
    assert real.seen > 40 and real.matched >= 0.97 * real.seen and real.alone <= 0.03 * real.seen
    assert real.in_tune >= 0.97 * real.matched
    assert real.in_place is not None and real.in_place >= 0.97 * real.matched
    assert wrong.matched < 0.42 * wrong.seen and wrong.alone > 0.5 * wrong.seen
    assert wrong.in_tune < 0.3 * wrong.matched


def test_a_process_that_comes_to_librosa_first_waits_for_another_that_does(tmp_path: Path) -> None:
    waits = """
import sys, threading
import numpy as np
from mediadiff.clip import Sound
from mediadiff.evaluation.sync import onsets
from mediadiff.io.files import cache_folder
from mediadiff.io.locks import one_at_a_time

hit = np.zeros((1, 16000), np.float32)
hit[0, 8000:8400] = np.sin(np.arange(400) / 3)
looks = threading.Thread(target=lambda: print([round(at, 1) for at in onsets(Sound(hit, 16000))]))
with one_at_a_time(cache_folder() / "librosa.lock"):
    looks.start()
    looks.join(2.0)
    print(looks.is_alive(), [name for name in sys.modules if name.partition(".")[0] in ("librosa", "numba")])
looks.join()
"""
    new = os.environ | {"MEDIADIFF_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", waits], env=new, capture_output=True, text=True, check=False)
    assert done.stdout == "True []\n[0.5]\n", done.stderr


def test_without_a_place_for_the_lock_librosa_is_there_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MEDIADIFF_CACHE", str(tmp_path / "file"))
    librosa.cache_clear()
    assert librosa().__name__ == "librosa"


@pytest.mark.slow
@pytest.mark.parametrize("balls", [2, 3])
@pytest.mark.parametrize(("rate", "seconds"), [(Fraction(12), 2.0), (Fraction(125, 8), 2.048)])
def test_two_hundred_clips_keep_the_bounds(balls: int, rate: Fraction, seconds: float) -> None:
    many = [bounce.clip(BounceSettings(balls=balls), i, seconds, rate=rate) for i in range(200)]
    real, wrong = seen_and_heard(many).shares(), seen_and_heard(shuffled(many, 0)).shares()
    assert real["matched"] is not None and real["matched"] >= 0.99
    # Three balls hide each other now and then.
    assert real["alone"] is not None and real["alone"] <= 0.015
    assert wrong["matched"] is not None and wrong["matched"] < 0.4


def test_the_sound_of_a_clip_is_that_of_its_scene(clips: list[Clip]) -> None:
    def total(which: list[Clip]) -> Impacts:
        pairs = zip(SCENES, which, strict=True)
        return sum((true_and_heard(scene, clip.sound, RATE) for scene, clip in pairs if clip.sound), Impacts())

    impacts = sum(len(scene.impacts()) for scene in SCENES)
    real = total(clips)
    assert real.seen == impacts and real.matched >= 0.99 * impacts and real.alone <= 0.01 * impacts
    assert total([late(clip, 0.12) for clip in clips]).matched < 0.5 * impacts


def test_impacts_are_seen_to_better_than_a_tenth_of_a_frame(clips: list[Clip]) -> None:
    errors, missed = [], 0
    for scene, clip in zip(SCENES, clips, strict=True):
        assert clip.picture is not None
        found = turns(clip.picture)
        for impact in scene.impacts():
            pitch = scene.balls[impact.ball].pitch
            near = [t for t in found if t.wall == impact.wall and t.pitch == pytest.approx(pitch)]
            if 1.5 / RATE < impact.seconds < 2 - 1.5 / RATE:
                error = min((abs(t.seconds - impact.seconds) for t in near), default=1.0)
                missed += error > 0.5 / RATE
                errors.append(error)
    assert missed <= 0.02 * len(errors)
    assert np.quantile(errors, 0.95) < 0.1 / RATE


def test_balls_are_found_to_a_part_of_a_pixel(clips: list[Clip]) -> None:
    for scene, clip in zip(SCENES, clips, strict=True):
        assert clip.picture is not None
        found = paths(clip.picture)
        balls = sorted(scene.balls, key=lambda ball: ball.colour)
        assert [(p.colour, p.radius) for p in found] == [(b.colour, b.radius) for b in balls]
        for path, ball in zip(found, balls, strict=True):
            x, y = ball.at(path.seconds)
            assert np.median(np.hypot(path.x - x, path.y - y)) * 32 < 0.1


def test_tones_are_heard_with_time_pitch_and_place(clips: list[Clip]) -> None:
    for scene, clip in zip(SCENES, clips, strict=True):
        assert clip.sound is not None
        heard, happened = tones(clip.sound), scene.impacts()
        assert len(heard) == len(happened)
        for tone, impact in zip(heard, happened, strict=True):
            assert tone.seconds == pytest.approx(impact.seconds, abs=0.008)
            assert tone.pitch == pytest.approx(scene.balls[impact.ball].pitch, rel=0.02)
            assert tone.place == pytest.approx(impact.place, abs=0.1)


def test_where_a_sound_only_ends_no_tone_is_heard() -> None:
    time = np.arange(16000) / 16000
    cut = np.sin(2 * np.pi * 400 * time) * ((time > 0.5) & (time < 0.56))
    for wave in (cut, np.sin(2 * np.pi * 440 * time) * (time < 0.9)):
        found = tones(Sound(wave[None].astype(np.float32), 16000))
        assert all(tone.pitch > 100 for tone in found)
    assert [round(tone.seconds, 1) for tone in tones(Sound(cut[None].astype(np.float32), 16000))] == [0.5]


@pytest.mark.parametrize("shift", [0.08, -0.08])
def test_a_shift_of_80_ms_is_found_within_a_frame(
    clips: list[Clip], before: tuple[Impacts, Agreement], shift: float
) -> None:
    after = agreement([late(clip, shift) for clip in clips])
    assert abs(before[1].lag) <= 0.02 and before[1].strength > 0.4
    assert after.lag == pytest.approx(shift, abs=0.02) and after.strength > 0.4
    one, moved = offset([clips[5]])[0], offset([late(clips[5], shift)])[0]
    assert moved - one == pytest.approx(shift, abs=float(1 / RATE))


def test_a_shift_moves_every_metric() -> None:
    # 80 ms are just under a frame at 12 frames per second: at 25 they are two.
    fast = [bounce.clip(SETTINGS, i, 2.0, rate=Fraction(25), channels=2) for i in range(NUMBER)]
    moved = [late(clip, 0.08) for clip in fast]
    good, bad = seen_and_heard(fast), seen_and_heard(moved)
    assert good.matched > 0.97 * good.seen and bad.matched < 0.3 * bad.seen
    real, wrong = agreement(fast), agreement(moved)
    assert real.av_align is not None and wrong.av_align is not None
    assert wrong.av_align < 0.6 * real.av_align and wrong.lag - real.lag == pytest.approx(0.08, abs=0.02)


@pytest.mark.parametrize("change", [softer, dimmer, noisier])
def test_gain_brightness_and_faint_noise_move_nothing(
    clips: list[Clip], before: tuple[Impacts, Agreement], change: Callable[[Clip], Clip]
) -> None:
    changed = [change(clip) for clip in clips]
    after = seen_and_heard(changed)
    for name, value in before[0].shares().items():
        assert after.shares()[name] == pytest.approx(value, abs=0.02), name
    one, other = before[1], agreement(changed)
    assert one.av_align is not None and other.av_align == pytest.approx(one.av_align, abs=0.05)
    assert other.lag == pytest.approx(one.lag, abs=0.011) and other.strength == pytest.approx(one.strength, abs=0.05)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 48000])
def test_onsets_keep_time_at_every_sample_rate(sample_rate: int) -> None:
    begins = [0.5, 19.0, 38.0]
    samples = np.zeros((1, 40 * sample_rate), np.float32)
    seconds = np.arange(sample_rate // 2) / sample_rate
    tone = np.sin(2 * np.pi * 440 * seconds) * np.exp(-seconds / 0.07)
    for begin in begins:
        samples[0, round(begin * sample_rate) :][: len(tone)] = tone
    assert onsets(Sound(samples, sample_rate)) == pytest.approx(begins, abs=0.03)


def test_counts_by_hand() -> None:
    seen = [Turn(0.5, 0.2, 400.0, False), Turn(1.0, 0.8, 600.0, True), Turn(1.5, 0.5, 600.0, False)]
    heard = [Tone(0.04, 500.0, 0.5), Tone(0.52, 405.0, 0.25), Tone(1.05, 500.0, 0.1), Tone(1.3, 300.0, 0.5)]
    found = compare(seen, heard, within=0.08, shown=(0.1, 1.9))
    assert found == Impacts(seen=3, matched=2, in_tune=1, in_place=1, alone=1)
    assert found.shares() == {"matched": 2 / 3, "alone": 1 / 3, "in_tune": 0.5, "in_place": 0.5}
    assert found + found == Impacts(6, 4, 2, 2, 2)
    mono = compare(seen, [Tone(0.5, 400.0, None)], 0.08, (0.1, 1.9))
    assert mono.in_place is None and (found + mono).in_place is None
    assert Impacts().shares() == {"matched": None, "alone": None, "in_tune": None, "in_place": None}


def test_matches_are_as_many_as_can_be_and_then_the_nearest() -> None:
    assert matches([0.0, 1.0], [0.9, 1.9], 1.0) == [(0, 0), (1, 1)]
    assert matches([1.0], [0.8, 1.1], 0.5) == [(0, 1)]
    assert matches([], [1.0], 1.0) == [] and matches([0.0], [2.0], 1.0) == []


def test_motion_is_where_motion_changes_and_not_where_it_is_fast() -> None:
    def square(column: float) -> np.ndarray:
        frame = np.zeros((16, 64, 3), np.uint8)
        frame[4:12, round(column) : round(column) + 8] = 200
        return frame

    places = [4 * i for i in range(8)] + [28 - 4 * i for i in range(1, 8)] + [0, 0, 0]
    change = motion(Picture(np.stack([square(x) for x in places]), Fraction(10)))
    assert change.argmax() == 7 and change[2:6].max() < 0.1 * change[7]
    assert change[14] > 0.4 * change[7] and change[0] == change[-1] == 0  # it stops at 14


def test_silence_and_stillness_have_no_figures(clips: list[Clip]) -> None:
    still = Picture(np.zeros((24, 8, 8, 3), np.uint8), RATE)
    mute = Clip(Sound(np.zeros((1, 32_000), np.float32), 16_000), still)
    assert av_align(mute) is None and offset([mute])[1] == 0 and not onset_strength(mute.sound).any()  # type: ignore[arg-type]
    assert seen_and_heard([mute]) == Impacts(in_place=0) and agreement([mute]).av_align is None
    # An impact seen in silence is not matched; a tone over stillness is alone.
    assert clips[0].sound is not None and clips[0].picture is not None
    assert seen_and_heard([replace(clips[0], sound=mute.sound)]).matched == 0
    assert seen_and_heard([replace(clips[0], picture=still)]).alone >= 1


def test_shuffled_clips_all_have_the_sound_of_another_one(clips: list[Clip]) -> None:
    for key in range(5):
        made = shuffled(clips, key)
        assert all(a.picture is b.picture and a.sound is not b.sound for a, b in zip(made, clips, strict=True))
        assert sorted(id(clip.sound) for clip in made) == sorted(id(clip.sound) for clip in clips)
    again = [id(clip.sound) for clip in shuffled(clips, 1)]
    assert again == [id(clip.sound) for clip in shuffled(clips, 1)] != [id(clip.sound) for clip in shuffled(clips, 2)]
    assert sync.FARTHEST == 0.5
