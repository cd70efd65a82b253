"""Tasks on the command line and in render recipes: the same keys, the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediadiff import cli
from mediadiff.errors import RecipeError
from mediadiff.recipe import from_dict, json_schema, load_recipe
from tests.rendering.test_tasks import noisy
from tests.tiny import BOTH, SOUND, tiny_model


def test_a_task_on_the_command_line_and_in_a_recipe_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model(tmp_path / "model", BOTH, sampling={"steps": 1, "batch": 1})
    film = noisy().save(tmp_path / "film.mkv")
    tasks = {
        "video": (["--given-video", "film.mkv"], "given_video: film.mkv"),
        "audio": (["--given-audio", "film.mkv"], "given_audio: film.mkv"),
        "keep": (
            ["--given", "film.mkv", "--keep", "0:0.2s", "--keep", "sound=0.4:"],
            'given: film.mkv\nkeep: ["0:0.2s", "sound=0.4:"]',
        ),
        "vary": (["--from", "film.mkv", "--strength", "0.6"], "from: film.mkv\nstrength: 0.6"),
        "loop": (["--loop"], "loop: true"),
        "long": (["--seconds", "0.7"], "seconds: 0.7"),
    }
    for name, (flags, lines) in tasks.items():
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(f"mediadiff: 1\ntask: render\nmodel: model\nformat: mkv\n{lines}\n")
        flags = [str(tmp_path / flag) if flag == "film.mkv" else flag for flag in flags]
        line = ["render", str(model.folder), "--format", "mkv", "--out", str(tmp_path / name), *flags]
        assert cli.main(line) == 0
        assert cli.main(["render", str(recipe), "--out", str(tmp_path / f"{name}-recipe")]) == 0
        folders = tmp_path / name, tmp_path / f"{name}-recipe"
        one, other = ((folder / "clip-000000.mkv").read_bytes() for folder in folders)
        assert one == other and str(tmp_path).encode() not in one
    said = capsys.readouterr().out
    assert "seam of" in said and "sound 0.512 s, picture 0.512 s, 0.000 ms apart at the start" in said
    assert film.is_file()


def test_what_a_task_cannot_be_is_a_mistake_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model(tmp_path / "model", SOUND)
    film = str(noisy().save(tmp_path / "film.mkv"))
    for flags, said in [
        (["--given-video", film], "its picture is given, but this model makes sound alone"),
        (["--given", film], "say what to keep of the given file: --keep 0:0.5s"),
        (["--from", film, "--strength", "2"], "strength: takes at most 1; got 2"),
        (["--loop", "--seconds", "0.3"], "a loop of this model lasts a multiple of 0.032 s"),
    ]:
        assert cli.main(["render", str(model.folder), "--out", str(tmp_path / "out"), *flags]) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_recipe_fills_in_where_its_files_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film.mkv").touch()
    monkeypatch.setenv("FILMS", str(tmp_path))
    path = tmp_path / "render.yaml"
    text = "mediadiff: 1\ntask: render\nmodel: digits\ngiven: $FILMS/film.mkv\nkeep: 0:0.5s\nfrom: film.mkv\n"
    path.write_text(text)
    recipe = load_recipe(path)
    assert recipe.asked["given"] == recipe.asked["from"] == str(tmp_path / "film.mkv")
    assert recipe.asked["keep"] == "0:0.5s"
    written = recipe.to_dict()
    assert (written["given"], written["from"]) == ("$FILMS/film.mkv", "film.mkv") and "from_" not in written
    assert from_dict(written).asked["from"] == "film.mkv"
    properties = json_schema()["$defs"]["RenderRecipe"]["properties"]
    assert {"given_video", "given_audio", "given", "keep", "from", "strength", "loop", "timeline"} <= set(properties)
    path.write_text(text + "strength: 0\n")
    with pytest.raises(RecipeError, match="line 7, column 11: strength: takes more than 0; got 0"):
        load_recipe(path)
