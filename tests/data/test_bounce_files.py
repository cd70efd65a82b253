"""Generated clips as files: what is written is what happened, and a folder of them trains as any other."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mediadiff import cli
from mediadiff.data import bounce
from mediadiff.data.bounce_files import Form, write_clips
from mediadiff.data.cache import EncodedSet
from mediadiff.data.folder import scan
from mediadiff.data.settings import BounceSettings, DataSettings
from mediadiff.domains.frames import Frames
from mediadiff.domains.spectrogram import Spectrogram
from mediadiff.errors import UsageError
from mediadiff.evaluation.impacts import seen_and_heard
from mediadiff.io.read import read

THREE = BounceSettings(balls=3, seed=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bounce")
    write_clips(THREE, 9, path, Form())
    return path


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]


def test_a_file_holds_the_clip_without_loss(folder: Path) -> None:
    assert [row["file"] for row in rows(folder)] == [f"bounce-{i:06d}.mkv" for i in range(9)]
    for index in (0, 8):
        made, got = bounce.clip(THREE, index, 2.0, channels=2), read(folder / f"bounce-{index:06d}.mkv")
        assert made.sound and made.picture and got.sound and got.picture
        assert np.array_equal(got.picture.frames, made.picture.frames) and got.picture.rate == 12
        assert np.abs(got.sound.samples - made.sound.samples).max() < 2**-22


def test_the_table_is_the_truth(folder: Path) -> None:
    for index, row in enumerate(rows(folder)):
        scene = bounce.scene(THREE, index, 2.0)
        assert (row["seed"], row["index"], row["label"]) == (4, index, str(len(scene.balls)))
        assert [ball["colour"] for ball in row["balls"]] == [ball.colour for ball in scene.balls]
        for written, impact in zip(row["impacts"], scene.impacts(), strict=True):
            assert written["seconds"] == pytest.approx(impact.seconds, abs=1e-6)
            assert written["place"] == pytest.approx(impact.place, abs=1e-4)
            assert written["speed"] == pytest.approx(impact.speed, abs=1e-4)
            assert written["pitch"] == pytest.approx(scene.balls[impact.ball].pitch, abs=1e-3)
            assert (written["ball"], written["wall"]) == (impact.ball, impact.wall)


def test_a_folder_of_them_trains_with_the_table_as_it_is(folder: Path, tmp_path: Path) -> None:
    found = scan(DataSettings(str(folder), table="truth.jsonl"))
    assert not found.refused and [item.label for item in found.items] == ["1", "2", "3"] * 3
    # Lists are left out, numbers are conditions that nobody has to use.
    assert set(found.items[1].scalars) == {"seed", "index"}
    domains = {"sound": Spectrogram(sample_rate=16_000, channels=2), "picture": Frames(32, 32, frame_rate=12)}
    encoded = EncodedSet.open(found, domains, 2.0, tmp_path, lambda done, of: None)
    assert not encoded.refused and encoded.labels == ("1", "2", "3")


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_what_is_read_back_is_as_synchronous(tmp_path: Path, ending: str) -> None:
    names = write_clips(THREE, 6, tmp_path, Form(size=(32, 48), rate=Fraction(25), ending=ending))
    found = seen_and_heard(read(tmp_path / name) for name in names)
    assert found.seen > 12 and found.matched >= found.seen - 1 and found.alone <= 1
    assert found.in_tune == found.in_place == found.matched


def test_the_command_writes_files_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clips"
    wanted = ["--size", "16x24", "--rate", "30000/1001", "--seconds", "0.5", "--sample-rate", "8000", "--channels", "1"]
    assert cli.main(["data", "bounce", "--num", "3", "--out", str(out), "--seed", "9", *wanted, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1] == {"event": "made", "out": str(out), "table": "truth.jsonl", "done": 3}
    assert [event["done"] for event in events[:-1]] == [1, 2, 3]
    clip = read(out / "bounce-000002.mkv")
    assert clip.picture and clip.picture.frames.shape == (15, 16, 24, 3) and clip.picture.rate == Fraction(30000, 1001)
    assert clip.sound and clip.sound.channels == 1 and clip.sound.sample_rate == 8000
    assert cli.main(["data", "bounce", "--num", "3", "--out", str(out)]) == 1
    assert "holds generated clips already (truth.jsonl); name another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--size", "32", "--size is HEIGHTxWIDTH in pixels, such as 32x48; got '32'"),
        ("--size", "4x32", "the height can be 8 to 1024; got 4"),
        ("--size", "64x16", "at least half as wide as high; got 0.25 times its height"),
        ("--rate", "fast", "--rate is in frames per second, such as 12, 12.5 or 30000/1001; got 'fast'"),
        ("--rate", "1/0", "got '1/0'"),
        ("--seconds", "nan", "seconds can be 0.1 to 600; got nan"),
        ("--channels", "3", "the channels can be 1 to 2; got 3"),
        ("--format", "wav", "the format is mkv (lossless) or mp4; got 'wav'"),
    ],
)
def test_mistakes_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str, said: str
) -> None:
    assert cli.main(["data", "bounce", "--num", "1", "--out", str(tmp_path / "x"), flag, value]) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_a_form_is_checked() -> None:
    with pytest.raises(UsageError, match="the sample rate can be 4000 to 192000; got 100"):
        Form(sample_rate=100)
