"""Sound as it is read: channels mixed by rule, the resampler's errors, float range, other decoders."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mediadiff.clip import Clip, Sound
from mediadiff.errors import MediaError, UsageError
from mediadiff.io.read import read
from mediadiff.io.resampling import at_rate, nearest_rate
from mediadiff.io.sound import mixing
from mediadiff.io.write import write
from tests.io.makers import numbered, ramps, tone

HALF = 0.5**0.5
SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")


def test_channels_are_mixed_by_itu_weights() -> None:
    np.testing.assert_array_equal(mixing(("FL", "FR"), None), np.eye(2))
    np.testing.assert_array_equal(mixing(("FC",), 2), [[1], [1]])
    np.testing.assert_allclose(mixing(("FL", "FR"), 1), [[0.5, 0.5]])
    expected = np.array([[1, 0, HALF, 0, HALF, 0], [0, 1, HALF, 0, 0, HALF]]) / (1 + 2 * HALF)
    np.testing.assert_allclose(mixing(SURROUND, 2), expected, rtol=1e-6)
    np.testing.assert_allclose(mixing(SURROUND, 1), expected.mean(axis=0, keepdims=True), rtol=1e-6)
    for speakers in (SURROUND, ("FL", "FR", "FC"), tuple("0123456")):
        for channels in (1, 2):
            assert mixing(speakers, channels).sum(axis=1).max() <= 1 + 1e-6
    with pytest.raises(UsageError, match="channels can be 1, 2 or the file's own 6; got 4"):
        mixing(SURROUND, 4)


def test_surround_file_is_mixed(tmp_path: Path) -> None:
    levels = np.float32([0.1, 0.2, 0.4, 0.9, 0.3, 0.5])
    path = write(tmp_path / "a.mkv", Clip(Sound(np.repeat(levels[:, None], 1000, axis=1), 8000)))
    whole, mixed = read(path).sound, read(path, channels=2).sound
    assert whole is not None and mixed is not None
    np.testing.assert_allclose(whole.samples[:, 0], levels, atol=1e-6)
    np.testing.assert_allclose(mixed.samples[:, 500], mixing(SURROUND, 2) @ levels, atol=1e-6)
    wav = tmp_path / "a.wav"
    soundfile.write(wav, whole.samples.T, 8000, subtype="FLOAT")
    again = read(wav, channels=2).sound
    assert again is not None
    np.testing.assert_allclose(again.samples, mixed.samples, atol=1e-6)


@pytest.mark.parametrize("rate, target", [(44_100, 16_000), (48_000, 8_000), (8_000, 48_000), (37_800, 44_100)])
def test_resampling_is_exact_in_the_band_and_silent_beyond(rate: int, target: int) -> None:
    low = min(rate, target)
    edge = slice(target // 20, -target // 20)
    for hertz in (100.0, 0.2 * low, 0.44 * low):
        moved = at_rate(tone(1, rate, hertz), target).samples[0]
        assert len(moved) == target
        error = (moved - tone(1, target, hertz).samples[0])[edge]
        assert 20 * math.log10(np.sqrt(np.mean(error**2)) + 1e-12) < -90
    if target < rate:
        alias = at_rate(tone(1, rate, 0.56 * target), target).samples[0][edge]
        assert 20 * math.log10(np.sqrt(np.mean(alias**2)) + 1e-12) < -90


def test_resampling_in_blocks_keeps_every_channel_in_place(tmp_path: Path) -> None:
    sound = tone(5, 44_100, channels=2)
    read_back = read(write(tmp_path / "a.flac", Clip(sound)), sample_rate=16_000).sound
    assert read_back is not None
    np.testing.assert_allclose(read_back.samples, at_rate(sound, 16_000).samples, atol=2e-6)


def test_nearest_rate() -> None:
    assert nearest_rate(37_800, ()) == 37_800
    assert nearest_rate(37_800, (8_000, 44_100, 48_000)) == 44_100
    assert nearest_rate(96_000, (8_000, 44_100)) == 44_100


def test_samples_above_full_scale_are_kept_and_nan_is_refused(tmp_path: Path) -> None:
    loud = np.float32([0.5, 5.8, -3])
    soundfile.write(tmp_path / "a.wav", loud, 8000, subtype="FLOAT")
    sound = read(tmp_path / "a.wav").sound
    assert sound is not None
    np.testing.assert_array_equal(sound.samples[0], loud)
    for bad in (np.nan, np.inf):
        soundfile.write(tmp_path / "a.wav", np.float32([0.5, bad]), 8000, subtype="FLOAT")
        with pytest.raises(MediaError, match="NaN or infinite"):
            read(tmp_path / "a.wav")


def test_a_flac_that_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    tone = np.sin(np.arange(8000) / 9).astype(np.float32) / 2
    soundfile.write(tmp_path / "a.flac", tone, 8000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    sound = read(tmp_path / "a.flac").sound
    assert sound is not None and sound.samples.shape == (1, 8000)
    np.testing.assert_allclose(sound.samples[0], tone, atol=2**-14)


@pytest.mark.parametrize("subtype, steps", [("PCM_U8", 128), ("PCM_16", 2**15), ("PCM_24", 2**23), ("PCM_32", 2**31)])
@pytest.mark.parametrize("channels", [1, 3])
def test_integer_samples_are_divided_by_full_scale(subtype: str, steps: int, channels: int, tmp_path: Path) -> None:
    """One channel is read by libsndfile, three by FFmpeg: the same numbers."""
    whole = np.array([-steps, -1, 0, 1, steps - 1], np.float64)
    soundfile.write(tmp_path / "a.wav", np.repeat(whole[:, None] / steps, channels, axis=1), 8000, subtype=subtype)
    sound = read(tmp_path / "a.wav").sound
    assert sound is not None
    np.testing.assert_allclose(sound.samples, np.repeat(whole[None] / steps, channels, axis=0), atol=1.01 / steps)


def test_missing_streams_are_named(tmp_path: Path) -> None:
    film = write(tmp_path / "a.mkv", Clip(picture=numbered(2)))
    with pytest.raises(MediaError, match="has no sound"):
        read(film, picture=False)
    sound = write(tmp_path / "a.wav", Clip(tone(0.1)))
    with pytest.raises(MediaError, match="has no picture"):
        read(sound, sound=False)
    with pytest.raises(UsageError, match="needs sound, picture or both"):
        read(sound, sound=False, picture=False)
    for bad in ({"sample_rate": 0}, {"channels": -1}, {"rate": 0}, {"max_seconds": 0}, {"size": (0, 4)}):
        with pytest.raises(UsageError, match=next(iter(bad))):
            read(sound, **bad)  # type: ignore[arg-type]


def test_cover_art_is_no_picture(media_data: Path) -> None:
    path = media_data / "nasty/moviepy/media/with-attached-pic.mp3"
    with pytest.raises(MediaError, match=r"has no picture; it holds cover art \(mjpeg\)"):
        read(path, sound=False)


def test_aac_has_neither_priming_nor_padding(tmp_path: Path) -> None:
    click = np.zeros((1, 30_001), np.float32)
    click[0, 12_345] = 0.9
    sound = read(write(tmp_path / "a.mp4", Clip(Sound(click, 44_100), ramps(10)))).sound
    assert sound is not None
    assert abs(int(np.abs(sound.samples[0]).argmax()) - 12_345) <= 1
    alone = read(write(tmp_path / "b.m4a", Clip(Sound(click, 44_100)))).sound
    assert alone is not None and alone.samples.shape == (1, 30_001)
