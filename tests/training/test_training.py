"""Training on a small real folder: it learns, resumes bit for bit, guards itself, and says when it goes wrong."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mediadiff import build
from mediadiff.clip import Clip
from mediadiff.data import loader
from mediadiff.data.cache import EncodedSet
from mediadiff.data.loader import batch
from mediadiff.diffusion.streams import Standard
from mediadiff.errors import DiskFullError, ModelError, TrainingError, UsageError
from mediadiff.io.locks import alone
from mediadiff.io.tensors import load_tensors
from mediadiff.rng import numpy_generator
from mediadiff.training import check, checkpoint, course, scale
from mediadiff.training.loop import SKIPS, passed
from mediadiff.training.settings import TrainingSettings
from mediadiff.training.step import learning_rate
from tests.tiny import BOTH, PICTURE, grows_loud, tiny_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve recordings: low tones and high ones."""
    root = tmp_path_factory.mktemp("media")
    for label, pitch in (("low", 200), ("high", 900)):
        (root / label).mkdir()
        for take in range(6):
            t = np.arange(2048) / 4000
            loud = numpy_generator(label, take).uniform(0.2, 0.6)
            Clip.from_numpy(loud * np.sin(2 * np.pi * pitch * (1 + 0.03 * take) * t), 4000).save(
                root / label / f"{take}.wav"
            )
    return root


def weights(out):
    return load_tensors(out / "model.safetensors", json.loads((out / "model.json").read_text())["sha256"]["model"])


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def test_streams_learnt_alone_are_learnt_as_if_the_clips_had_no_other(tmp_path):
    recipe = tiny_recipe(
        BOTH,
        data={"folder": None, "label": "", "bounce": {"clips": 20, "balls": 1}},
        diffusion={"mix": {"together": 1, "alone": 0.9}},
    )
    encoded = build.encode(recipe, lambda event: None)
    trainer = build.new_trainer(recipe, encoded)
    batch = loader.batch(encoded, 0, 0, 4)
    for p in trainer.optimizer.parameters:
        torch.nn.init.normal_(p, std=0.1)
    every, other = (trainer.loss(one, 8)[1] for one in (batch, _with_another_picture(batch)))
    # Drawn with this key, the step learns each stream alone: the sound's error knows nothing of the picture.
    assert torch.equal(every["sound"], other["sound"]) and not torch.equal(every["picture"], other["picture"])
    together = replace(trainer.diffusion, mix=replace(trainer.diffusion.mix, alone=0.0))
    trainer.diffusion = together
    every, other = (trainer.loss(one, 8)[1] for one in (batch, _with_another_picture(batch)))
    assert not torch.equal(every["sound"], other["sound"])


def _with_another_picture(batch):
    return replace(batch, streams={**batch.streams, "picture": batch.streams["picture"].flip(0)})


class Stop(Exception):
    pass


def stop_at(clips):
    """A report that breaks a training off, as a kill would, after so many clips."""

    def report(event):
        if event["event"] == "step" and event["clips"] >= clips:
            raise Stop

    return report


@pytest.fixture(scope="module")
def unbroken(folder, tmp_path_factory):
    events = []
    out = build.train(tiny_recipe(folder=folder), tmp_path_factory.mktemp("out") / "run", report=events.append)
    return out, events


def test_a_training_leaves_a_model_a_log_previews_and_a_plot(unbroken):
    out, events = unbroken
    model = build.load(out)
    assert model.labels == ("high", "low")
    assert next(model.render(label="low")).sound.sample_rate == 4000
    assert (out / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((out / "previews").glob("*/*.wav"))) == 2 * 8
    kinds = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert kinds[0] == "start" and kinds[-1] == "levels" and "step" in kinds and "end" in kinds
    data = next(e for e in events if e["event"] == "data")
    assert (data["files"], data["refused"], data["labels"]) == (12, 0, ["high", "low"])
    assert [p.name for p in checkpoint.everything(out / "checkpoints")] == ["000000000064", "000000000096"]
    home = str(Path.home())
    assert home not in (out / "model.json").read_text()


def test_stopped_and_resumed_twice_it_ends_with_the_same_weights(unbroken, folder, tmp_path):
    recipe = tiny_recipe(folder=folder)
    with pytest.raises(Stop):
        build.train(recipe, tmp_path / "run", report=stop_at(40))
    with pytest.raises(UsageError, match="holds a training already"):
        build.train(recipe, tmp_path / "run")
    with pytest.raises(Stop):
        build.train(recipe, tmp_path / "run", resume=True, report=stop_at(72))
    build.train(recipe, tmp_path / "run", resume=True)
    assert equal(weights(tmp_path / "run"), weights(unbroken[0]))
    with pytest.raises(UsageError, match="no checkpoint to go on from"):
        build.train(recipe, tmp_path / "other", resume=True)


def test_the_time_of_all_runs_is_added_up(folder, tmp_path):
    recipe, run = tiny_recipe(folder=folder), tmp_path / "run"
    with pytest.raises(Stop):
        build.train(recipe, run, report=stop_at(40))
    note = checkpoint.everything(run / "checkpoints")[-1] / "state.json"
    state = json.loads(note.read_text())
    assert 0 < state["seconds"] < 60
    # One from before this was written down counts as none.
    note.write_text(json.dumps({name: value for name, value in state.items() if name != "seconds"}))
    with pytest.raises(Stop):
        build.train(recipe, run, resume=True, report=stop_at(40))
    note.write_text(json.dumps(state | {"seconds": 1000.0}))
    start = time.monotonic()
    build.train(recipe, run, resume=True)
    trained = json.loads((run / "model.json").read_text())["trained"]
    assert trained["clips"] == 96 and 1000 < trained["seconds"] <= 1000.1 + time.monotonic() - start


def test_another_recipe_or_other_media_are_not_taken_for_the_same_training(folder, tmp_path):
    with pytest.raises(Stop):
        build.train(tiny_recipe(folder=folder), tmp_path / "run", report=stop_at(40))
    other = tiny_recipe(folder=folder, training={"clips": 200})
    with pytest.raises(UsageError, match="another recipe .training differ"):
        build.train(other, tmp_path / "run", resume=True)
    extra = folder / "low" / "extra.wav"
    Clip.from_numpy(np.sin(np.arange(2048) / 3), 4000).save(extra)
    try:
        with pytest.raises(UsageError, match="the media have changed"):
            build.train(tiny_recipe(folder=folder), tmp_path / "run", resume=True)
    finally:
        extra.unlink()


def test_killed_it_resumes_to_the_same_weights(unbroken, folder, tmp_path):
    program = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path; from mediadiff import build; from tests.tiny import tiny_recipe\n"
        "build.train(tiny_recipe(folder=sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(folder), str(tmp_path / "run")]
    process = subprocess.Popen(command)
    marks = tmp_path / "run" / "checkpoints"
    deadline = time.monotonic() + 120
    while len(checkpoint.everything(marks)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    build.train(tiny_recipe(folder=folder), tmp_path / "run", resume=True)
    assert equal(weights(tmp_path / "run"), weights(unbroken[0]))


def test_a_damaged_checkpoint_is_passed_over_and_said(unbroken, folder, tmp_path):
    recipe = tiny_recipe(folder=folder)
    with pytest.raises(Stop):
        build.train(recipe, tmp_path / "run", report=stop_at(80))
    last = checkpoint.everything(tmp_path / "run" / "checkpoints")[-1]
    data = bytearray((last / "optimizer.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (last / "optimizer.safetensors").write_bytes(data)
    events = []
    build.train(recipe, tmp_path / "run", resume=True, report=events.append)
    said = [e["text"] for e in events if e["event"] == "warning"]
    assert len(said) == 1 and f"{last.name} is damaged and passed over" in said[0]
    assert equal(weights(tmp_path / "run"), weights(unbroken[0]))


def test_where_no_checkpoint_can_be_used_it_is_said_what_to_do(unbroken, folder, tmp_path):
    run = shutil.copytree(unbroken[0], tmp_path / "run")
    for path in checkpoint.everything(run / "checkpoints"):
        (path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="Delete .*run and train anew, without --resume, or train into another"):
        build.train(tiny_recipe(folder=folder), run, resume=True)
    shutil.rmtree(run)
    build.train(tiny_recipe(folder=folder, training={"clips": 8}), run)


def test_a_model_that_a_kill_kept_from_being_written_comes_with_resuming(unbroken, folder, tmp_path):
    run = shutil.copytree(unbroken[0], tmp_path / "run")
    (run / "model.safetensors").write_bytes(b"half")
    (run / "model.json").unlink()
    build.train(tiny_recipe(folder=folder), run, resume=True)
    assert equal(weights(run), weights(unbroken[0])) and build.load(run).labels == ("high", "low")


def test_no_training_writes_over_a_model(unbroken, folder, tmp_path):
    run = shutil.copytree(unbroken[0], tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match="run holds a model, which a training would write over; name another folder"):
        build.train(tiny_recipe(folder=folder), run)
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_resumed_on_another_machine_it_says_that_bits_will_differ(unbroken, folder, tmp_path):
    run = shutil.copytree(unbroken[0], tmp_path / "run")
    note = json.loads((run / "run.json").read_text())
    assert note["machine"]["threads"] == 1
    note["machine"] |= {"threads": 4, "bf16": None}
    (run / "run.json").write_text(json.dumps(note))
    events = []
    build.train(tiny_recipe(folder=folder), run, resume=True, report=events.append)
    (said,) = [e["text"] for e in events if e["event"] == "warning"]
    assert "another machine (threads 4, now 1; bf16 None, now " in said and "differ in their last bits" in said
    # It is that of the one it runs on from now on.
    assert json.loads((run / "run.json").read_text())["machine"]["threads"] == 1


def test_a_checkpoint_that_finds_no_room_leaves_nothing_behind(folder, tmp_path, monkeypatch):
    recipe = tiny_recipe(folder=folder)
    trainer = build.new_trainer(recipe, build.encode(recipe, lambda event: None))

    def full(path, tensors):
        path.write_bytes(b"half")
        raise DiskFullError("no room left")

    monkeypatch.setattr(checkpoint, "save_tensors", full)
    with pytest.raises(DiskFullError):
        checkpoint.save(tmp_path, trainer)
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_a_flipped_bit_is_refused(unbroken, tmp_path):
    (tmp_path / "model.json").write_text((unbroken[0] / "model.json").read_text())
    data = bytearray((unbroken[0] / "model.safetensors").read_bytes())
    data[-5] ^= 4
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="sha256 differs"):
        build.load(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged or not a model"):
        build.load(tmp_path)
    with pytest.raises(ModelError, match="no model there"):
        build.load(tmp_path / "nothing")


def test_a_step_that_is_not_finite_changes_no_weight(folder):
    recipe = tiny_recipe(folder=folder)
    encoded = build.encode(recipe, lambda event: None)
    trainer = build.new_trainer(recipe, encoded)
    good = build._batch(encoded, recipe, 0)
    trainer.step(good)
    before = {n: w.clone() for n, w in trainer.denoiser.state_dict().items()}
    bad = build._batch(encoded, recipe, 1)
    bad.streams["sound"][3, 0, 0] = torch.inf
    outcome = trainer.step(bad)
    assert not outcome.finite and trainer.clips == 16
    assert equal(before, dict(trainer.denoiser.state_dict()))
    assert all(w.isfinite().all() for w in trainer.average.weights.values())
    assert trainer.step(build._batch(encoded, recipe, 2)).finite


def test_many_bad_steps_roll_back_and_then_stop_with_a_report(folder, tmp_path, monkeypatch):
    recipe = tiny_recipe(folder=folder, training={"clips": 400, "checkpoint": 16})
    whole = build._batch

    def poisoned(encoded, recipe, step):
        batch = whole(encoded, recipe, step)
        if step >= 5:
            batch.streams["sound"][:] = torch.nan
        return batch

    monkeypatch.setattr(build, "_batch", poisoned)
    events = []
    with pytest.raises(TrainingError, match="also at half the learning rate"):
        build.train(recipe, tmp_path / "run", report=events.append)
    texts = [e["text"] for e in events if e["event"] == "warning"]
    assert sum("rolled back to" in text for text in texts) == 1
    assert sum("a step was skipped" in text for text in texts) >= 2 * SKIPS
    assert all(w.isfinite().all() for w in weights(tmp_path / "run").values())


def test_within_bad_steps_no_checkpoint_is_written(folder, tmp_path, monkeypatch):
    recipe = tiny_recipe(folder=folder, training={"clips": 56, "checkpoint": 16})
    whole = build._batch

    def poisoned(encoded, recipe, step):
        batch = whole(encoded, recipe, step)
        if step == 5:
            batch.streams["sound"][:] = torch.nan
        return batch

    monkeypatch.setattr(build, "_batch", poisoned)
    # Resumed from a checkpoint of step 5, bad steps would be counted from 0 again.
    build.train(recipe, tmp_path / "run")
    assert [int(path.name) for path in checkpoint.everything(tmp_path / "run" / "checkpoints")] == [32, 56]


def test_the_checkpoint_that_training_is_rolled_back_to_stays_where_it_is(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(course, "SPAN", 4)
    recipe = tiny_recipe(folder=folder, training={"clips": 4000, "checkpoint": 16})
    grows_loud(monkeypatch, 20)
    removed, rmtree = [], shutil.rmtree

    def noted(path, **kinds):
        if Path(path).exists():
            removed.append(Path(path).name)
        rmtree(path, **kinds)

    monkeypatch.setattr(checkpoint.shutil, "rmtree", noted)

    def report(event):
        if event["event"] == "warning":
            raise Stop

    with pytest.raises(Stop):
        build.train(recipe, tmp_path / "run", report=report)
    (kept,) = checkpoint.everything(tmp_path / "run" / "checkpoints")
    assert kept.name not in removed and removed
    state = json.loads((kept / "state.json").read_text())
    assert state["slowdown"] == 0.5 and state["course"]["steps"] == 0 and int(kept.name) == state["clips"]


def test_a_training_that_breaks_is_rolled_back_to_before_and_then_stopped(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(course, "SPAN", 4)
    recipe = tiny_recipe(folder=folder, training={"clips": 4000, "checkpoint": 16})
    grows_loud(monkeypatch, 20)
    events = []
    with pytest.raises(TrainingError, match="the loss had risen from .* also at half the learning rate"):
        build.train(recipe, tmp_path / "run", report=events.append)
    (back,) = [e for e in events if e["event"] == "warning"]
    assert "rolled back to" in back["text"]
    # Not to what was saved while it broke.
    assert back["clips"] <= 20 * recipe.training.batch


def test_a_course_is_lost_where_the_loss_rises_and_stays():
    found = course.Course()
    for loss in [5.0] * 50 + [2.0, 8.0] * 50 + [1.0] * 300:
        found.update(loss)
        assert not found.is_lost
    for _ in range(course.SPAN):
        found.update(1.0 + 1.5 * course.RISE)
    # After one span the mean has gone 1 - 1/e of the way.
    assert not found.is_lost
    for _ in range(course.SPAN):
        found.update(1.0 + 1.5 * course.RISE)
    assert found.is_lost


def test_of_a_loss_without_a_logarithm_a_tenfold_rise_is_lost():
    found = course.Course(logarithmic=False)
    for loss in [0.1] * 200 + [0.7] * 600:
        found.update(loss)
        assert not found.is_lost
    assert str(course.Course(False, 1, 0.0, -1.0)) == "from 0.1 to 1"
    for _ in range(5 * course.SPAN):
        found.update(3.0)
    assert found.is_lost


def test_the_check_tells_a_training_that_learns_from_one_that_cannot(folder):
    def part(**training):
        recipe = tiny_recipe(folder=folder, training=training)
        encoded = build.encode(recipe, lambda event: None)
        trainer = build.new_trainer(recipe, encoded)
        start = {n: w.clone() for n, w in trainer.denoiser.state_dict().items()}
        found = check.overfit(trainer, build._batch(encoded, recipe, 0))
        assert equal(start, dict(trainer.denoiser.state_dict())) and trainer.clips == 0
        return found

    assert part(learning_rate=3e-3) < check.PASSES < part(learning_rate=1e-7)


def test_silence_is_named(tmp_path):
    (tmp_path / "media").mkdir()
    for take in range(3):
        Clip.from_numpy(np.zeros(4000, np.float32), 4000).save(tmp_path / "media" / f"{take}.wav")
    with pytest.raises(UsageError, match="all the same value .silence"):
        build.train(tiny_recipe(folder=tmp_path / "media", data={"label": ""}), tmp_path / "run")


def test_a_length_that_the_network_cannot_take_is_refused_with_one_that_it_can(folder, tmp_path):
    with pytest.raises(UsageError, match=r"multiples of 4: try seconds: 0\.512"):
        build.train(tiny_recipe(folder=folder, seconds=0.5), tmp_path / "run")


def test_the_scale_is_measured_over_as_many_clips_as_fit(folder, monkeypatch):
    recipe = tiny_recipe(folder=folder)
    encoded = build.encode(recipe, lambda event: None)
    whole = scale.of_streams(encoded)["sound"]
    count = len(encoded.members("train"))
    assert count == 12 and whole == Standard(*measured(encoded, count))
    monkeypatch.setattr(scale, "BYTES", 0)
    assert scale.of_streams(encoded)["sound"] == Standard(*measured(encoded, 8)) != whole


def measured(encoded, count):
    x = batch(encoded, 0, 0, count).streams["sound"]
    return float(x.mean()), float(x.std())


def test_a_dry_run_writes_nothing(folder, tmp_path):
    events = []
    build.train(tiny_recipe(folder=folder), tmp_path / "run", dry_run=True, report=events.append)
    assert not (tmp_path / "run").exists()
    assert {"data", "network", "overfit"} <= {e["event"] for e in events}


def test_a_dry_run_tries_the_network_beside_a_training_too(unbroken, folder):
    def everything():
        return {path: path.stat().st_mtime_ns for path in unbroken[0].rglob("*")}

    before, events = everything(), []
    recipe = tiny_recipe(folder=folder, training={"learning_rate": 3e-3})
    build.train(recipe, unbroken[0], dry_run=True, report=events.append)
    assert "overfit" in {e["event"] for e in events} and everything() == before


def test_pictures_train_too(tmp_path):
    for label in ("left", "right"):
        (tmp_path / "media" / label).mkdir(parents=True)
        for take in range(3):
            frames = np.zeros((8, 16, 16, 3), np.uint8)
            for k in range(8):
                x = 2 * k if label == "right" else 14 - 2 * k
                frames[k, 4 + take : 8 + take, x : x + 2] = 255
            Clip.from_numpy(frames=frames, rate=8).save(tmp_path / "media" / label / f"{take}.mkv")
    out = build.train(tiny_recipe(PICTURE, tmp_path / "media", training={"clips": 16}), tmp_path / "run")
    clip = next(build.load(out).render(label="left"))
    assert clip.picture.frames.shape == (4, 16, 16, 3)


def test_the_learning_rate_rises_stays_and_falls():
    settings = TrainingSettings(clips=1000, batch=10, warmup=100, learning_rate=1.0e-3, decay=0.5)
    rates = [learning_rate(settings, clips) for clips in (0, 40, 90, 500, 750, 990, 1000)]
    assert rates == pytest.approx([1e-4, 5e-4, 1e-3, 1e-3, 5e-4, 2e-5, 0])


@pytest.mark.parametrize("clips, said, rise", [(500, None, 50), (50_000, None, 1000), (500, 0, 0), (500, 400, 400)])
def test_a_short_training_has_a_short_warm_up(clips, said, rise):
    assert TrainingSettings(clips=clips, warmup=said).rise == rise


def test_one_process_trains_into_a_folder(folder, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with alone(tmp_path / "run" / "checkpoints", "unused"):
        with pytest.raises(UsageError, match="run is being trained by another process: wait for it, or choose another"):
            build.train(tiny_recipe(folder=folder), tmp_path / "run")
    build.train(tiny_recipe(folder=folder, training={"clips": 8}), tmp_path / "run")
    # One that looked before the other began.
    recipe = tiny_recipe(folder=folder)
    encoded = build.encode(recipe, lambda event: None)
    trainer = build.new_trainer(recipe, encoded)
    with pytest.raises(UsageError, match="run holds a training by now: choose another folder"):
        build.fit(trainer, recipe, encoded, tmp_path / "run", False, {}, lambda event: None)


def test_mirrored_pictures_and_stereo_sound_contradict_each_other(tmp_path):
    stereo = {"sound": BOTH["sound"] | {"channels": 2}, "picture": BOTH["picture"]}
    with pytest.raises(UsageError, match="data.mirror flips pictures and not sounds, which are in stereo here"):
        build.train(tiny_recipe(stereo, tmp_path, data={"mirror": True}), tmp_path / "run")


def test_a_warm_up_that_nobody_named_is_written_down_as_long_as_it_is(unbroken, folder, tmp_path):
    recipe = tiny_recipe(folder=folder, training={"clips": 10_000, "warmup": None, "checkpoint": 8})
    with pytest.raises(Stop):
        build.train(recipe, tmp_path / "run", report=stop_at(16))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["training"]["warmup"] == 1000
    with pytest.raises(Stop):
        build.train(recipe, tmp_path / "run", resume=True, report=stop_at(32))


def test_what_a_run_was_begun_with_may_be_damaged(unbroken, folder, tmp_path):
    run = shutil.copytree(unbroken[0], tmp_path / "run")
    (run / "run.json").write_text("{")
    with pytest.raises(UsageError, match="run.json is damaged .*: put a copy back, or train anew into another folder"):
        build.train(tiny_recipe(folder=folder), run, resume=True)
    (run / "model.json").unlink()
    with pytest.raises(ModelError, match="holds a training that has no model yet: go on with --resume"):
        build.load(run)


def test_marks_are_passed_once():
    assert [passed(b, b + 8, 32) for b in range(0, 80, 8)] == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]


def test_training_reads_the_cache_alone(folder, tmp_path):
    recipe = tiny_recipe(folder=folder)
    encoded = EncodedSet.load(build.encode(recipe, lambda event: None).folder)
    assert len(encoded) == 12 and encoded.labels == ("high", "low")
