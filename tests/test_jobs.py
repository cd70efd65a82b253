"""Lists of jobs: what a row may say, what rows come to, and every mistake with its line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mediadiff.clip import Clip
from mediadiff.errors import RecipeError
from mediadiff.jobs import read_jobs
from tests.io.makers import tone
from tests.tiny import PICTURE, tiny_model

HEAD = "mediadiff: 1\ntask: batch\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    tiny_model(folder / "sound")
    tiny_model(folder / "film", PICTURE, labels=())
    (folder / "base.yaml").write_text("mediadiff: 1\ntask: render\nmodel: sound\nlabel: [a, b]\nsampling: {steps: 2}\n")
    return folder


def read(folder: Path, name: str, text: str) -> list:
    path = folder / name
    path.write_text(text)
    return list(read_jobs(path))


def asked(job, *names):
    return [job.task["asked"][name] for name in names]


def test_a_grid_a_zip_and_rows_over_a_base(folder):
    jobs = read(
        folder,
        "jobs.yaml",
        HEAD
        + "base: {model: sound, steps: 3}\n"
        + "grid: {label: [a, b], seed: [5, 6]}\n"
        + "zip: {guidance: [1, 2], seconds: [0.25, 0.5]}\n"
        + "rows: [{}, {sampler: heun, seed: 9}]\n",
    )
    assert len(jobs) == 2 * 2 * 4
    assert [job.place for job in jobs] == list(range(16))
    assert asked(jobs[0], "label", "seed", "seconds") == ["a", 5, "1/4"]
    assert asked(jobs[7], "label", "seed", "seconds") == ["b", 6, "1/2"]
    assert jobs[0].task["asked"]["sampling"]["guidance"] == 1 and jobs[7].task["asked"]["sampling"]["guidance"] == 2
    assert {job.task["asked"]["sampling"]["sampler"] for job in jobs[8:]} == {"heun"}
    assert {asked(job, "seed")[0] for job in jobs[8:]} == {9}
    assert all(job.task["asked"]["sampling"]["steps"] == 3 for job in jobs)
    # Equal rows are told apart by how many came before.
    assert sorted(asked(job, "index")[0] for job in jobs[8:]) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [job.file for job in jobs[:3]] == ["a-000000.wav", "a-000001.wav", "b-000002.wav"]
    assert len({job.id for job in jobs}) == 16


def test_the_same_rows_in_yaml_jsonl_and_csv_are_the_same_jobs(folder):
    rows = [
        {"model": "sound", "label": "a", "seed": 7, "guidance": 1.5, "format": "flac", "name": "one"},
        {"recipe": "base.yaml", "seconds": 0.25, "index": 3},
        {"model": "film"},
    ]
    jsonl = read(folder, "jobs.jsonl", "".join(json.dumps(row) + "\n\n" for row in rows))
    csv = read(
        folder,
        "jobs.csv",
        "\ufeffmodel,recipe,label,seed,guidance,format,name,seconds,index\nsound,,a,7,1.5,flac,one,,\n"
        ",base.yaml,,,,,,0.25,3\n\nfilm,,,,,,,,\n",
    )
    yaml = read(folder, "same.yaml", HEAD + "rows:\n" + "".join(f"  - {json.dumps(row)}\n" for row in rows))
    assert jsonl == csv == yaml
    assert [job.file for job in jsonl] == ["one.flac", "b-000001.wav", "clip-000002.mp4"]
    assert asked(jsonl[1], "label", "index", "seconds") == ["b", 3, "1/4"]
    assert jsonl[1].task["asked"]["sampling"]["steps"] == 2


def test_the_id_is_all_that_the_clip_depends_on_and_nothing_else(folder):
    def one(**row):
        (job,) = read(folder, "one.jsonl", json.dumps({"model": "sound"} | row))
        return job

    plain = one()
    assert one(name="other").id == plain.id and one(name="other").file == "other.wav"
    changed = [{"label": "a"}, {"seed": 1}, {"index": 1}, {"seconds": 0.25}, {"steps": 4}, {"sampler": "heun"}]
    changed += [{"guidance": 2.0}, {"format": "flac"}, {"model": "film"}]
    assert len({one(**row).id for row in changed} | {plain.id}) == len(changed) + 1
    assert one(label="a").shape == plain.shape != one(steps=4).shape


def test_given_files_are_found_beside_the_list_and_known_by_what_they_hold(folder):
    Clip(sound=tone(seconds=0.5, sample_rate=4000)).save(folder / "one.wav")
    (folder / "two.wav").write_bytes((folder / "one.wav").read_bytes())
    rows = [{"model": "sound", "given": name, "keep": "0:0.25s"} for name in ("one.wav", "two.wav")]
    text = "".join(json.dumps(row | {"seed": i}) + "\n" for i, row in enumerate(rows))
    first, second = read(folder, "given.jsonl", text)
    (given,) = first.task["asked"]["given"]
    assert given["keep"] == {"sound": [["0", "1/4"]]}
    assert first.task["files"] == {given["sha256"]: str(folder / "one.wav")}
    assert second.task["asked"]["given"][0]["sha256"] == given["sha256"] and second.id != first.id
    (varied,) = read(folder, "from.csv", "model,from,strength\nsound,one.wav,0.5\n")
    assert varied.task["asked"]["from"]["name"] == "one.wav" and varied.task["asked"]["strength"] == 0.5
    with pytest.raises(RecipeError, match="line 1: .*none.wav"):
        read(folder, "none.jsonl", '{"model": "sound", "given": "none.wav", "keep": "0:1s"}')


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "rows: [{model: sound}]\n", "starts with\nmediadiff: 1\ntask: batch"),
        ("a.yaml", HEAD + "row: [{model: sound}]\n", "line 3, column 1: row: unknown.*did you mean rows?"),
        (
            "a.yaml",
            HEAD + "zip: {seed: [1, 2], label: [a]}\n",
            "equally many values of each key; seed has 2, label has 1",
        ),
        ("a.yaml", HEAD + "rows:\n- {model: sound, sed: 1}\n", "line 4.*sed: unknown.*did you mean seed?"),
        ("a.yaml", HEAD + "rows:\n- {seed: 1}\n", "line 4.*names the recipe or the model"),
        ("a.jsonl", '{"model": "sound"}\n{"model": \n', "line 2: not JSON"),
        ("a.jsonl", '{"model": "sound", "seed": NaN}\n', "line 1: not JSON: NaN is no number"),
        ("a.jsonl", "[1]\n", "line 1: a row is an object"),
        ("a.jsonl", '{"model": "sound", "steps": 0}\n', "line 1: sampling.steps: takes at least 1; got 0"),
        ("a.jsonl", '{"model": "sound", "label": "c"}\n', "line 1: tiny has no label 'c'; it has: a, b"),
        ("a.jsonl", '{"model": "none"}\n', "line 1: none: no model there"),
        ("a.jsonl", '{"recipe": "none.yaml"}\n', "line 1: .*none.yaml: no such file"),
        ("a.jsonl", '{"model": "sound", "name": "../x"}\n', "line 1: name: takes letters.*got '../x'"),
        ("a.jsonl", '{"model": "sound", "name": "x"}\n' * 2, "line 2: name: 'x.wav' is the file of line 1 already"),
        ("a.jsonl", '{"model": "sound", "index": 1}\n' * 2, "line 2: asks for the same clip as line 1"),
        ("a.jsonl", "\n", "holds no job"),
        ("a.csv", "model,seed\nsound,1,2\n", "line 2: 3 cells, and the head of the table has 2"),
        ("a.csv", "model,seed\nsound,x\n", "line 2: seed: takes a whole number; got the text 'x'"),
        ("a.jsonl", None, "a.jsonl: no such file"),
        ("a.txt", "", "ends in .yaml, .yml, .jsonl, .csv"),
    ],
)
def test_mistakes(folder, name, text, said):
    if text is None:
        (folder / name).unlink(missing_ok=True)
    else:
        (folder / name).write_text(text)
    with pytest.raises(RecipeError, match=f"(?s){said}"):
        list(read_jobs(folder / name))


def test_all_mistakes_come_at_once_up_to_fifty(folder):
    with pytest.raises(RecipeError) as raised:
        read(folder, "many.jsonl", '{"model": "sound", "steps": 0}\n{"model": "sound"}\n' * 3)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("3 mistakes") and [line.split(":")[0].strip() for line in lines[1:]] == [
        "line 1",
        "line 3",
        "line 5",
    ]
    with pytest.raises(RecipeError) as raised:
        read(folder, "many.jsonl", '{"model": "sound", "steps": 0}\n' * 200)
    assert len(str(raised.value).splitlines()) == 52


def test_reading_a_list_loads_no_network(folder):
    import subprocess

    (folder / "one.jsonl").write_text('{"model": "sound"}')
    code = (
        "import sys; from pathlib import Path; from mediadiff.jobs import read_jobs\n"
        f"list(read_jobs(Path({str(folder / 'one.jsonl')!r})))\n"
        "assert not {'torch', 'av', 'librosa', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
