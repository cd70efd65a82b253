"""The command line: quick to answer, exact in its exit codes, and clear about mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from mediadiff import cli, console
from mediadiff.errors import DiskFullError, TrainingError
from tests.recipe_mistakes import GOOD, RENDER

REPOSITORY = Path(__file__).parent.parent


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=120)


def quickest(*arguments: str) -> float:
    """Seconds of processor time of the quickest of some runs: the machine may be busy with something else."""
    taken = []
    for _ in range(5):
        start = os.times()
        assert python(*arguments).returncode == 0
        end = os.times()
        taken.append(end.children_user - start.children_user + end.children_system - start.children_system)
    return min(taken)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "one.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\1" * 4000)
    return path


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    assert quickest("-m", "mediadiff", "--help") < 0.3
    code = "import sys; from mediadiff.cli import main; main(['--help']); print(*sys.modules)"
    loaded = set(python("-c", code).stdout.splitlines()[-1].split())
    assert not loaded & {
        "torch",
        "numpy",
        "pydantic",
        "diffusers",
        "torchaudio",
        "av",
        "soundfile",
        "matplotlib",
        "librosa",
    }


def test_import_is_quick_and_loads_nothing() -> None:
    assert quickest("-c", "import mediadiff") - quickest("-c", "pass") < 0.15
    code = "import sys; before = set(sys.modules); import mediadiff; print(*set(sys.modules) - before)"
    loaded = python("-c", code).stdout.split()
    assert {module for module in loaded if module.startswith("mediadiff")} == {"mediadiff"}
    assert "torch" not in loaded


def test_checking_a_recipe_loads_no_torch(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(GOOD)
    code = f"import sys; from mediadiff.recipe import load_recipe; load_recipe({str(tmp_path / 'recipe.yaml')!r}); "
    assert python("-c", code + "print('torch' in sys.modules)").stdout.strip() == "False"


@pytest.mark.parametrize(
    "command", ["train", "render", "info", "doctor", "list", "schema", "demo", "verify", "replay", "export", "bench"]
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: mediadiff {command}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mediadiff 0.")


USAGE = [
    (["trian"], "Did you mean 'train'?"),
    (["train"], "Missing argument"),
    (["render", "digits", "--nun", "3"], "No such option: --nun"),
    (["render", "digits", "--num", "many", "--out", "x"], "Invalid value for '--num'"),
    (["render", "digits"], "where should the clips go? Name a folder: --out DIR"),
    (["render", "digits", "--out", "x", "--num", "0"], "num: takes at least 1; got 0"),
    (["render", "digits", "--out", "x", "--sampler", "eular"], "got the text 'eular'; did you mean euler?"),
    (
        ["render", "digits", "--out", "x", "--guidance", "nan"],
        "sampling.guidance: takes a finite number or a mapping of names to values; got nan",
    ),
    (["render", "digits", "--out", "x", "--seconds", "-1"], "seconds: takes more than 0; got -1"),
    (["render", "digits", "--out", "x", "--format", "mp5"], "format: takes one of wav, flac,"),
    (["render", "digtis", "--out", "x"], "digtis: no model there"),
    (
        ["render", "train.yaml", "--out", "x"],
        "train.yaml is a recipe for training; make its model first: mediadiff train",
    ),
    (["train", "render.yaml"], "render.yaml is a recipe for rendering; use it with: mediadiff render render.yaml"),
    (["train", "trian.yaml"], "trian.yaml: no such file; did you mean train.yaml?"),
    (["train", "train.yaml", "training.bach=3"], "on the command line: training.bach: unknown;"),
    (["train", "train.yaml", "data.folder=/no/such/folder"], "/no/such/folder does not exist"),
    (["doctor", "render.yaml"], "render.yaml is a recipe for rendering; the doctor looks at folders"),
    (["doctor", "no/such"], "no/such: no such file"),
    (["export", "digits"], "Missing option '--out'"),
    (["export", "digits", "--out", "x", "training.batch=3"], "all else is what the weights were trained by"),
    (["export", "digits", "--out", "x", "sampling.guidence=3"], "on the command line: sampling.guidence: unknown;"),
    (["export", "digits", "--out", "x", "--snapshot"], "has no early snapshot: leave --snapshot out"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE, ids=[" ".join(case[0]) for case in USAGE])
def test_a_mistake_in_the_command_exits_with_1(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "train.yaml").write_text(GOOD)
    (tmp_path / "render.yaml").write_text(RENDER)
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err and shown.out == ""


def test_a_mistake_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["render", "digits", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "event": "error",
        "text": "where should the clips go? Name a folder: --out DIR",
        "exit_code": 1,
    }


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (TrainingError("stopped after 640 clips"), 2, "mediadiff: stopped after 640 clips\n"),
        (DiskFullError("no room for x"), 2, "mediadiff: no room for x\n"),
        (KeyError("x"), 2, "This is a fault of mediadiff; the same command with --debug shows where."),
        (KeyboardInterrupt(), 130, "mediadiff: stopped\n"),
    ],
)
def test_a_job_that_fails_has_its_own_code(
    raised: BaseException,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: object) -> None:
        raise raised

    recipe = tmp_path / "train.yaml"
    recipe.write_text(GOOD)
    monkeypatch.setattr("mediadiff.build.train", fail)
    assert cli.main(["train", str(recipe)]) == code
    assert said in capsys.readouterr().err
    if code == 2:
        with pytest.raises(type(raised)):
            cli.main(["train", str(recipe), "--debug"])


def test_info_of_good_and_bad_files(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(sound)]) == 0
    assert "8000 Hz, mono, 0.500 s" in capsys.readouterr().out
    bad = sound.with_name("bad.wav")
    bad.write_bytes(b"not media")
    assert cli.main(["info", str(bad), str(sound)]) == 2
    shown = capsys.readouterr()
    assert str(bad) in shown.err and "8000 Hz" in shown.out
    assert cli.main(["info", "--json", str(bad), str(sound)]) == 2
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["path"] == str(bad) and first["error"]
    assert second["sound"]["sample_rate"] == 8000


def test_a_name_that_is_no_text(sound: Path) -> None:
    odd = os.fsencode(sound.parent) + b"/\xff.wav"
    os.rename(sound, odd)
    done = subprocess.run([sys.executable, "-m", "mediadiff", "info", odd], capture_output=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert b"8000 Hz" in done.stdout


def test_the_doctor_looks_at_a_folder_and_at_a_recipe(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", str(sound.parent)]) == 0
    assert "1 accepted, 0 refused" in capsys.readouterr().out
    (sound.parent / "bad.wav").write_bytes(b"not media")
    assert cli.main(["doctor", str(sound.parent), "--json"]) == 2
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [file["name"] for file in report["accepted"]] == ["one.wav"]
    assert report["refused"][0][0] == "bad.wav"


def test_list_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    text = capsys.readouterr().out
    assert "spectrogram" in text and "dpmpp_2m_sde" in text
    assert cli.main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in found["domains"]] == ["frames", "mel", "spectrogram", "stft"]
    assert {entry["name"] for entry in found["recipes"]} == {p.name for p in (REPOSITORY / "recipes").glob("*.yaml")}
    assert all(entry["summary"] for entry in found["domains"] + found["recipes"])
    shipped = {path.parent.name for path in (REPOSITORY / "samples/models").glob("*/model.json")}
    assert {entry["name"] for entry in found["models"]} == shipped


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "mediadiff recipe"


def test_a_reader_that_stops_early_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m mediadiff schema | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.stdout == "{\n0\n" and done.stderr == ""


def test_a_reader_that_stops_early_does_not_make_a_job_done(tmp_path: Path) -> None:
    # The first event is read, and nobody is there for the next ones.
    code = (
        "import time; from mediadiff import cli, demo\n"
        "def work(out, report):\n"
        "    for i in range(200): report({'event': 'note', 'text': str(i)}); time.sleep(0.01)\n"
        "demo.demo = work\n"
        "raise SystemExit(cli.main(['demo']))"
    )
    done = subprocess.run(
        f"{sys.executable} -c \"{code}\" | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.stdout == "0\n2\n"
    assert done.stderr == "mediadiff: stopped before the end: whoever read this output is gone; let a file take it\n"


@pytest.mark.parametrize("place", ["file", "file/below", "gone", "bare/below"])
def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    # Root may write anywhere.
    able = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "bare" and able(path, mode))
    (tmp_path / "train.yaml").write_text(GOOD)
    (tmp_path / "jobs.jsonl").write_text('{"model": "digits"}')
    out = str(tmp_path / place)
    for command in (
        ["render", "digits", "--out", out],
        ["train", str(tmp_path / "train.yaml"), "--out", out],
        ["export", "digits", "--out", out],
        ["batch", str(tmp_path / "jobs.jsonl"), "--out", out],
        ["demo", "--out", out],
    ):
        assert cli.main(command) == 1, command
        shown = capsys.readouterr()
        assert "is no folder; name another" in shown.err or "no permission to write in" in shown.err
        assert "fault of mediadiff" not in shown.err and "rendering" not in shown.out
    assert (tmp_path / "file").read_text() == "mine" and not any((tmp_path / "bare").iterdir())


EVENTS = [
    ({"event": "step", "clips": 640, "of": 6400, "loss": 0.1234, "clips_per_second": 81.23, "seconds_left": 71.0},
     "640 of 6400 clips (10%), loss 0.1234, 81.2 clips/s, 1 min 11 s left"),
    ({"event": "clip", "file": "out/7-000000.wav", "done": 1, "of": 3, "label": "7"}, "1 of 3: out/7-000000.wav"),
    ({"event": "encode", "done": 5, "of": 10}, "reading media: 5 of 10"),
    ({"event": "failed", "index": 3, "file": "7-000003.wav", "reason": "it is not finite"},
     "failed: 7-000003.wav: it is not finite"),
    ({"event": "data", "files": 20, "refused": 1, "labels": ["a", "b"]}, "data: 20 files, 1 refused, 2 labels (a, b)"),
    ({"event": "network", "parameters": 6_500_000, "bf16": True, "train": 18, "test": 2},
     "network: 6.5 million weights, bf16, 18 clips to train, 2 clips to test"),
    ({"event": "overfit", "part": 0.9, "passes": False},
     "check on one clip: the error falls to 90%, which is too little"),
    ({"event": "end", "clips": 1, "seconds": 7261.0}, "trained in 2 h 1 min"),
    ({"event": "warning", "text": "silence"}, "warning: silence"),
    ({"event": "something new"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("event", "text"), EVENTS, ids=[case[0]["event"] for case in EVENTS])
def test_events_in_words(event: console.Event, text: str | None) -> None:
    assert console.sentence(event) == text


def test_plain_lines_come_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with console.reporting(as_json=False) as report:
        for done in range(1, 101):
            report({"event": "encode", "done": done, "of": 100})
        report({"event": "warning", "text": "[bold]not markup[/bold]"})
    assert capsys.readouterr().out.splitlines() == [
        "reading media: 1 of 100",
        "reading media: 100 of 100",
        "warning: [bold]not markup[/bold]",
    ]


def test_json_lines_are_json_whatever_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with console.reporting(as_json=True) as report:
        report({"event": "step", "loss": float("nan"), "all": [1.5, float("inf")], "path": Path("a")})
    assert json.loads(capsys.readouterr().out) == {"event": "step", "loss": None, "all": [1.5, None], "path": "a"}


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with console._bar() as report:
        for event, _ in EVENTS:
            report(event)
    shown = capsys.readouterr().out
    assert "training" in shown and "640/6400" in shown and "warning: silence" in shown
