"""Faults planted in a folder of real clips, one by one, and found by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mediadiff import build, cli
from mediadiff.clip import Sound
from mediadiff.errors import UsageError
from mediadiff.io.read import read
from mediadiff.rendering import manifest
from mediadiff.rendering import verify as verifying
from mediadiff.rendering.record import differences
from mediadiff.rendering.verify import Finding, verify
from tests.tiny import tiny_model

A, B, C, D = "a-000000.wav", "b-000001.wav", "a-000000.flac", "clip-000007.wav"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two wav files, a flac, and a wav whose facts stand beside it, for its caption is long."""
    folder = tmp_path_factory.mktemp("rendered")
    model = tiny_model(folder / "model", condition={"caption": True})
    build.render(model, folder / "out", num=2, label=["a", "b"])
    build.render(model, folder / "out", label="a", format="flac")
    build.render(model, folder / "out", first=7, caption="a word " * 300)
    return folder / "out"


@pytest.fixture
def out(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rendered, tmp_path / "out"))


def found(folder: Path) -> dict[str, str]:
    """What is said, by file, of all that is not proved."""
    return {finding.file: finding.kind for finding in verify(folder) if finding.kind != "proved"}


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit(folder: Path, name: str, /, **changes: object) -> None:
    """Changes the row of a file in the manifest."""
    rows, _ = manifest.read(folder)
    (folder / manifest.NAME).unlink()
    for row in rows:
        manifest.append(folder, {**row, **(changes if row["file"] == name else {})})


def row(folder: Path, file: str) -> dict:
    return next(row for row in manifest.read(folder)[0] if row["file"] == file)


def test_a_whole_folder_is_proved(out: Path) -> None:
    assert list(verify(out)) == [Finding(file, "proved") for file in (A, B, C, D)]
    assert sorted(path.name for path in out.iterdir()) == sorted([A, B, C, D, f"{D}.json", manifest.NAME])


def swap(out: Path) -> None:
    (out / A).rename(out / "x")
    (out / B).rename(out / A)
    (out / "x").rename(out / B)


def rotate(out: Path) -> None:
    swap(out)
    (out / A).rename(out / "x")
    (out / D).rename(out / A)
    (out / "x").rename(out / D)


def retag(out: Path) -> None:
    read(out / C).with_tags(title="mine").save(out / C)


def louder(out: Path) -> None:
    clip = read(out / C)
    sound = Sound(clip.sound.samples * 0.5, clip.sound.sample_rate)
    type(clip)(sound, label=clip.label, tags=clip.tags).save(out / C)


def pipe(out: Path) -> None:
    (out / A).unlink()
    os.mkfifo(out / A)


def without_tags(out: Path) -> None:
    """Facts are gone, and the row is made to fit the file that is left."""
    clip = read(out / C)
    type(clip)(clip.sound).save(out / C)
    edit(out, C, sha256=manifest.sha256(out / C))


def other_steps(out: Path) -> None:
    recipe = row(out, A)["recipe"]
    edit(out, A, recipe={**recipe, "sampling": {**recipe["sampling"], "steps": 5}})


def other_sidecar(out: Path) -> None:
    made = json.loads((out / f"{D}.json").read_text())
    (out / f"{D}.json").write_text(json.dumps({**made, "model": "other"}))


FAULTS: list[tuple[str, Callable[[Path], object], dict[str, tuple[str, str]]]] = [
    ("flipped byte", lambda out: flip(out / A, -5), {A: ("changed", "other bytes, other samples")}),
    (
        "flipped tag",
        lambda out: flip(out / C, (out / C).read_bytes().index(b"tiny")),
        {C: ("retagged", "same samples")},
    ),
    ("cut", lambda out: os.truncate(out / A, 900), {A: ("changed", "which cannot be read")}),
    ("empty", lambda out: os.truncate(out / A, 0), {A: ("changed", "is empty")}),
    ("missing", lambda out: (out / B).unlink(), {B: ("missing", "is not there")}),
    ("pipe", pipe, {A: ("missing", "is no regular file")}),
    ("swapped", swap, {A: ("swapped", f"the bytes of {B}"), B: ("swapped", f"the bytes of {A}")}),
    ("rotated", rotate, {A: ("changed", f"of {D}"), B: ("changed", f"of {A}"), D: ("changed", f"of {B}")}),
    ("copied over", lambda out: shutil.copy(out / B, out / A), {A: ("changed", f"holds the bytes of {B}")}),
    ("renamed", lambda out: (out / A).rename(out / "x.wav"), {A: ("missing", ""), "x.wav": ("foreign", "no row")}),
    ("retagged", retag, {C: ("retagged", "the same samples")}),
    ("other sound", louder, {C: ("changed", "other samples")}),
    ("foreign", lambda out: shutil.copy(out / A, out / "sub" / "x.MP4"), {"sub/x.MP4": ("foreign", "no row")}),
    ("lone sidecar", lambda out: (out / "z.png.json").write_text("{}"), {"z.png.json": ("foreign", "no row")}),
    ("no sidecar", lambda out: (out / f"{D}.json").unlink(), {D: ("facts", f"none in {D}.json")}),
    ("torn sidecar", lambda out: os.truncate(out / f"{D}.json", 99), {D: ("facts", "says nothing of itself")}),
    ("other sidecar", other_sidecar, {D: ("facts", "model: other in the sidecar, tiny in the manifest")}),
    ("no tags", without_tags, {C: ("facts", "says nothing of itself: no facts inside")}),
    ("row of another model", lambda out: edit(out, B, model="digits"), {B: ("facts", "model: tiny inside, digits in")}),
    ("row of other steps", other_steps, {A: ("facts", "is not that of the row's recipe and weights")}),
    ("row of other bytes", lambda out: edit(out, B, sha256="0" * 64), {B: ("retagged", "the same samples")}),
    ("lost row", lambda out: edit(out, B, file="../b.wav"), {manifest.NAME: ("torn", "line 2"), B: ("foreign", "")}),
]


@pytest.mark.parametrize(("plant", "expected"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_a_fault_is_found_and_no_other(
    out: Path, plant: Callable[[Path], object], expected: dict[str, tuple[str, str]]
) -> None:
    (out / "sub").mkdir()
    plant(out)
    said = {finding.file: finding for finding in verify(out) if finding.kind != "proved"}
    assert {file: finding.kind for file, finding in said.items()} == {
        file: kind for file, (kind, _) in expected.items()
    }
    for file, (_, words) in expected.items():
        assert words in said[file].text


def test_every_flipped_byte_is_found(out: Path) -> None:
    for file in (A, C):
        size = (out / file).stat().st_size
        for at in range(0, size, max(1, size // 25)):
            flip(out / file, at)
            assert list(found(out)) == [file]
            flip(out / file, at)
    assert not found(out)


def test_what_else_lies_in_a_folder_is_no_fault(out: Path) -> None:
    (out / "pictures").mkdir()
    for name in (
        "index.html",
        "pictures/000000-sound.png",
        "ledger.sqlite",
        "ledger.sqlite-wal",
        "jobs.jsonl",
        "a.txt",
    ):
        (out / name).write_bytes(b"x")
    assert not found(out)
    other = out / "other"
    shutil.copytree(out, other)
    (other / B).unlink()
    assert not found(out) and found(other) == {B: "missing"}


def test_torn_lines_and_leftovers_are_notes(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (out / manifest.NAME).open("ab") as file:
        file.write(b'{"id":"1","file":"b.w')
    temporary = f".mediadiff-tmp-01234567-1-{'0' * 16}.wav"
    (out / temporary).write_bytes(b"half")
    assert found(out) == {manifest.NAME: "torn", temporary: "leftover"}
    assert cli.main(["verify", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "manifest.jsonl: torn: line 5 is not a whole row; it is passed over"
    assert lines[-1] == f"{out}: 4 files proved, 0 faults, 2 notes"


def test_the_manifests_of_shards_are_read_together_and_the_last_row_counts(out: Path) -> None:
    rows, _ = manifest.read(out)
    stale = {**rows[0], "sha256": "0" * 64}
    (out / manifest.NAME).unlink()
    for name, part in (("manifest-1-of-2.jsonl", [stale, *rows[:2]]), ("manifest-2-of-2.jsonl", rows[2:])):
        (out / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    assert [finding.file for finding in verify(out)] == [A, B, C, D] and not found(out)
    manifest.append(out, rows[1])
    assert not found(out)


def test_rows_that_come_while_a_folder_is_read_hide_no_others(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = manifest.read(out)
    (out / manifest.NAME).unlink()
    for name, part in (("manifest-1-of-2.jsonl", rows[:2]), ("manifest-2-of-2.jsonl", rows[2:])):
        (out / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    flip(out / C, -1)
    again = verifying._valid

    def later(sources, last):  # type: ignore[no-untyped-def]
        with (out / "manifest-1-of-2.jsonl").open("a") as file:
            file.write(json.dumps({**rows[0], "file": "later.wav"}) + "\n")
        return again(sources, last)

    monkeypatch.setattr(verifying, "_valid", later)
    assert {finding.file for finding in verify(out)} == {A, B, C, D}


def test_a_clip_is_proved_under_another_home_folder(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {**row(out, C)["recipe"], "caption": "as in /home/carol/pictures"}
    made = {key: recipe if key == "recipe" else row(out, C)[key] for key in manifest.FACTS}
    manifest.append(out, manifest.save(read(out / C), out, C, made, 1.0))
    monkeypatch.setenv("HOME", "/home/carol")
    assert not found(out)


def test_the_command_says_each_fault_and_exits_with_3(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "verified", "proved": 4, "faults": 0, "notes": 0}
    (out / A).unlink()
    assert cli.main(["verify", str(out), "--json"]) == 3
    fault, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert fault == {"event": "fault", "file": A, "kind": "missing", "text": "is not there"}
    assert summary == {"event": "verified", "proved": 3, "faults": 1, "notes": 0}
    assert cli.main(["verify", str(out)]) == 3
    assert capsys.readouterr().out.splitlines() == [f"{A}: missing: is not there", f"{out}: 3 files proved, 1 faults"]


def test_a_folder_without_a_manifest_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"holds no manifest.jsonl, so nothing says"):
        list(verify(tmp_path))
    assert cli.main(["verify", str(tmp_path)]) == 1 and "holds no manifest.jsonl" in capsys.readouterr().err
    assert cli.main(["verify", str(tmp_path / "nowhere")]) == 1


def test_differences_are_named_by_their_path() -> None:
    one = {"a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": 4}
    other = {"a": {"b": {"c": 1, "d": 5}, "e": 3}, "g": None}
    found = differences(one, other, ("then", "now"))
    assert [(item.part, item.one, item.other) for item in found] == [("a.b.d", 2, 5), ("f", 4, None)]
    assert found[1].text() == "f: 4 then, nothing now"
    assert found[0].to_dict() == {"part": "a.b.d", "then": 2, "now": 5}
