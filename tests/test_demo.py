"""The demonstration's page: what each rendered clip says of itself."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mediadiff import build, cli, model
from mediadiff.demo import demo, entries
from mediadiff.errors import UsageError
from mediadiff.io.read import read
from mediadiff.rendering import manifest
from tests.tiny import BOTH, PICTURE, SOUND, tiny_model

BOUNCE = {"folder": None, "label": "", "bounce": {"clips": 21, "balls": 2}}
ACROSS = {"mix": {"together": 1, "across": 1}}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "SHIPPED", tmp_path / "models")
    return tmp_path / "models"


def test_it_shows_pairs_a_sound_for_a_picture_and_a_loop_first_then_the_other_models(shipped, tmp_path):
    tiny_model(shipped / "bounce", BOTH, ("1", "2"), data=BOUNCE, diffusion=ACROSS)
    tiny_model(shipped / "all", labels=[str(i) for i in range(30)])
    tiny_model(shipped / "plain", labels=())
    said = []
    page, failed = demo(tmp_path / "out", said.append)
    assert failed == 0 and page == tmp_path / "out" / "index.html"
    assert [event["text"] for event in said if event["event"] == "note" and "model" in event["text"]] == [
        "model bounce: pairs of sound and picture",
        "model bounce: the sound for a picture",
        "model bounce: a loop",
        "model all: a clip of each label",
        "model plain: clips",
    ]
    rows, _ = manifest.read(tmp_path / "out" / "bounce")
    assert [row["file"] for row in rows] == [f"{label}-{i:06d}.mp4" for i, label in enumerate("121211")]
    assert [row["recipe"].get("given", [{"keep": None}])[0]["keep"] for row in rows][3:] == [
        None,
        {"picture": "whole"},
        None,
    ]
    assert [row["recipe"].get("loop", False) for row in rows] == [False] * 5 + [True]
    given = read(tmp_path / "out" / "given.mkv")
    assert given.picture.frames.shape == (4, 16, 16, 3) and given.picture.rate == Fraction(125, 16)
    assert len(list((tmp_path / "out" / "all").glob("*.wav"))) == 12
    assert len(list((tmp_path / "out" / "plain").glob("*.wav"))) == 4
    text = page.read_text()
    assert text.index("bounce/1-000000.mp4") < text.index("all/0-000000.wav")
    assert "<dt>given</dt><dd>picture</dd>" in text and "<dt>loop</dt><dd>yes</dd>" in text
    # Run again, it makes the same again.
    assert demo(tmp_path / "out", said.append) == (page, 0)


def test_without_a_model_there_is_nothing_to_show(shipped, tmp_path):
    with pytest.raises(UsageError, match="no models are shipped"):
        demo(tmp_path / "out", print)


def test_render_takes_bounce_where_no_model_is_named(shipped, tmp_path, monkeypatch, capsys):
    tiny_model(shipped / "digits")
    assert cli.main(["render", "--out", str(tmp_path / "out")]) == 1
    assert (
        "which model? bounce, which is taken where none is named, is not shipped with this copy of mediadiff; "
        "name a model's folder or one of: digits" in capsys.readouterr().err
    )
    tiny_model(shipped / "bounce", PICTURE, ("1", "2"))
    assert cli.main(["render", "--out", str(tmp_path / "out"), "--label", "2"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["2-000000.mp4", "manifest.jsonl"]
    assert cli.main(["render", "digits", "--out", str(tmp_path / "out"), "--label", "b"]) == 0
    assert (tmp_path / "out" / "b-000000.wav").is_file()


def test_the_page_says_how_each_clip_was_made(tmp_path):
    rendered, said = [], []
    for name, streams in [("sounds", SOUND), ("films", PICTURE)]:
        made = tiny_model(tmp_path / "models" / name, streams)
        build.render(made, tmp_path / name, 2, ["a", "b"], seed=3, report=lambda e, n=name: rendered.append((n, e)))
    rendered.append(("films", {"event": "failed", "index": 2, "file": "a-000002.mp4", "reason": "no luck"}))
    made = list(entries(tmp_path, rendered, said.append))
    assert [entry.file for entry in made] == [
        "sounds/a-000000.wav",
        "sounds/b-000001.wav",
        "films/a-000000.mp4",
        "films/b-000001.mp4",
        "films/a-000002.mp4",
    ]
    assert [entry.label for entry in made] == ["a", "b", "a", "b", None]
    assert [(entry.status, entry.reason) for entry in made] == [("done", "")] * 4 + [("failed", "no luck")]
    assert made[0].settings == made[0].settings | {"model": "sounds", "seed": 3, "length": "0.512 s"}
    assert made[2].settings["length"] == "0.5 s" and "time taken" in made[2].settings
    assert made[1].pictures == ("pictures/sounds-b-000001-sound.png",)
    assert made[2].pictures == ("pictures/films-a-000000-frames.png",)
    assert all((tmp_path / path).is_file() for entry in made for path in entry.pictures)
    assert [event["done"] for event in said] == [1, 2, 3, 4, 5]
