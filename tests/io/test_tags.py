"""Tags survive in the comment of a file, fit where they must, and name no home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediadiff.clip import Clip, Sound
from mediadiff.io import tags
from mediadiff.io.read import read
from mediadiff.io.write import FORMATS, write
from tests.io.makers import ramps, tone

MANY = {"seed": "7", "recipe": "x" * 5000, "sampler": "heun"}


def test_packed_tags_come_back() -> None:
    for some in ({"a": "b"}, {"ключ": 'quote " and \\ and \n line'}, MANY):
        assert tags.unpack({"COMMENT": tags.pack(some)}) == some
    assert tags.pack({}) == ""


def test_tags_of_others_are_kept_and_those_of_containers_left() -> None:
    others = {"artist": "A", "comment": "hello", "encoder": "Lavf62", "major_brand": "isom", "empty": ""}
    assert tags.unpack(others) == {"artist": "A", "comment": "hello"}
    assert tags.unpack({"comment": '{"mediadiff": 3}'}) == {}
    assert tags.unpack({"comment": "[" * 100_000}) == {"comment": "[" * 100_000}


def test_limit_leaves_out_the_longest_and_says_so() -> None:
    text = tags.pack(MANY, limit=200)
    assert len(text.encode()) <= 200
    assert tags.unpack({"comment": text}) == {"seed": "7", "sampler": "heun", "...": "recipe"}


def test_wav_keeps_a_short_comment_and_flac_a_long_one(tmp_path: Path) -> None:
    clip = Clip(tone(0.1), tags=MANY)
    assert read(write(tmp_path / "a.wav", clip)).tags == {"seed": "7", "sampler": "heun", "...": "recipe"}
    assert read(write(tmp_path / "a.flac", clip)).tags == MANY


@pytest.mark.parametrize("ending", FORMATS)
def test_long_and_odd_tags_survive(ending: str, tmp_path: Path) -> None:
    """Louder than full scale, so that wav writes floats and the chunk whose time is cleared."""
    holds = FORMATS[ending].holds
    loud = Sound(tone(0.2).samples * 4, 16_000) if "sound" in holds else None
    tags = {"PEAK": "PEAK ü\n", "long": "x" * (100 if ending == "wav" else 30_000)}
    clip = Clip(loud, ramps(1 if ending == "png" else 3) if "picture" in holds else None, tags=tags)
    assert read(write(tmp_path / f"a.{ending}", clip)).tags == tags


def test_home_folder_is_not_written(tmp_path: Path) -> None:
    clip = Clip(tone(0.1), tags={"made": f"mediadiff render {Path.home()}/secret/recipe.yaml"})
    path = write(tmp_path / "a.flac", clip)
    assert read(path).tags["made"] == "mediadiff render ~/secret/recipe.yaml"
    assert str(Path.home() / "secret").encode() not in path.read_bytes()
