"""The benchmarks: every figure is there, and every share is one. How large they are is for the machine to say."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch

from mediadiff import console
from mediadiff.bench import cold, io, profile, render, report, run, subject, timing, train
from mediadiff.bench.peak import Peak, peak
from mediadiff.clip import Clip
from mediadiff.errors import MediadiffError, MediaError, UsageError
from mediadiff.io.probe import probe
from mediadiff.io.write import write
from mediadiff.model import new_denoiser, shipped
from mediadiff.nn.convolution import convolve
from mediadiff.nn.layers import conv
from mediadiff.nn.precision import use_bf16
from mediadiff.rendering.abreast import processors
from mediadiff.training.optimizer import Optimizer
from tests.bench import compare
from tests.tiny import BOTH, tiny_model, tiny_recipe

TINY = """\
mediadiff: 1
task: train
name: tiny
seconds: 0.512
data: {folder: $NOT_SET_ANYWHERE}
streams:
  sound: {domain: spectrogram, sample_rate: 4000, n_fft: 128, hop: 32, iterations: 4}
network: {channels: [16, 32], blocks: 1, attention: 1, heads: 2, patch: {sound: [2, 2, 1]}}
training: {clips: 96, batch: 4, warmup: 8}
sampling: {steps: 2, batch: 2}
"""


def made(streams=BOTH):
    return tiny_recipe(streams, data={"folder": None, "label": "", "bounce": {"clips": 20}})


def check_shares(shares: dict[str, float]) -> None:
    assert math.isclose(sum(shares.values()), 1, abs_tol=1e-6)
    assert all(0 <= share <= 1 for share in shares.values())


def test_a_timing_is_the_median_of_three_runs_or_more():
    assert timing.Timing.of([3.0, 1.0, 2.0]) == timing.Timing(2.0, 1.0, 3.0, 3)
    calls = []
    assert timing.timed(lambda: calls.append(1), budget=0).runs == 3 and len(calls) == 4
    assert timing.timed(lambda: time.sleep(0.01), budget=0.06).runs in range(3, 7)


def test_the_peak_is_the_higher_rate():
    found = peak(bf16=False, budget=0)
    assert found.precision == "float32" and found.rate == max(found.convolution, found.product) > 1e8
    assert Peak("bf16", 2, 3).beside(Peak("bf16", 1, 4)) == Peak("bf16", 2, 4)


def test_time_goes_where_it_went():
    x, w = torch.ones(4, 32, 64, 64), torch.ones(32, 32, 3, 3)
    # Long enough that a machine with other work does not put it aside for most of the time.
    shares = profile.where(lambda: [torch.conv2d(x, w, padding=1) for _ in range(20)])
    assert max(shares, key=shares.get) == "convolution"

    def waits() -> None:
        with profile.phase("data"):
            torch.conv2d(x, w)
            time.sleep(0.1)
        torch.bmm(x[0], x[1])

    shares = profile.where(waits)
    check_shares(shares)
    assert next(iter(shares)) == "data" and shares["attention"] > 0 and "convolution" not in shares

    layer = conv(64, 64, (3, 3))
    small = torch.ones(8, 64, 4, 4, dtype=torch.bfloat16, requires_grad=True)

    def learns() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            out = [convolve(layer, small, False) for _ in range(20)]
        torch.autograd.backward(out, [torch.ones_like(each) for each in out])

    shares = profile.where(learns)
    assert shares["convolution"] > 0 and "linear layers" not in shares


def test_training_has_all_its_figures(tmp_path):
    found = train.measure(made(), tmp_path, budget=0.01)
    assert found.batch == 8 and found.threads == 1 and found.step.runs >= 3
    assert 0 < found.step_share <= 1 and 0 < found.forward_share <= 1

    # Muon's five steps of Newton and Schulz, of matrices of m rows and n columns or more: all products but the first
    # and the last are of its square; in bfloat16 in two rounds where that is much smaller, else in five.
    def products(m: int, n: int) -> int:
        if not use_bf16("auto"):
            wide, square = 2, 17
        else:
            wide, square = (4, 14) if n > 2 * m else (10, 5)
        return 2 * wide * m * m * n + 2 * square * m**3

    views = Optimizer(new_denoiser(made(), 1), False).views
    # Half of it in each step.
    muon = sum(products(*sorted(view.shape)) for view in views) / 2
    # The way back of a convolution or a product is two of its kind.
    assert 2.5 < (found.step_flops - muon) / found.forward_flops < 3.1
    assert found.clips_per_second == pytest.approx(8 / found.step.seconds)
    assert found.media_seconds_per_second == pytest.approx(0.512 * found.clips_per_second)
    assert 5e7 < found.memory_bytes < 1e11
    check_shares(found.where)
    assert {"convolution", "attention", "linear layers", "data", profile.NORM} <= set(found.where)
    here = {"name": "here", "cores": 1, "processor": "", "torch": "", "threads": 1}
    lines = report.lines(run.Bench(here, {"tiny": asdict(found)}))
    assert any(line.split()[:3] == ["tiny", f"{found.step_share:.0%}", f"{found.forward_share:.0%}"] for line in lines)


def test_rendering_has_all_its_figures(tmp_path):
    model = render.untrained(made(), tmp_path)
    found = render.measure(model, tmp_path, budget=0.01)
    assert (found.batch, found.steps, found.threads) == (4, 3, 1)
    assert 0 < found.network_share <= 1 and 0 < found.network_seconds < found.files.high
    check_shares(found.where)
    assert {"decoding", "files", "solver", "convolution"} <= set(found.where)
    assert len(list((tmp_path / "out-0").glob("*.mp4"))) == 4
    # The last is of micro-batches side by side.
    last = max(tmp_path.glob("out-*"), key=lambda path: int(path.name.removeprefix("out-")))
    assert len(list(last.glob("*.mp4"))) == 8 * processors()
    assert found.media_seconds_per_second == pytest.approx(0.512 * found.clips_per_second)


def test_growth_is_told_second_for_second(tmp_path):
    model = tiny_model(tmp_path / "model").folder
    found = cold.growth(model, tmp_path, lengths=(1, 2))
    (file,) = (tmp_path / "long-2").glob("*.wav")
    assert probe(file).sound.seconds == 2 and found.clip_seconds == (1, 2) and len(found.memory_bytes) == 2
    linear = cold.Growth((10, 20, 40), (3.0, 5.0, 9.0), (100, 100, 101))
    assert linear.time == pytest.approx(1.0) and linear.memory == pytest.approx(1.01)
    assert cold.Growth((10, 20, 40), (1.0, 4.0, 16.0), (1, 2, 4)).time == pytest.approx(2.0)


def test_a_cold_start_makes_a_clip_or_says_why_not(tmp_path):
    model = tiny_model(tmp_path / "model").folder
    found = cold.cold_start(model, tmp_path, runs=1)
    assert found.start.seconds > 0.2 and found.memory_bytes > 1e8
    assert len(list((tmp_path / "cold-0").glob("*.wav"))) == 1
    with pytest.raises(MediadiffError, match="no model there"):
        cold.cold_start(tmp_path / "nothing", tmp_path, runs=1)


def test_decoding_beside_plain_pyav(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (20, 32, 48, 3), np.uint8)
    (tmp_path / "a").mkdir()
    for name in ("1.mp4", "2.mkv"):
        write(tmp_path / "a" / name, Clip.from_numpy(frames=frames, rate=10))
    found = io.decoding(tmp_path, rounds=3)
    assert (found.files, found.rounds) == (2, 3) and 0.05 < found.share < 20
    assert found.frames_per_second > 0 and found.plain_frames_per_second > 0
    with pytest.raises(UsageError, match="does not exist"):
        io.decoding(tmp_path / "nothing", rounds=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty holds no videos"):
        io.decoding(tmp_path / "empty", rounds=1)
    (tmp_path / "sounds").mkdir()
    write(tmp_path / "sounds" / "1.wav", Clip.from_numpy(np.zeros(800, np.float32), 8000))
    with pytest.raises(MediaError, match="has no picture"):
        io.decoding(tmp_path / "sounds", rounds=1)


def test_the_whole_runs_without_data_and_says_what_it_left_out(tmp_path, monkeypatch):
    monkeypatch.delenv("MEDIADIFF_DATA", raising=False)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    said: list[dict] = []
    found = run.bench(["io"], [path], 0.01, said.append)
    assert [event["text"] for event in said] == ["io: tiny", "io: decoding"]
    document = json.loads(json.dumps(console._finite(found.to_dict())))
    assert set(document) == {"machine", "train", "render", "io", "decoding", "left_out"}
    assert set(document["machine"]) >= {"name", "cores", "torch", "threads", "processor"}
    assert document["io"]["tiny"]["times_training"] > 1 and document["decoding"] is None
    assert document["left_out"] == [
        "decoding, which needs real videos: set MEDIADIFF_DATA to the folder that holds clips"
    ]
    text = "\n".join(report.lines(found))
    assert text.startswith(document["machine"]["name"]) and "left out: decoding" in text
    assert "times training" in text


def test_what_fails_in_a_process_of_its_own_is_said_here(monkeypatch):
    """Errors with more than a message do not find their way between processes."""

    def fails() -> None:
        raise MediaError("a.mp4", "is cut")

    monkeypatch.setenv("KINETO_LOG_LEVEL", "0")
    with pytest.raises(MediadiffError, match="a.mp4: is cut") as met:
        run._there(fails)
    assert met.value.args == ("a.mp4: is cut",) and type(met.value) is MediadiffError


def test_every_training_recipe_is_found(repository):
    assert [path.name for path in subject.training_recipes()] == [
        "bounce.yaml",
        "digits.yaml",
        "faces.yaml",
        "scenes.yaml",
        "stills.yaml",
    ]


def test_students_are_measured_where_they_render():
    def names(part, recipes=None):
        return {recipe.name for recipe in run.subjects(part, recipes)}

    trained = {"bounce", "digits", "faces", "scenes", "stills"}
    assert names("train") == names("io") == trained
    assert names("render") == trained | set(shipped()) and "digits-2step" in names("render") - trained
    assert names("render", [subject.RECIPES / "digits.yaml"]) == {"digits"}


def test_the_table_takes_its_place_in_the_text(repository):
    seconds = {name: {"step": 2.0, "forward": 1.0} for name in ("ours bf16", "ours float32", "ours unfolded bf16")}
    seconds |= {"theirs float32": {"step": 9.0, "forward": 3.0}, "theirs bf16": {"step": 5.0, "forward": 1.5}}
    one = {
        "name": "a library",
        "clip": "a clip",
        "batch": 2,
        "weights": {"theirs": 7_000_000, "ours": 7_100_000},
        "seconds": seconds,
    }
    table = compare.table([one], {"name": "a machine", "threads": 1, "torch": "2"})
    assert "| a library | a clip | 2 | 7.0 M, 7.1 M | 4.5 / 3.0 | 2.5 / 1.5 | 4.5 / 3.0 | 2.5 / 1.5 |" in table
    text = f"before\n{compare.BEGIN}\nold\n{compare.END}\nafter"
    assert compare.between_marks(text, table) == f"before\n{compare.BEGIN}\n{table}\n{compare.END}\nafter"
    assert compare.between_marks((repository / "README.md").read_text(), table).count(table) == 1
    with pytest.raises(ValueError, match="no place"):
        compare.between_marks("nothing", table)
