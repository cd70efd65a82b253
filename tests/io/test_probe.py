"""What `mediadiff info` says of a file."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from mediadiff.clip import Clip
from mediadiff.errors import MediaError
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.io.write import write
from tests.io.makers import mux, ramps, tone


def test_film(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    path = write(tmp_path / "a.mp4", Clip(tone(30 / rate), ramps(30, rate=rate), "dog", {"seed": "7"}))
    info = probe(path)
    assert info.sound is not None and info.picture is not None
    assert (info.sound.codec, info.sound.sample_rate, info.sound.channels) == ("aac", 16_000, 1)
    assert abs(info.sound.seconds - Fraction(30) / rate) < Fraction(1, 16_000)
    assert (info.picture.size, info.picture.rate, info.picture.seconds) == ((48, 64), rate, Fraction(1001, 1000))
    assert info.lines() == [
        f"{path}: mov,mp4,m4a,3gp,3g2,mj2, {path.stat().st_size:,} bytes, 1.001 s",
        "  picture: h264, 64x48, 30000/1001 frames/s (29.97), yuv420p, BT.709, limited range, 1.001 s",
        "  sound: aac, 16000 Hz, mono, 1.001 s",
        "  tag seed: 7",
        "  tag label: dog",
    ]


def test_turned_film_that_starts_late(tmp_path: Path) -> None:
    frames = [(ramps(1).frames[0], Fraction(k, 10)) for k in range(3)]
    path = mux(tmp_path / "a.mp4", frames, tone(1, channels=2), Fraction(1, 2), turn=270, aspect=Fraction(2))
    lines = "\n".join(probe(path).lines())
    assert "48x128 (stored 64x48), turned right" in lines
    assert "stereo" in lines and "starts at 0.500 s" in lines


def test_names_and_tags_cannot_command_the_terminal(tmp_path: Path) -> None:
    path = write(tmp_path / os.fsdecode(b"a\x1b[31m\n\xff.flac"), Clip(tone(0.1), tags={"note": "\x1b]0;x\x07"}))
    text = "".join(probe(path).lines())
    assert text.isprintable() and "a\\x1b[31m\\n\\udcff.flac" in text
    with pytest.raises(MediaError) as refusal:
        read(path.with_suffix(".none\n"))
    assert str(refusal.value).isprintable() and refusal.value.path == str(path.with_suffix(".none\n"))


def test_json_holds_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", Clip(tone(0.1)))
    told = json.loads(json.dumps(probe(path).to_dict()))
    assert told["path"] == str(path)
    assert told["sound"]["seconds"] == "1/10" and told["sound"]["speakers"] == ["FC"]
    assert told["picture"] is None and told["tags"] == {}


def test_still_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", Clip(picture=ramps(1)))
    assert "64x48, still image, rgb24, RGB" in probe(path).lines()[1]


def test_what_is_left_is_told(media_data: Path) -> None:
    info = probe(media_data / "nasty/moviepy/media/with-attached-pic.mp3")
    assert info.left == ("cover art (mjpeg)",)
    assert "  not read: cover art (mjpeg)" in info.lines()
    assert info.tags["title"].startswith("Roulette")
    webm = probe(media_data / "nasty/moviepy/media/transparent.webm")
    assert webm.picture is not None and "transparency not read" in webm.picture.colour
