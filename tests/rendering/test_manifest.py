"""The manifest: a row for each file, what it may not hold, and what a crash may do to it."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mediadiff import build
from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import DiskFullError
from mediadiff.io.files import sha256
from mediadiff.io.read import read as read_media
from mediadiff.io.write import FORMATS
from mediadiff.rendering import manifest
from mediadiff.rendering.request import identity
from tests.io.makers import ramps, tone
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"))


def one(name="a.wav", **recipe):
    return {
        "id": "0",
        "file": name,
        "sha256": "1",
        "samples_sha256": "2",
        "model": "m",
        "weights": "3",
        "recipe": recipe,
        "versions": {},
        "numerics": {},
        "seconds": 1.0,
    }


def test_a_render_leaves_a_row_for_each_file(model, tmp_path):
    build.render(model, tmp_path, num=2, label=["a", "b"], seed=3, first=1, sampling={"steps": 2, "guidance": 2.0})
    rows, notes = manifest.read(tmp_path)
    assert [row["file"] for row in rows] == ["b-000001.wav", "a-000002.wav"] and not notes
    row = rows[1]
    assert list(row) == [
        *("id", "file", "sha256", "samples_sha256", "model", "weights", "recipe", "versions", "numerics", "seconds")
    ]
    assert row["sha256"] == sha256(tmp_path / row["file"])
    assert (row["model"], row["weights"], row["recipe"]["label"]) == ("tiny", model.sha256, "a")
    recipe = row["recipe"]
    assert (recipe["seed"], recipe["index"], recipe["seconds"], recipe["format"]) == (3, 2, "64/125", "wav")
    assert (recipe["sampling"]["steps"], recipe["sampling"]["guidance"], recipe["sampling"]["batch"]) == (2, 2.0, 4)
    assert row["numerics"]["threads"] == 1 and row["numerics"]["batch"] == 4 and row["seconds"] > 0
    assert set(row["versions"]) == {"mediadiff", "torch", "av", "soundfile", "diffusers"}
    assert {key: row[key] for key in manifest.FACTS} == manifest.carried(read_media(tmp_path / row["file"]).tags)


def test_the_id_is_what_was_asked_and_nothing_of_the_machine(model, tmp_path):
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        build.render(model, tmp_path / folder, seed=seed)
    one, two, three = (manifest.read(tmp_path / name)[0][0] for name in ("one", "two", "three"))
    assert one["id"] == two["id"] != three["id"]
    assert identity(one["weights"], one["recipe"]) == one["id"]
    assert identity("other", one["recipe"]) != one["id"]


def test_a_file_rendered_again_has_its_last_row(tmp_path):
    for row in (one("a.wav", seed=1), one("b.wav"), one("a.wav", seed=2)):
        manifest.append(tmp_path, row)
    rows, notes = manifest.read(tmp_path)
    assert [(row["file"], row["recipe"]) for row in rows] == [("b.wav", {}), ("a.wav", {"seed": 2})] and not notes


def test_a_torn_line_is_passed_over_with_a_note_and_spoils_no_other(tmp_path):
    manifest.append(tmp_path, one("a.wav"))
    path = tmp_path / manifest.NAME
    path.write_bytes(path.read_bytes() + b'{"id":"1","file":"b.w')
    rows, notes = manifest.read(tmp_path)
    assert [row["file"] for row in rows] == ["a.wav"]
    assert notes == ["manifest.jsonl line 2 is not a whole row; it is passed over"]
    manifest.append(tmp_path, one("c.wav"))
    rows, notes = manifest.read(tmp_path)
    assert [row["file"] for row in rows] == ["a.wav", "c.wav"] and len(notes) == 1
    assert manifest.read(tmp_path / "nowhere") == ([], [])


@pytest.mark.parametrize("name", ["../a.wav", "/etc/passwd", "a/../../b.wav", "", ".", "a\0.wav"])
def test_rows_of_files_outside_the_folder_are_none(tmp_path, name):
    manifest.append(tmp_path, one(name))
    rows, notes = manifest.read(tmp_path)
    assert not rows and len(notes) == 1


def test_a_full_disk_is_said(tmp_path):
    (tmp_path / manifest.NAME).symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match="no room left"):
        manifest.append(tmp_path, one())


def test_nothing_of_the_home_folder_or_the_model_s_place_is_written(tmp_path, monkeypatch):
    home = tmp_path / "home" / "carol"
    monkeypatch.setenv("HOME", str(home))
    model = tiny_model(home / "models" / "mine", condition={"caption": True})
    for format in ("wav", "flac", "mp3"):
        build.render(model, tmp_path / "out", caption=f"as in {home}/secret", format=format)
    for path in (tmp_path / "out").iterdir():
        assert b"carol" not in path.read_bytes() and str(tmp_path).encode() not in path.read_bytes()
    assert manifest.read(tmp_path / "out")[0][0]["recipe"]["caption"] == "as in ~/secret"


LOSSLESS = [
    ("wav", Clip(tone(0.1))),
    ("flac", Clip(tone(0.1))),
    ("mkv", Clip(tone(0.2), ramps(5))),
    ("png", Clip(picture=ramps(1))),
]


@pytest.mark.parametrize(("ending", "clip"), LOSSLESS, ids=[ending for ending, _ in LOSSLESS])
def test_a_lossless_file_has_the_hash_of_the_clip(tmp_path, ending, clip):
    path = clip.save(tmp_path / f"a.{ending}")
    if clip.picture is not None and clip.picture.is_still:
        clip = Clip(picture=Picture(clip.picture.frames, Fraction(1)))
    assert manifest.samples_sha256(read_media(path)) == manifest.samples_sha256(clip)


def test_the_hash_is_of_rate_shape_and_every_value():
    samples = np.linspace(-1, 1, 12, dtype=np.float32)[None]
    base = Clip(Sound(samples, 8000))
    others = [
        Clip(Sound(samples, 16_000)),
        Clip(Sound(samples.reshape(2, 6), 8000)),
        Clip(Sound(samples + np.float32(2**-23) * (np.arange(12) == 5), 8000)),
        Clip(Sound(samples, 8000), Picture(np.zeros((1, 2, 3, 3), np.uint8), Fraction(1))),
        Clip(Sound(samples, 8000), Picture(np.zeros((1, 3, 2, 3), np.uint8), Fraction(1))),
    ]
    assert len({manifest.samples_sha256(clip) for clip in [base, *others]}) == 6
    assert manifest.samples_sha256(base) == manifest.samples_sha256(Clip(Sound(samples.copy(), 8000)))


MADE = {
    **{"model": "digits", "weights": "ab" * 32, "recipe": {"seed": 2**63 - 1, "caption": "ü " * 20, "label": "7"}},
    **{"versions": {"torch": "2.13.0+cpu"}, "numerics": {"threads": 1}},
}


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_carries_the_facts(tmp_path, ending):
    holds = FORMATS[ending].holds
    picture = ramps(1 if ending == "png" else 3) if "picture" in holds else None
    clip = Clip(tone(0.2) if "sound" in holds else None, picture, "7")
    row = manifest.save(clip, tmp_path, f"a.{ending}", MADE, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{ending}"]
    assert manifest.carried(read_media(tmp_path / row["file"]).tags) == MADE


def test_facts_too_long_for_a_wav_stand_beside_it(tmp_path):
    made = {**MADE, "recipe": {"caption": "x" * 4000}}
    manifest.save(Clip(tone(0.1)), tmp_path, "a.wav", made, 1.0)
    assert json.loads(manifest.sidecar(tmp_path / "a.wav").read_text()) == made
    manifest.save(Clip(tone(0.1)), tmp_path, "a.wav", MADE, 1.0)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["a.wav"]


@pytest.mark.parametrize("ending", ["wav", "mp3", "ogg", "gif"])
def test_facts_of_any_length_stand_in_the_file_or_beside_it(tmp_path, ending):
    clip = Clip(picture=ramps(2)) if ending == "gif" else Clip(tone(0.05))
    for length in (*range(50, 800, 50), 1000, 2000, 5000, 70_000):
        made = {**MADE, "recipe": {"caption": "x" * length}}
        path = tmp_path / manifest.save(clip, tmp_path, f"a.{ending}", made, 1.0)["file"]
        inside, beside = manifest.carried(read_media(path).tags), manifest.beside(path)
        # In one place, whole.
        assert [found for found in (inside, beside) if found is not None] == [made]
        assert ending == "wav" or inside is not None
    assert (beside is not None) == (ending == "wav")
