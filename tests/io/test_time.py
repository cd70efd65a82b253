"""Time: variable rates by time stamp, late starts, holes, other rates, cuts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mediadiff.clip import Clip, Sound
from mediadiff.errors import UsageError
from mediadiff.io.picture import on_grid
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.io.write import write
from tests.io.makers import mux, numbered, tone


def levels(clip: Clip) -> list[int]:
    """The numbers of the frames of `numbered`."""
    assert clip.picture is not None
    assert np.ptp(clip.picture.frames, axis=(1, 2, 3)).max() == 0
    return [int(level) // 8 for level in clip.picture.frames[:, 0, 0, 0]]


def film(path: Path, times: list[float | Fraction], **more: object) -> Path:
    frames = numbered(len(times)).frames
    return mux(path, [(frame, Fraction(str(time))) for frame, time in zip(frames, times, strict=True)], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_variable_rate_goes_by_time_stamps(ending: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"a.{ending}", [0, 0.1, 0.5, 0.6, 0.7, 1.5, 1.6])
    assert levels(read(path, rate=10))[:17] == [0, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 6]
    assert levels(read(path, rate=2))[:3] == [1, 4, 4]


def test_fast_frames_are_picked_at_the_middle_of_each_step() -> None:
    timed = [(Fraction(k, 100), Fraction(k + 1, 100), k) for k in range(100)]
    assert list(on_grid(iter(timed), Fraction(10), Fraction(0))) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60)])
def test_time_stamps_rounded_to_milliseconds_lose_no_frame(rate: Fraction) -> None:
    stamps = [Fraction(round(k / rate * 1000), 1000) for k in range(500)]
    timed = [(stamp, stamp + Fraction(int(1000 / rate), 1000), k) for k, stamp in enumerate(stamps)]
    assert list(on_grid(iter(timed), rate, Fraction(0))) == list(range(500))


def test_one_short_frame_is_one_frame() -> None:
    assert list(on_grid(iter([(Fraction(0), Fraction(1, 1000), "a")]), Fraction(25), Fraction(0))) == ["a"]
    assert list(on_grid(iter([]), Fraction(25), Fraction(0))) == []


def test_late_sound_begins_with_silence(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [k / 25 for k in range(25)], sound=tone(0.5), sound_start=Fraction(1, 2))
    for clip in (read(path), read(path, picture=False)):
        assert clip.sound is not None
        samples = clip.sound.samples[0]
        assert len(samples) == 16_000
        assert not samples[:8_000].any()
        np.testing.assert_allclose(samples[8_000:], tone(0.5).samples[0], atol=1e-4)


def test_late_picture_holds_its_first_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [0.5 + k / 10 for k in range(5)], sound=tone(1.0))
    for clip in (read(path, rate=10), read(path, rate=10, sound=False)):
        assert levels(clip)[:10] == [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]


def test_late_start_in_mp4_is_an_edit_list(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [k / 10 for k in range(15)], sound=tone(1.0), sound_start=Fraction(1, 2))
    clip = read(path, rate=10)
    assert clip.sound is not None and clip.sound.samples.shape == (1, 24_000)
    assert not clip.sound.samples[:, :8_000].any() and clip.sound.samples[:, 8_000:8_100].max() > 0.4
    assert levels(clip) == list(range(15))


def test_both_late_start_at_zero(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [2 + k / 10 for k in range(5)], sound=tone(0.5), sound_start=Fraction(2))
    clip = read(path, rate=10)
    assert levels(clip) == [0, 1, 2, 3, 4]
    assert clip.sound is not None and abs(clip.sound.samples[0, :100]).max() > 0.1
    assert probe(path).origin == 2


def test_max_seconds_stops_both_streams(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [k / 10 for k in range(30)], sound=tone(3.0))
    clip = read(path, rate=10, max_seconds=2.3)
    assert levels(clip) == list(range(23))
    assert clip.sound is not None and clip.sound.samples.shape == (1, 36_800)
    with pytest.raises(UsageError, match="max_seconds is a number of seconds, or None for the whole file; got inf"):
        read(path, max_seconds=float("inf"))


def test_hole_in_the_sound_is_silent(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        voice = container.add_stream("pcm_s16le", rate=8000)
        voice.layout = "mono"
        for start in (0, 8000):
            frame = av.AudioFrame.from_ndarray(np.full((1, 4000), 8192, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
            container.mux(voice.encode(frame))
    sound = read(path).sound
    assert sound is not None
    expected = np.repeat(np.float32([0.25, 0, 0.25]), 4000)
    np.testing.assert_array_equal(sound.samples, expected[None])


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(50), Fraction(7, 3)])
def test_other_rates_keep_the_length(rate: Fraction, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", Clip(picture=numbered(30)))
    picture = read(path, rate=rate).picture
    assert picture is not None and picture.rate == rate
    assert abs(picture.seconds - Fraction(30, 25)) <= 1 / rate / 2


def test_sound_length_after_resampling_is_the_nearest(tmp_path: Path) -> None:
    for size in (1, 7, 1000, 44_101):
        path = write(tmp_path / "a.wav", Clip(Sound(np.full((1, size), 0.25, np.float32), 44_100)))
        for target in (8_000, 48_000, 11_025):
            expected = round(Fraction(size * target, 44_100))
            if expected:
                sound = read(path, sample_rate=target).sound
                assert sound is not None and sound.samples.shape == (1, expected)
