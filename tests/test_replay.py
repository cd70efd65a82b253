"""Clips made again from what is written down of them alone: in every format, and with every part changed in turn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mediadiff import build, cli, replay
from mediadiff.errors import ModelError, UsageError
from mediadiff.io.read import read
from mediadiff.io.write import FORMATS
from mediadiff.model import Model
from mediadiff.rendering import manifest
from mediadiff.rendering.record import recorded
from mediadiff.rendering.verify import verify
from tests.tiny import PICTURE, SOUND, tiny_model

LONG = "a word " * 300
FILM = {**SOUND, **PICTURE}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "sound": tiny_model(folder / "sound", condition={"caption": True}),
        "picture": tiny_model(folder / "picture", PICTURE),
        "film": tiny_model(folder / "film", FILM),
    }


@pytest.fixture(scope="module")
def rendered(models: dict[str, Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip in every format, `a-0000NN.EXT`, and a wav with a caption too long for its tag."""
    out = tmp_path_factory.mktemp("rendered")
    for number, format in enumerate(FORMATS):
        model = models[kind(format)]
        seconds = 0.125 if format == "png" else None
        build.render(model, out, label="a", seed=2, first=number, format=format, seconds=seconds)
    build.render(models["sound"], out, label="b", caption=LONG, format="wav")
    return out


def kind(format: str) -> str:
    """The model that a clip of this format was made with."""
    holds = FORMATS[format].holds
    return "film" if len(holds) == 2 else "picture" if "picture" in holds else "sound"


def first(folder: Path, ending: str) -> Path:
    return next(iter(sorted(folder.glob(f"a-*.{ending}"))))


@pytest.fixture
def flac(rendered: Path, tmp_path: Path) -> Path:
    """A clip that a test may spoil, in a folder with its row."""
    source = first(rendered, "flac")
    manifest.append(tmp_path, next(row for row in manifest.read(rendered)[0] if row["file"] == source.name))
    return Path(shutil.copy(source, tmp_path))


@pytest.mark.parametrize("format", FORMATS)
def test_a_clip_has_the_same_bytes_again(format: str, rendered: Path, models: dict[str, Model], tmp_path: Path) -> None:
    source = first(rendered, format)
    made = replay.replay(source, models[kind(format)].folder, tmp_path)
    assert (made.outcome, made.exit_code, made.differences) == ("same bytes", 0, ())
    assert made.path is not None and made.path.read_bytes() == source.read_bytes()
    assert [finding.kind for finding in verify(tmp_path)] == ["proved"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_clip_alone_says_how_it_was_made(format: str, rendered: Path, tmp_path: Path) -> None:
    """The tag survives a copy to any name, away from its folder."""
    moved = shutil.copy(first(rendered, format), tmp_path / f"renamed.{format}")
    (row,) = [row for row in manifest.read(rendered)[0] if row["file"] == first(rendered, format).name]
    assert manifest.carried(read(moved).tags) == {key: row[key] for key in manifest.FACTS}
    assert not manifest.sidecar(first(rendered, format)).exists()


def test_a_clip_made_from_a_file_needs_that_file_under_whatever_name(models: dict[str, Model], tmp_path: Path) -> None:
    given = next(models["film"].render(1, label="a", seed=1)).save(tmp_path / "given.mkv")
    build.render(models["film"], tmp_path / "out", label="a", format="mkv", task={"given_video": given})
    source = first(tmp_path / "out", "mkv")
    without = replay.replay(source, models["film"].folder)
    assert without.exit_code == 2 and "given.mkv: is needed for this clip" in without.text and "--file" in without.text
    moved = given.rename(tmp_path / "other.mkv")
    again = replay.replay(source, models["film"].folder, None, [moved, source])
    assert (again.outcome, again.exit_code) == ("same bytes", 0)
    with pytest.raises(UsageError, match="there is no such file; --file names one"):
        replay.replay(source, models["film"].folder, None, [given])


def test_facts_too_long_for_a_tag_are_read_from_the_sidecar(rendered: Path, models: dict[str, Model]) -> None:
    source = rendered / "b-000000.wav"
    assert "mediadiff" not in read(source).tags
    assert recorded(source).made["recipe"]["caption"] == LONG
    assert replay.replay(source, models["sound"].folder).outcome == "same bytes"
    assert replay.replay(manifest.sidecar(source), models["sound"].folder).outcome == "same bytes"


def test_a_row_is_as_good_as_its_file(flac: Path, models: dict[str, Model], tmp_path: Path) -> None:
    folder = models["sound"].folder
    (row,) = manifest.read(tmp_path)[0]
    (tmp_path / "row.json").write_text(json.dumps(row))
    wanted = flac.read_bytes()
    flac.unlink()
    for source in (tmp_path / f"manifest.jsonl#{row['id']}", tmp_path / "row.json"):
        assert replay.replay(source, folder).outcome == "same bytes"
    # A file that is gone comes back where it was.
    made = replay.replay(f"{tmp_path}/manifest.jsonl#{flac.name}", folder, tmp_path)
    assert made.outcome == "same bytes" and flac.read_bytes() == wanted
    assert {finding.kind for finding in verify(tmp_path)} == {"proved"}
    with pytest.raises(UsageError, match="holds the clip itself"):
        replay.replay(flac, folder, tmp_path)
    assert flac.read_bytes() == wanted


def changed(row: dict, part: str, value: object) -> dict:
    """The row with one part changed, by its dotted name."""
    key, _, rest = part.partition(".")
    return {**row, key: changed(row[key], rest, value) if rest else value}


PARTS = [
    ("versions.torch", "2.0.0"),
    ("versions.mediadiff", "0.0.9"),
    ("numerics.processor", "ABACUS"),
    ("numerics.threads", 7),
    ("numerics.bf16", "maybe"),
    ("numerics.batch", 99),
    ("weights", "0" * 64),
    ("recipe.sampling.steps", 2),
]


@pytest.mark.parametrize(("part", "value"), PARTS, ids=[part for part, _ in PARTS])
def test_a_changed_part_is_named(
    part: str, value: object, flac: Path, models: dict[str, Model], tmp_path: Path
) -> None:
    """In a file of that day, as it would be if it had been made so."""
    folder = models["sound"].folder
    (row,) = manifest.read(tmp_path)[0]
    manifest.append(tmp_path, changed(row, part, value))
    # By the row, beside its file.
    by_row = replay.replay(f"{tmp_path}/manifest.jsonl#{flac.name}", folder)
    assert part in {item.part for item in by_row.differences}
    assert any(f"{part}: " in line and str(value) in line for line in by_row.lines())

    # By the file alone: one that was made so has the part in its tag.
    then = {key: changed(row, part, value)[key] for key in manifest.FACTS}
    (tmp_path / "old").mkdir()
    manifest.append(tmp_path / "old", manifest.save(read(flac), tmp_path / "old", flac.name, then, 1.0))
    by_file = replay.replay(tmp_path / "old" / flac.name, folder)
    assert by_file.exit_code == 3
    if part == "weights":
        assert by_file.outcome == "other weights"
    elif part.startswith("recipe"):
        # Two steps are two steps then and now: nothing but the samples tells.
        assert by_file.outcome == "other samples" and "and the bytes still differ" in by_file.text
        return
    else:
        assert by_file.outcome == "same samples"
    (difference,) = by_file.differences
    assert (difference.part, difference.one, difference.between) == (part, value, ("then", "now"))


def test_a_file_that_was_changed_is_told_from_a_replay_that_fails(flac: Path, models: dict[str, Model]) -> None:
    read(flac).with_tags(title="mine").save(flac)
    made = replay.replay(flac, models["sound"].folder)
    assert (made.outcome, made.exit_code) == ("same samples", 3)
    assert [item.part for item in made.differences] == ["sha256"]
    assert made.text.startswith("the clip made now has the bytes that the manifest names")
    data = bytearray(flac.read_bytes())
    data[-20] ^= 255
    flac.write_bytes(data)
    assert replay.replay(flac, models["sound"].folder).outcome == "other samples"
    (flac.parent / manifest.NAME).unlink()
    made = replay.replay(flac, models["sound"].folder)
    assert not made.differences and made.text.startswith("all that is written down agrees")


def test_threads_and_micro_batch_are_those_of_the_recipe(models: dict[str, Model], tmp_path: Path) -> None:
    build.render(models["sound"], tmp_path, num=3, label="a", sampling={"threads": 2, "batch": 2}, format="flac")
    made = replay.replay(tmp_path / "a-000001.flac", models["sound"].folder)
    assert (made.outcome, made.differences) == ("same bytes", ())
    assert recorded(tmp_path / "a-000001.flac").made["numerics"]["threads"] == 2


def test_other_weights_are_refused_and_named(flac: Path, models: dict[str, Model]) -> None:
    made = replay.replay(flac, models["picture"].folder)
    assert (made.outcome, made.exit_code, made.path) == ("other weights", 3, None)
    (difference,) = made.differences
    assert (difference.part, difference.other) == ("weights", models["picture"].sha256)


def test_a_model_that_is_not_there_is_said(flac: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = replay.replay(flac)
    assert (made.outcome, made.exit_code) == ("not rendered", 2)
    assert made.lines()[1] == "  model: tiny then, not found now" and "--model" in made.lines()[-1]
    # A file says the name of its model, and nothing that a file says is a path to look at.
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path / "tiny")
    assert replay.replay(flac).outcome == "not rendered"
    with pytest.raises(ModelError, match="no model there"):
        replay.replay(flac, tmp_path / "nowhere")


def test_the_shipped_model_of_the_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(tmp_path / "models" / "tiny")
    build.render(model, tmp_path / "out", format="flac")
    for place in ("mediadiff.model.SHIPPED", "mediadiff.replay.SHIPPED"):
        monkeypatch.setattr(place, tmp_path / "models")
    assert replay.replay(tmp_path / "out" / "clip-000000.flac").outcome == "same bytes"
    tiny_model(tmp_path / "models" / "tiny", labels=("a", "b", "c"))
    made = replay.replay(tmp_path / "out" / "clip-000000.flac")
    assert made.outcome == "other weights" and made.text.startswith("if you have the clip's own model")


HOSTILE = [
    ("recipe.seconds", "1e999999999", "seconds is"),
    ("recipe.seconds", "1/0", "ZeroDivisionError"),
    ("recipe.seed", "x", "seed is 'x'"),
    ("recipe.seed", -1, "0 or more"),
    ("recipe.caption", 5, "caption is 5"),
    ("recipe.scalars", {"a": "b"}, "TypeError"),
    ("recipe.sampling", [], "TypeError"),
    ("recipe.sampling.steps", 10**9, "steps"),
    ("recipe.sampling.autoguidance", 2.0, "no early snapshot"),
    ("recipe.label", "../../x", "no label"),
    ("recipe.format", "/../../../x.wav", "names the format '/../../../x.wav'"),
]


@pytest.mark.parametrize(("part", "value", "said"), HOSTILE, ids=[f"{case[0]}={case[1]}" for case in HOSTILE])
def test_what_no_model_could_do_is_said_and_not_done(
    part: str, value: object, said: str, flac: Path, models: dict[str, Model], tmp_path: Path
) -> None:
    (row,) = manifest.read(tmp_path)[0]
    (tmp_path / "row.json").write_text(json.dumps(changed(row, part, value)))
    made = replay.replay(tmp_path / "row.json", models["sound"].folder, tmp_path / "out")
    assert (made.outcome, made.exit_code) == ("not rendered", 2) and said in made.text
    assert not (tmp_path / "out").exists()


def test_the_command(flac: Path, models: dict[str, Model], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(models["sound"].folder)
    assert cli.main(["replay", str(flac), "--model", model, "--out", str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out == f"{flac.name}: same bytes\n"
    (row,) = manifest.read(tmp_path)[0]
    (tmp_path / "row.json").write_text(json.dumps(changed(row, "sha256", "0" * 64)))
    assert cli.main(["replay", str(tmp_path / "row.json"), "--model", model, "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert (said["event"], said["outcome"], said["differences"]) == ("replayed", "same samples", [])
    assert cli.main(["replay", str(flac)]) == 2
    assert cli.main(["replay", str(flac), "--model", str(models["picture"].folder)]) == 3


def test_mistakes_are_told_apart(rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = read(first(rendered, "wav"))
    type(bare)(bare.sound).save(tmp_path / "bare.wav")
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "noise.wav").write_bytes(b"no media")
    mistakes = {
        str(tmp_path / "nowhere.wav"): (1, "no such file; name a rendered file, a row of a manifest"),
        str(tmp_path / "bare.wav"): (1, "does not say how it was made"),
        str(tmp_path / "other.json"): (1, "holds no row of a manifest"),
        f"{rendered}/manifest.jsonl#nothing": (1, "has no row 'nothing'"),
        str(tmp_path / "noise.wav"): (2, "noise.wav: "),
    }
    for source, (code, said) in mistakes.items():
        assert cli.main(["replay", source]) == code and said in capsys.readouterr().err


def test_no_path_user_or_secret_gets_into_what_is_written(
    models: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is written below a home folder by a user with a secret, and every byte is searched for them."""
    home = tmp_path / "canary-home"
    secrets = {"HOME": str(home), "USER": "canary-user", "LOGNAME": "canary-user", "API_TOKEN": "canary-secret"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    models = {name: build.load(shutil.copytree(model.folder, home / name)) for name, model in models.items()}
    out = home / "clips"
    for format in FORMATS:
        seconds = 0.125 if format == "png" else None
        build.render(models[kind(format)], out, label="a", format=format, seconds=seconds)
    for caption in (f"as in {home}/clips", f"{LONG} {home}"):
        build.render(models["sound"], out, first=len(caption), caption=caption)
    made = replay.replay(out / f"clip-{len(f'as in {home}/clips'):06d}.wav", models["sound"].folder, home / "again")
    assert (made.outcome, made.differences) == ("same bytes", ())

    assert all(finding.kind == "proved" for finding in verify(out))
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {path.suffix[1:] for path in files} >= {*FORMATS, "json", "jsonl"}
    for path in files:
        for canary in (b"canary", str(tmp_path).encode()):
            assert canary not in path.read_bytes(), path
            assert canary.decode().encode("utf-16-le") not in path.read_bytes(), path
