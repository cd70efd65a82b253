"""Every format: exact rates and lengths, same bytes, tags, lossless where it says so, refusals."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import MediadiffError, UsageError
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.io.write import FORMATS, ending_together, write
from tests.io.makers import ramps, tone

RATES = [Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(7, 3), Fraction(1)]
FILMS = ["mp4", "webm", "mkv"]
SOUNDS = ["wav", "flac", "ogg", "mp3", "m4a", "mp4", "webm", "mkv"]


def clip_for(ending: str, rate: Fraction | int = 25) -> Clip:
    holds = FORMATS[ending].holds
    picture = ramps(1 if ending == "png" else 24, rate=rate) if "picture" in holds else None
    return Clip(tone(24 / rate) if "sound" in holds else None, picture, "dog", {"seed": "7", "größe": "µ"})


def decibels(error: np.ndarray, full: float = 1.0) -> float:
    return 10 * math.log10(full**2 / max(1e-30, float(np.mean(error.astype(np.float64) ** 2))))


@pytest.mark.parametrize("ending", FORMATS)
def test_round_trip_keeps_streams_label_and_tags(ending: str, tmp_path: Path) -> None:
    clip = clip_for(ending)
    assert write(tmp_path / f"a.{ending}", clip) == tmp_path / f"a.{ending}"
    back = read(tmp_path / f"a.{ending}")
    assert (back.sound is None) == (clip.sound is None)
    assert (back.picture is None) == (clip.picture is None)
    assert back.label == "dog"
    assert back.tags == {"seed": "7", "größe": "µ"}
    assert os.listdir(tmp_path) == [f"a.{ending}"]


@pytest.mark.parametrize("ending", FORMATS)
def test_same_clip_gives_same_bytes(ending: str, tmp_path: Path) -> None:
    clip = clip_for(ending)
    chance = np.random.default_rng(0)
    written = set()
    for _ in range(3 if ending == "gif" else 12):
        # another layout of the memory: encoders have been seen to read what they had not written
        junk = [bytearray(chance.bytes(int(size))) for size in chance.integers(1000, 300_000, 6)]
        del junk
        written.add(write(tmp_path / f"a.{ending}", clip).read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("ending", FILMS)
def test_rate_and_lengths_are_exact(ending: str, rate: Fraction, tmp_path: Path) -> None:
    back = read(write(tmp_path / f"a.{ending}", clip_for(ending, rate)))
    assert back.picture is not None and back.sound is not None
    assert back.picture.rate == rate
    assert len(back.picture.frames) == 24
    assert abs(back.sound.seconds - back.picture.seconds) <= Fraction(1, 2 * 16_000)


@pytest.mark.parametrize("ending", SOUNDS)
@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 37_800])
def test_sound_comes_back_at_its_place(ending: str, sample_rate: int, tmp_path: Path) -> None:
    sound = tone(0.5, sample_rate, hertz=440, channels=2)
    back = read(write(tmp_path / f"a.{ending}", Clip(sound)), sample_rate=sample_rate).sound
    assert back is not None
    assert abs(back.samples.shape[1] - sound.samples.shape[1]) <= 1
    middle = slice(sample_rate // 10, -sample_rate // 10)
    size = min(back.samples.shape[1], sound.samples.shape[1])
    assert decibels((back.samples[:, :size] - sound.samples[:, :size])[:, middle]) > 30


@pytest.mark.parametrize("ending", ["wav", "flac", "mkv"])
def test_lossless_sound_is_exact_for_24_bits(ending: str, tmp_path: Path) -> None:
    grid = np.array([-1, -0.5, -(2.0**-15), 0, 2.0**-23, 0.25, 1 - 2.0**-15, 1 - 2.0**-23], np.float32)
    sound = Sound(np.tile(grid, 100)[None], 16_000)
    back = read(write(tmp_path / f"a.{ending}", Clip(sound))).sound
    assert back is not None
    np.testing.assert_array_equal(back.samples, sound.samples)


def test_wav_keeps_samples_above_full_scale(tmp_path: Path) -> None:
    sound = Sound(np.array([[0.5, -3.25, 5.75]], np.float32), 8_000)
    back = read(write(tmp_path / "a.wav", Clip(sound))).sound
    assert back is not None
    np.testing.assert_array_equal(back.samples, sound.samples)
    back = read(write(tmp_path / "a.flac", Clip(sound))).sound
    assert back is not None
    np.testing.assert_allclose(back.samples, [[0.5, -1, 1]], atol=2e-7)


@pytest.mark.parametrize("size", [(47, 63), (1, 1), (16, 1920), (2, 3)])
def test_mkv_is_lossless_at_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, *size, 3), dtype=np.uint8)
    back = read(write(tmp_path / "a.mkv", Clip(picture=Picture(noise, Fraction(25))))).picture
    assert back is not None
    np.testing.assert_array_equal(back.frames, noise)


def test_png_is_lossless(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 47, 63, 3), dtype=np.uint8)
    back = read(write(tmp_path / "a.png", Clip(picture=Picture(noise, Fraction(1))))).picture
    assert back is not None and back.is_still
    np.testing.assert_array_equal(back.frames, noise)


@pytest.mark.parametrize("size", [(47, 63), (1, 1), (33, 128)])
@pytest.mark.parametrize("ending", ["mp4", "webm", "gif"])
def test_odd_sizes_work(ending: str, size: tuple[int, int], tmp_path: Path) -> None:
    picture = ramps(3, size)
    back = read(write(tmp_path / f"a.{ending}", Clip(picture=picture))).picture
    assert back is not None
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert back.frames.shape[1:3] == (even if ending == "mp4" else size)
    assert decibels(back.frames[:, : size[0], : size[1]].astype(float) - picture.frames, 255) > 28


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_lossy_film_looks_and_sounds_alike(ending: str, tmp_path: Path) -> None:
    clip = clip_for(ending)
    assert clip.picture is not None and clip.sound is not None
    back = read(write(tmp_path / f"a.{ending}", clip), sample_rate=16_000)
    assert back.picture is not None and back.sound is not None
    assert decibels(back.picture.frames.astype(float) - clip.picture.frames, 255) > 38
    size = min(clip.sound.samples.shape[1], back.sound.samples.shape[1]) - 800
    assert decibels(back.sound.samples[:, 800:size] - clip.sound.samples[:, 800:size]) > 30


def test_mp4_starts_with_its_index_and_says_its_colours(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp4", clip_for("mp4")).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    picture = probe(tmp_path / "a.mp4").picture
    assert picture is not None
    assert (picture.pixels, picture.colour) == ("yuv420p", "BT.709, limited range")


def test_gif_keeps_step_with_the_clip(tmp_path: Path) -> None:
    picture = ramps(30, rate=Fraction(30000, 1001))
    back = read(write(tmp_path / "a.gif", Clip(picture=picture))).picture
    assert back is not None
    assert abs(back.seconds - picture.seconds) <= Fraction(1, 100)


def test_streams_end_together() -> None:
    longer_sound = ending_together(Clip(tone(1.01), ramps(25)))
    assert longer_sound.picture is not None and longer_sound.sound is not None
    assert len(longer_sound.picture.frames) == 26
    np.testing.assert_array_equal(longer_sound.picture.frames[25], longer_sound.picture.frames[24])
    assert longer_sound.sound.seconds == longer_sound.picture.seconds == Fraction(26, 25)
    assert not longer_sound.sound.samples[:, round(1.01 * 16_000) :].any()
    shorter_sound = ending_together(Clip(tone(0.5), ramps(25)))
    assert shorter_sound.sound is not None and shorter_sound.sound.seconds == 1
    odd = Clip(tone(24 * 1001 / 24000, 44_100), ramps(24, rate=Fraction(24000, 1001)))
    same = ending_together(odd)
    assert same.sound is not None and odd.sound is not None
    assert same.sound.samples.shape == odd.sound.samples.shape


@pytest.mark.parametrize(
    "name, clip, words",
    [
        ("a.xyz", Clip(tone()), "can be wav, flac, ogg, mp3, m4a, mp4, webm, mkv, gif, png; got 'xyz'"),
        ("a", Clip(tone()), "got 'none'"),
        ("a.wav", Clip(picture=ramps(2)), "wav holds no picture; write the clip as mp4, webm, mkv, gif, png"),
        ("a.gif", Clip(tone(), ramps(2)), "gif holds no sound; write the clip as mp4, webm, mkv"),
        ("a.png", Clip(picture=ramps(2)), "png holds one frame, the clip has 2"),
        ("a.gif", Clip(picture=ramps(2, rate=60)), "at most 50 frames per second"),
        ("a.mp4", Clip(tone(channels=3)), "holds 1, 2, 6, 8 channels, the sound has 3; write it as wav"),
        ("a.wav", Clip(Sound(np.array([[0, np.nan]], np.float32), 8000)), "NaN"),
        ("a.wav", Clip(Sound(np.zeros((1, 0), np.float32), 8000)), "empty"),
        ("a.mp4", Clip(picture=Picture(np.zeros((0, 4, 4, 3), np.uint8), Fraction(25))), "empty"),
        ("a.mp3", Clip(tone(channels=3)), "holds 1, 2 channels"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(name: str, clip: Clip, words: str, tmp_path: Path) -> None:
    with pytest.raises(MediadiffError) as refusal:
        write(tmp_path / name, clip)
    assert words in str(refusal.value)
    assert os.listdir(tmp_path) == []


def test_usage_errors_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write(tmp_path / "a.wav", Clip(picture=ramps(2)))
