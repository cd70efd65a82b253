"""Batches with real small models: the same bytes however they are made, from a list of jobs to a proved folder."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mediadiff import batch, build
from mediadiff.batch import Settings, Shard
from mediadiff.cli import main
from mediadiff.clip import Clip, Picture
from mediadiff.errors import RecipeError, UsageError
from mediadiff.export import export
from mediadiff.io.files import sha256
from mediadiff.io.read import read
from mediadiff.jobs import read_jobs
from mediadiff.model import load
from mediadiff.rendering import manifest
from mediadiff.rendering.files import render_files
from mediadiff.rendering.ledger import Ledger
from mediadiff.rendering.verify import verify
from mediadiff.rng import numpy_generator
from tests.tiny import PICTURE, SOUND, tiny_model

BOTH = {**SOUND, "picture": {**PICTURE["picture"], "frame_rate": "125/16"}}


def silent(event):
    pass


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory) -> Iterator[None]:
    """A cache of these tests' own, so that each kind of clip is tried once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDIADIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def lists(tmp_path_factory) -> Path:
    """24 jobs, half sound and half sound with picture, in three shapes, as a list of each kind and in other orders."""
    folder = tmp_path_factory.mktemp("lists")
    tiny_model(folder / "sound")
    tiny_model(folder / "both", BOTH)
    rows = []
    for i in range(12):
        rows.append({"model": "sound", "label": "ab"[i % 2], "seed": i, "format": "flac", "name": f"s{i}"})
        film = {"model": "both", "label": "ab"[i % 2], "seed": i, "format": ("mkv", "mp4")[i % 2], "name": f"f{i}"}
        rows.append(film | {"steps": 2 + i % 2})
    mixed = random.Random(0).sample(rows, 24)
    for name, order in {"plain": rows, "backwards": rows[::-1], "mixed": mixed, "half": rows[5:17]}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in order))
    return folder


@pytest.fixture(scope="module")
def plain(lists, tmp_path_factory) -> dict[str, str]:
    """The hash of each file, made by one worker in the order of the list."""
    return made(lists / "plain.jsonl", tmp_path_factory.mktemp("plain"), workers=1)


def made(jobs: Path, out: Path, **settings) -> dict[str, str]:
    """Runs a batch to its end; the hash of each file."""
    outcome = batch.run(str(jobs), str(out), Settings(**settings), silent)
    assert outcome["failed"] == outcome["waiting"] == 0
    assert not [finding for finding in verify(out) if finding.is_fault]
    return hashes(out)


def hashes(out: Path) -> dict[str, str]:
    """The hash of each finished file; what is being written meanwhile is hidden, and may be gone the moment after."""
    done = [path for path in out.glob("[!.]*") if path.suffix in (".flac", ".mkv", ".mp4")]
    return {path.name: sha256(path) for path in done}


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    """The address of a bucket of a real S3 server on this machine."""
    fsspec, s3fs = pytest.importorskip("fsspec"), pytest.importorskip("s3fs")
    from tests.io.bucket_server import BucketServer

    server = BucketServer()
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    settings = {"ENDPOINT_URL": server.url, "ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing"}
    settings |= {"DEFAULT_REGION": "us-east-1", "EC2_METADATA_DISABLED": "true"}
    settings |= {"CONFIG_FILE": os.devnull, "SHARED_CREDENTIALS_FILE": os.devnull}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    fsspec.filesystem("s3").mkdir("batches")
    yield "s3://batches"
    s3fs.S3FileSystem.clear_instance_cache()
    server.server.shutdown()


def test_all_are_there_once(plain):
    assert len(plain) == 24 and len(set(plain.values())) == 24


@pytest.mark.parametrize("workers", [2, 4])
def test_the_same_bytes_with_any_number_of_workers(lists, plain, tmp_path, workers):
    assert made(lists / "plain.jsonl", tmp_path, workers=workers) == plain


@pytest.mark.parametrize("name", ["backwards", "mixed"])
def test_the_same_bytes_in_any_order(lists, plain, tmp_path, name):
    assert made(lists / f"{name}.jsonl", tmp_path, workers=1) == plain


def test_the_same_bytes_in_a_part_of_the_list(lists, plain, tmp_path):
    half = made(lists / "half.jsonl", tmp_path, workers=1)
    assert len(half) == 12 and half == {name: plain[name] for name in half}


def test_the_same_bytes_in_shards_that_share_a_folder(lists, plain, tmp_path):
    for part in ("1/2", "2/2"):
        batch.run(str(lists / "plain.jsonl"), str(tmp_path), Settings(workers=1, shard=Shard.parse(part)), silent)
    assert hashes(tmp_path) == plain
    assert not [finding for finding in verify(tmp_path) if finding.is_fault]
    assert {p.name for p in tmp_path.glob("manifest*")} == {"manifest-1-of-2.jsonl", "manifest-2-of-2.jsonl"}


def test_the_same_bytes_alone_in_this_process(lists, plain, tmp_path):
    from mediadiff.jobs import read_jobs

    models = {name: load(lists / name) for name in ("sound", "both")}
    for job in list(read_jobs(lists / "plain.jsonl"))[::5]:
        model = models[Path(job.task["model"]).name]
        order = model.order(job.task["asked"])
        render_files(model.generator, [order], tmp_path, model.name, model.sha256, silent)
        assert sha256(tmp_path / order.file_name()) == plain[job.file]


def test_the_same_bytes_on_ray(lists, plain, tmp_path):
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'mediadiff[ray]'")
    assert made(lists / "plain.jsonl", tmp_path, engine="ray", workers=2) == plain


def test_the_same_bytes_after_the_batch_and_a_worker_were_killed(lists, plain, tmp_path):
    command = [sys.executable, "-m", "mediadiff", "batch", str(lists / "plain.jsonl"), "--out", str(tmp_path)]
    for victim in ("worker", "batch"):
        process = subprocess.Popen([*command, "--workers", "1"], stdout=subprocess.DEVNULL, start_new_session=True)
        enough = len(hashes(tmp_path)) + 3
        while len(hashes(tmp_path)) < enough and process.poll() is None:
            time.sleep(0.02)
        if victim == "worker":
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
            time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert enough <= len(hashes(tmp_path)) < 24
    assert made(lists / "plain.jsonl", tmp_path, workers=1) == plain


@pytest.mark.slow
def test_30_kills_of_a_real_batch_lose_nothing_and_change_nothing(lists, plain, tmp_path):
    command = [sys.executable, "-m", "mediadiff", "batch", str(lists / "plain.jsonl"), "--out", str(tmp_path)]
    # Who kills again and again must not be taken for a job that kills its worker.
    command += ["--retries", "100"]
    dice = random.Random(1)
    for kill in range(30):
        process = subprocess.Popen([*command, "--workers", "2"], stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(dice.uniform(1, 12))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = children.read_text().split() if process.poll() is None and children.exists() else []
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(dice.choice(workers)) if workers and kill % 2 else process.pid, signal.SIGKILL)
        if kill % 2:
            time.sleep(dice.uniform(0, 3))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if len(hashes(tmp_path)) > 20:
            for path in dice.sample(sorted(tmp_path.glob("*.*[4cv]")), 12):
                path.unlink()
    assert made(lists / "plain.jsonl", tmp_path, workers=2) == plain


def test_the_command_says_what_it_will_take_and_what_it_made(lists, tmp_path, capsys):
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("model,label,seed\n" + "".join(f"{lists / 'sound'},a,{i}\n" for i in range(6)))
    assert main(["batch", str(jobs), "--out", str(tmp_path / "out"), "--dry-run", "--json", "--workers", "1"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (plan,) = [event for event in events if event["event"] == "estimate"]
    assert plan["clips"] == 6 and plan["seconds"] > 0 and not (tmp_path / "out").exists()
    assert main(["batch", str(jobs), "--out", str(tmp_path / "out"), "--json", "--workers", "1"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "finished" and events[-1]["done"] == 6
    taken = [*(tmp_path / "out").glob("*.wav"), *(tmp_path / "out").glob("pictures/*")]
    assert abs(plan["disk_bytes"] / sum(path.stat().st_size for path in taken) - 1) < 0.3
    assert abs(plan["memory_bytes"] / events[-1]["peak_bytes"] - 1) < 0.3
    rows, notes = manifest.read(tmp_path / "out")
    assert [row["file"] for row in rows] == [f"a-{i:06d}.wav" for i in range(6)] and not notes
    assert main(["batch", str(jobs), "--out", str(tmp_path / "out")]) == 0
    assert "6 jobs, 6 done already" in capsys.readouterr().out


def test_a_bad_job_costs_itself_and_is_told(lists, tmp_path, capsys):
    jobs = tmp_path / "jobs.jsonl"
    # What is wrong with the file that one varies is known once it is read.
    soundfile.write(tmp_path / "bad.wav", np.full(4096, np.nan, np.float32), 4000, subtype="FLOAT")
    rows: list[dict] = [{"model": str(lists / "sound"), "seed": i} for i in range(4)]
    rows[2]["from"] = "bad.wav"
    jobs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["batch", str(jobs), "--out", str(tmp_path / "out"), "--workers", "1"]) == 2
    said = capsys.readouterr().out
    assert "3 clips in" in said and "1 failed" in said and "--resume" in said
    (failure,) = [json.loads(line) for line in (tmp_path / "out" / "failures.jsonl").read_text().splitlines()]
    assert (failure["file"], failure["kind"]) == ("clip-000002.wav", "media") and "NaN" in failure["reason"]


def test_a_format_that_cannot_hold_the_clips_is_a_mistake_in_the_list(lists, tmp_path, capsys):
    jobs = tmp_path / "jobs.jsonl"
    rows = [{"model": str(lists / "both"), "format": format, "name": format} for format in ("wav", "mkv", "gif", "png")]
    jobs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["batch", str(jobs), "--out", str(tmp_path / "out"), "--workers", "1"]) == 1
    said = capsys.readouterr().err
    assert "3 mistakes" in said
    assert "line 1: format wav: holds no clips of sound and picture; take one of mp4, webm, mkv" in said
    # What was refused holds no batch.
    assert not list((tmp_path / "out").iterdir())
    clips = ["render", str(lists / "both"), "--format", "wav", "--num", "9", "--out", str(tmp_path / "out")]
    assert main(clips) == 1 and "format wav: holds no clips" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_a_list_says_each_thing_once(lists, tmp_path):
    (tmp_path / "jobs.jsonl").write_text('{"model": "m", "seed": 1, "seed": 2}')
    with pytest.raises(RecipeError, match="line 1: not JSON: seed is written twice"):
        list(read_jobs(tmp_path / "jobs.jsonl"))
    (tmp_path / "jobs.csv").write_text("model,seed, seed\nm,1,2\n")
    with pytest.raises(RecipeError, match="line 1: the head of the table has seed twice"):
        list(read_jobs(tmp_path / "jobs.csv"))
    (tmp_path / "long.jsonl").write_text(json.dumps({"model": str(lists / "sound"), "name": "é" * 150}))
    with pytest.raises(RecipeError, match="at most 200 bytes"):
        list(read_jobs(tmp_path / "long.jsonl"))
    (tmp_path / "gone.jsonl").write_text(json.dumps({"model": "m" * 300}))
    with pytest.raises(RecipeError, match="no model there"):
        list(read_jobs(tmp_path / "gone.jsonl"))


def test_a_folder_of_clips_and_a_batch_keep_apart(lists, tmp_path, capsys):
    jobs, out, clips = tmp_path / "jobs.jsonl", tmp_path / "out", tmp_path / "clips"
    rows = [{"model": str(lists / "sound"), "seed": i} for i in range(4)]
    jobs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["batch", str(jobs), "--out", str(out), "--shard", "1/2", "--workers", "1"]) == 0
    before = {path: path.read_bytes() for path in out.glob("*.wav")}
    assert len(before) == 2
    render = ["render", str(lists / "sound"), "--seed", "9", "--num", "2"]
    assert main([*render, "--out", str(out)]) == 1
    assert "holds a batch, whose clips might be replaced" in capsys.readouterr().err
    assert main(["batch", str(jobs), "--out", str(out), "--workers", "1"]) == 1
    assert "holds another batch, or other parts of one (ledger-1-of-2.sqlite)" in capsys.readouterr().err
    assert main([*render, "--out", str(clips)]) == 0
    assert main(["replay", str(next(clips.glob("*.wav"))), "--model", str(lists / "sound"), "--out", str(out)]) == 1
    assert "holds a batch, whose clips might be replaced" in capsys.readouterr().err
    for part in [], ["--shard", "1/2"]:
        assert main(["batch", str(jobs), "--out", str(clips), "--workers", "1", *part]) == 1
        assert "holds clips that are of no batch" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.glob("*.wav")} == before
    # Rendered again, clips of the same name are replaced, which is said.
    assert main([*render, "--out", str(clips)]) == 0
    assert "2 clips of the same name" in capsys.readouterr().out
    assert main(["verify", str(clips)]) == 0


def test_a_batch_goes_on_from_where_its_files_lie_now(lists, tmp_path, monkeypatch):
    sound = next(load(lists / "sound").render(seed=3))
    (tmp_path / "a").mkdir()
    sound.save(tmp_path / "a" / "given.wav")
    jobs = tmp_path / "jobs.jsonl"
    row = {"model": str(lists / "both"), "format": "mkv", "name": "film"}

    def run():
        ledger = Ledger(tmp_path / "out" / "ledger.sqlite")
        ledger.fill(read_jobs(jobs))
        (job,) = [row["task"]["files"] for row in ledger.rows()]
        ledger.close()
        return list(job.values())

    monkeypatch.chdir(tmp_path / "a")
    jobs.write_text(json.dumps(row | {"given_audio": "given.wav"}))
    assert run() == [str(tmp_path / "a" / "given.wav")]
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "given.wav").rename(tmp_path / "b" / "given.wav")
    jobs.write_text(json.dumps(row | {"given_audio": "b/given.wav"}))
    assert run() == [str(tmp_path / "b" / "given.wav")]


def test_models_of_the_same_weights_are_not_taken_for_one(lists, tmp_path):
    other = export(lists / "sound", tmp_path / "other", ["streams.sound.iterations=9"]).folder
    jobs = tmp_path / "jobs.jsonl"
    rows = [{"model": str(folder), "seed": i, "name": f"s{i}"} for i, folder in enumerate([lists / "sound", other])]
    jobs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert batch.run(str(jobs), str(tmp_path / "out"), Settings(workers=1), silent)["done"] == 2
    for i, folder in enumerate([lists / "sound", other]):
        build.render(load(folder), tmp_path / f"alone{i}", seed=i)
        (alone,) = (tmp_path / f"alone{i}").glob("*.wav")
        assert (tmp_path / "out" / f"s{i}.wav").read_bytes() == alone.read_bytes()


def test_a_given_file_reaches_the_worker_and_comes_back_bit_for_bit(lists, tmp_path):
    sound = next(load(lists / "sound").render(seed=3))
    sound.save(tmp_path / "given.wav")
    row = {"model": str(lists / "both"), "given_audio": "given.wav", "format": "mkv", "name": "film"}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(row))
    assert batch.run(str(tmp_path / "jobs.jsonl"), str(tmp_path / "out"), Settings(), silent)["done"] == 1
    film, given = read(tmp_path / "out" / "film.mkv"), read(tmp_path / "given.wav")
    assert np.array_equal(film.sound.samples, given.sound.samples) and len(film.picture.frames) == 4


def test_a_given_film_of_another_rate_is_as_long_as_its_frames(lists, tmp_path):
    # At 30 frames per second the last of 16 frames begins within 0.512 s and ends after it.
    frames = numpy_generator("film").integers(0, 255, (30, 16, 16, 3), np.uint8)
    Clip(picture=Picture(frames, Fraction(30))).save(tmp_path / "given.mkv")
    row = {"model": str(lists / "both"), "given_video": "given.mkv", "format": "mkv", "name": "film"}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(row))
    assert batch.run(str(tmp_path / "jobs.jsonl"), str(tmp_path / "out"), Settings(), silent)["done"] == 1
    assert np.array_equal(read(tmp_path / "out" / "film.mkv").picture.frames, frames[:16])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shard", "3/2"], "--shard takes a part of the jobs such as 2/4"),
        (["--workers", "0"], "--workers is the number of processes"),
        (["--retries", "0"], "--retries is how often a clip is tried"),
        (["--timeout", "0"], "--timeout is in seconds, above 0"),
        (["--engine", "slurm"], "--engine is local or ray; got 'slurm'"),
        (["--address", "auto"], "--address names a Ray cluster"),
    ],
)
def test_mistakes_in_the_command(lists, tmp_path, capsys, arguments, said):
    assert main(["batch", str(lists / "plain.jsonl"), "--out", str(tmp_path / "out"), *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_damaged_given_file_costs_its_clip_though_the_trial_met_it_first(lists, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    rows = [{"model": str(lists / "both"), "given_audio": "bad.wav"}, {"model": str(lists / "sound"), "seed": 77}]
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = []
    outcome = batch.run(str(tmp_path / "jobs.jsonl"), str(tmp_path / "out"), Settings(workers=1), said.append)
    assert (outcome["done"], outcome["failed"]) == (1, 1)
    (failed,) = [event for event in said if event["event"] == "failed"]
    assert failed["kind"] == "media" and "bad.wav" in failed["reason"]
    assert any("no estimate: a trial of this batch failed" in event.get("text", "") for event in said)


def test_the_command_that_tries_again_is_of_the_same_part():
    assert batch.command("a b.csv", "out", Shard(1, 1)) == "mediadiff batch 'a b.csv' --out out --resume"
    assert batch.command("a.csv", "out", Shard(2, 4)) == "mediadiff batch a.csv --out out --shard 2/4 --resume"


def test_a_model_that_changes_under_a_batch_is_refused(tmp_path):
    tiny_model(tmp_path / "sound")
    (tmp_path / "jobs.jsonl").write_text('{"model": "sound"}\n')
    batch.run(str(tmp_path / "jobs.jsonl"), str(tmp_path / "out"), Settings(workers=1), silent)
    tiny_model(tmp_path / "sound", labels=("a", "b", "c"))
    with pytest.raises(UsageError, match="holds another batch"):
        batch.run(str(tmp_path / "jobs.jsonl"), str(tmp_path / "out"), Settings(workers=1), silent)


def test_the_same_bytes_in_a_bucket_and_nothing_is_made_twice_there(lists, plain, tmp_path, bucket):
    # `bucket` is a real S3 server on this machine; jobs and models come from it, too.
    from mediadiff.io.store import Store

    inputs, out = Store.open(f"{bucket}/in"), Store.open(f"{bucket}/out")
    for name in ("sound/model.json", "sound/model.safetensors"):
        inputs.put(lists / name, name)
    rows = [json.loads(line) for line in (lists / "plain.jsonl").read_text().splitlines()][0:8:2]
    (tmp_path / "jobs.jsonl").write_text(
        "".join(json.dumps(row | {"model": f"{bucket}/in/sound"}) + "\n" for row in rows)
    )
    inputs.put(tmp_path / "jobs.jsonl", "jobs.jsonl")
    settings = Settings(workers=1)
    assert batch.run(f"{bucket}/in/jobs.jsonl", f"{bucket}/out", settings, silent)["done"] == 4
    for row in rows:
        out.get(f"{row['name']}.flac", tmp_path / "found" / f"{row['name']}.flac")
        assert sha256(tmp_path / "found" / f"{row['name']}.flac") == plain[f"{row['name']}.flac"]
    names = set(out.names())
    assert {"manifest.jsonl", "failures.jsonl"} <= names and not [name for name in names if "tmp" in name]
    out.remove(f"{rows[2]['name']}.flac")
    said = []
    assert batch.run(f"{bucket}/in/jobs.jsonl", f"{bucket}/out", settings, said.append)["done"] == 4
    assert [Path(event["file"]).stem for event in said if event["event"] == "made"] == [rows[2]["name"]]
    assert set(out.names()) == names
