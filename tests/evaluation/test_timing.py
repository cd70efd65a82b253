"""The sheet of timing: what it marks is what happened, and what it draws lies where it was seen and heard."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from mediadiff import cli
from mediadiff.clip import Clip, Picture, Sound
from mediadiff.data import bounce
from mediadiff.data.settings import BounceSettings
from mediadiff.errors import UsageError
from mediadiff.evaluation.evaluate import side_by_side
from mediadiff.evaluation.timing import MOST_CLIPS, marks, timing_sheet

BALLS = BounceSettings(balls=1, seed=2)
SEEN, HEARD = np.array([0x2F, 0x6A, 0xA8]), np.array([0xC0, 0x5A, 0x1F])


def ball(index: int = 0) -> Clip:
    return bounce.clip(BALLS, index, 2.0, rate=Fraction(125, 8), channels=2)


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def columns(image: np.ndarray, colour: np.ndarray) -> list[int]:
    """The first columns of the runs of columns that have a pixel of this colour."""
    has = (np.abs(image - colour).max(-1) < 12).any(0)
    return [int(x) for x in np.flatnonzero(has[1:] & ~has[:-1]) + 1]


def test_balls_are_marked_where_they_bounce_with_their_pitch():
    found = marks(ball())
    happened = bounce.scene(BALLS, 0, 2.0, 1.0)
    inner = [impact for impact in happened.impacts() if 0.13 < impact.seconds < 1.87]
    assert inner and all(min(abs(impact.seconds - seen) for seen in found.seen) < 1 / 30 for impact in inner)
    assert all(min(abs(impact.seconds - heard) for heard in found.heard) < 0.02 for impact in inner)
    assert set(found.pitches_seen) == {happened.balls[0].pitch}
    assert len(found.pitches_heard) == len(found.heard)
    assert len(found.pairs(8 / 125)) == len(found.seen)


def test_other_clips_are_marked_by_changes_and_onsets():
    frames = np.zeros((20, 8, 8, 3), np.uint8)
    frames[10:] = 200
    wave = np.zeros((1, 16000), np.float32)
    wave[0, 8000:] = 0.5 * np.sin(np.arange(8000)) * np.exp(-np.arange(8000) / 1500)
    found = marks(Clip(Sound(wave, 8000), Picture(frames, Fraction(10))))
    assert found.pitches_seen == found.pitches_heard == ()
    assert found.seen == pytest.approx([0.95], abs=0.11) and found.heard == pytest.approx([1.0], abs=0.05)


def test_marks_are_drawn_where_things_happen_on_one_axis(tmp_path):
    clip = ball()
    found = marks(clip)
    image = pixels(timing_sheet([("one ball", clip)], tmp_path / "a.png"))
    top = len(image) - round(110 * (0.42 + 1.15 + 0.55 + 3 * 0.05 + 0.28))
    row = image[top + 8 : top + 12]
    seen = [110 * (0.75 + 9.0 * moment / float(clip.seconds)) for moment in found.seen]
    assert len(seen) == len(found.seen) > 1
    for place in seen:
        assert any(abs(x - place) < 8 for x in columns(row, SEEN)), (place, columns(row, SEEN))
    heard = image[top + 20 : top + 26]
    for moment in found.heard:
        place = 110 * (0.75 + 9.0 * moment / float(clip.seconds))
        assert any(abs(x - place) < 8 for x in columns(heard, HEARD))
    assert timing_sheet([("one ball", clip)], tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_what_is_not_heard_is_hollow(tmp_path):
    clip = ball()
    silent = replace(clip, sound=Sound(np.zeros_like(clip.sound.samples), clip.sound.sample_rate))
    assert marks(silent).heard == [] and len(marks(silent).seen) > 1
    filled, hollow = (
        (np.abs(pixels(timing_sheet([("", one)], tmp_path / "a.png"))[80:] - SEEN).max(-1) < 12).sum()
        for one in (clip, silent)
    )
    assert 0 < hollow < filled


def test_what_has_no_timing_is_refused(tmp_path):
    clip = ball()
    for part in (replace(clip, sound=None), replace(clip, picture=None), replace(clip, picture=still(clip))):
        with pytest.raises(UsageError, match="b: a sheet of timing shows clips that have both sound and moving"):
            timing_sheet([("a", clip), ("b", part)], tmp_path / "a.png")
    for count in (0, MOST_CLIPS + 1):
        with pytest.raises(UsageError, match=f"shows 1 to 12 clips; got {count}"):
            timing_sheet([("a", clip)] * count, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def still(clip: Clip) -> Picture:
    return Picture(clip.picture.frames[:1], clip.picture.rate)


def test_info_draws_files(tmp_path, capsys):
    ball().save(tmp_path / "ball.mkv")
    large = np.zeros((12, 300, 200, 3), np.uint8)
    large[6:, :, 100:] = 180
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 16000)).astype(np.float32)
    Clip(Sound(noise, 16000), Picture(large, Fraction(12))).save(tmp_path / "tall.mkv")
    sheet = tmp_path / "sheet.png"
    assert cli.main(["info", str(tmp_path / "ball.mkv"), str(tmp_path / "tall.mkv"), "--sheet", str(sheet)]) == 0
    assert f"The sheet is {sheet}." in capsys.readouterr().out
    assert Image.open(sheet).width == 1100
    assert cli.main(["info", str(tmp_path / "ball.mkv"), "--sheet", str(sheet), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"event": "sheet", "file": str(sheet)}
    ball().sound.samples.tofile(tmp_path / "no.media")
    (tmp_path / "sheet.png").unlink()
    assert cli.main(["info", str(tmp_path / "no.media"), "--sheet", str(sheet)]) == 2 and not sheet.exists()


def test_an_evaluation_of_sound_and_picture_draws_timing(tmp_path):
    clips = [replace(ball(i), label="1") for i in range(6)]
    image = pixels(side_by_side(clips[:3], clips[3:], tmp_path / "a.png"))
    one = pixels(timing_sheet([("real, 1", clips[0])], tmp_path / "b.png"))
    # Two real clips and three rendered ones, each as high as one alone without the legend.
    assert len(image) == pytest.approx(5 * (len(one) - 60.5) + 60.5, abs=8) and image.shape[1] == one.shape[1]
