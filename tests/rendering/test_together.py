"""Sound and picture stay together in the files they are written to: over long films and over many joined pieces."""

from fractions import Fraction

import numpy as np
import pytest

from mediadiff import build
from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import MediaError
from mediadiff.io.read import read
from mediadiff.rendering import manifest
from mediadiff.rendering.together import CODEC_FRAME, together
from tests.tiny import BOTH, tiny_model

RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001)]
RATE = 8000
EVERY = 8
"""A white frame among so many, and a click at the moment that it comes on."""


def clapper(frames, rate, size=(16, 16), sample_rate=RATE):
    """White frames among black ones, each with a click of 2 ms at its beginning."""
    shown = np.zeros((frames, *size, 3), np.uint8)
    shown[EVERY // 2 :: EVERY] = 255
    samples = np.zeros((1, round(frames / rate * sample_rate)), np.float32)
    for k in range(EVERY // 2, frames, EVERY):
        begin = round(k / rate * sample_rate)
        samples[:, begin : begin + 16] = 0.9
    return Clip(Sound(samples, sample_rate), Picture(shown, rate))


def apart(clip):
    """Seconds from each white frame to its click: the largest distance, and how many there are."""
    white = np.flatnonzero(clip.picture.frames.mean(axis=(1, 2, 3)) > 128)
    loud = np.abs(clip.sound.samples[0]) > 0.45
    clicks = np.flatnonzero(loud & ~np.roll(loud, 1))
    # A click may ring: only the first of those within 20 ms counts.
    clicks = clicks[np.diff(clicks, prepend=-(10**9)) > clip.sound.sample_rate // 50]
    assert len(white) == len(clicks)
    at = np.array([float(k / clip.picture.rate) for k in white])
    return np.abs(clicks / clip.sound.sample_rate - at).max(), len(white)


def off(tmp_path, clip, ending):
    """How far apart they are once the clip is a file, in seconds, and what the file's row says."""
    row = manifest.save(clip, tmp_path, f"a.{ending}", {"weights": "", "recipe": {}, **EMPTY}, 0.0)
    return apart(read(tmp_path / f"a.{ending}")), row["together"]


EMPTY = {"model": "m", "versions": {}, "numerics": {}}
LIMITS = {"mkv": 1 / RATE, "mp4": CODEC_FRAME / RATE, "webm": CODEC_FRAME / RATE}


@pytest.mark.parametrize("ending", LIMITS)
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_ten_seconds_stay_together(tmp_path, rate, ending):
    clip = clapper(round(10 * rate), rate)
    (distance, count), row = off(tmp_path, clip, ending)
    assert count == len(clip.picture.frames) // EVERY and distance < LIMITS[ending]
    assert abs(row["offset_seconds"]) < LIMITS[ending]
    assert abs(row["sound_seconds"] - row["picture_seconds"]) < LIMITS[ending]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["mkv", "mp4"])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_ten_minutes_stay_together(tmp_path, rate, ending):
    clip = clapper(round(600 * rate), rate)
    (distance, count), _ = off(tmp_path, clip, ending)
    assert count >= 600 * rate / EVERY - 1 and distance < LIMITS[ending]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_37_joined_pieces_stay_together(tmp_path, rate):
    pieces, frames = [], 8
    for k in range(37):
        piece = clapper(frames, rate).save(tmp_path / f"{k % 2}.mkv")
        pieces.append(read(piece))
    # Pieces are joined on one clock: each begins at its own moment, to the nearest sample, whatever came before.
    shown = np.concatenate([piece.picture.frames for piece in pieces])
    samples = np.zeros((1, round(len(shown) / rate * RATE)), np.float32)
    for k, piece in enumerate(pieces):
        begin = round(k * frames / rate * RATE)
        end = min(samples.shape[1], begin + piece.sound.samples.shape[1])
        samples[:, begin:end] = piece.sound.samples[:, : end - begin]
    (distance, count), _ = off(tmp_path, Clip(Sound(samples, RATE), Picture(shown, rate)), "mkv")
    assert count == 37 and distance <= 1 / RATE


def test_37_windows_stay_together(tmp_path):
    model = tiny_model(tmp_path / "model", BOTH, sampling={"steps": 1, "batch": 1})
    seconds = 38 * Fraction(32, 125)
    build.render(model, tmp_path, seconds=float(seconds), format="mkv")
    (row,), _ = manifest.read(tmp_path)
    assert row["together"] == {"sound_seconds": 9.728, "picture_seconds": 9.728, "offset_seconds": 0.0}


def test_what_fell_apart_is_refused(tmp_path):
    clip = clapper(25, Fraction(25))
    path = clip.save(tmp_path / "a.mkv")
    late = Clip(Sound(np.pad(clip.sound.samples, ((0, 0), (0, 2))), RATE), clip.picture)
    assert together(path, clip, read(path))["offset_seconds"] == 0
    with pytest.raises(MediaError, match=r"lasts 1.000250 s of 1.000000"):
        together(path, clip, late)
    with pytest.raises(MediaError, match="holds 24 of 25 frames"):
        together(path, clip, Clip(clip.sound, Picture(clip.picture.frames[:24], Fraction(25))))
    with pytest.raises(MediaError, match="does not hold both"):
        together(path, clip, Clip(clip.sound))
