"""Clips in files: names, tags, and one bad clip costing one clip."""

import json

import numpy as np
import pytest
import torch

from mediadiff import build
from mediadiff.errors import DiskFullError
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.rendering.generator import Generator
from tests.tiny import PICTURE, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"), labels=("7", "a/b"))


def test_files_are_named_by_label_and_index(model, tmp_path):
    made = build.render(model, tmp_path, num=2, label="7", first=12)
    assert made["files"] == ["7-000012.wav", "7-000013.wav"] and (made["done"], made["failed"]) == (2, 0)
    assert build.render(model, tmp_path, num=1, label="a/b", format="flac")["files"] == ["a_b-000000.flac"]
    assert build.render(model, tmp_path, num=1)["files"] == ["clip-000000.wav"]
    assert read(tmp_path / "7-000012.wav").sound.sample_rate == 4000


def test_a_file_says_how_it_was_made(model, tmp_path):
    build.render(model, tmp_path, num=1, label="7", seed=5, sampling={"guidance": 3.0}, format="flac")
    made = json.loads(probe(tmp_path / "7-000000.flac").tags["mediadiff"])
    recipe = made["recipe"]
    assert (recipe["seed"], recipe["index"], recipe["sampling"]["guidance"], made["model"]) == (5, 0, 3.0, "tiny")
    assert model.sha256 == made["weights"]


def test_moving_picture_goes_to_mp4_and_a_still_to_png(tmp_path):
    model = tiny_model(tmp_path / "model", PICTURE)
    assert build.render(model, tmp_path, num=1)["files"] == ["clip-000000.mp4"]
    assert build.render(model, tmp_path, num=1, seconds=0.125)["files"] == ["clip-000000.png"]


def test_a_failure_of_a_whole_micro_batch_costs_no_other(model, tmp_path, monkeypatch):
    whole = Generator.attempts

    def short_of_memory(self, requests, seconds, sampling):
        if requests[0].index == 0:
            raise MemoryError
        return whole(self, requests, seconds, sampling)

    monkeypatch.setattr(Generator, "attempts", short_of_memory)
    made = build.render(model, tmp_path, num=3, label="7", sampling={"batch": 2})
    assert made["files"] == ["7-000002.wav"] and made["failed"] == 2
    assert {one["reason"] for one in made["failures"]} == {"MemoryError"}


def test_one_bad_clip_costs_one_clip(model, tmp_path, monkeypatch):
    whole = Generator.encoded

    def poisoned(self, rows, window, sampling):
        out = whole(self, rows, window, sampling)
        for row, x in zip(rows, out, strict=True):
            if row.request.index == 2:
                x["sound"][0, 3] = torch.nan
        return out

    monkeypatch.setattr(Generator, "encoded", poisoned)
    made = build.render(model, tmp_path, num=6, label="7")
    assert (made["done"], made["failed"]) == (5, 1)
    assert made["failures"][0]["file"] == "7-000002.wav" and "not finite" in made["failures"][0]["reason"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*made["files"], "manifest.jsonl"])


def test_a_full_disk_stops_the_run(model, tmp_path, monkeypatch):
    def full(self, path):
        raise DiskFullError(f"{path}: no room")

    monkeypatch.setattr("mediadiff.clip.Clip.save", full)
    with pytest.raises(DiskFullError):
        build.render(model, tmp_path, num=2)


def test_rendering_again_gives_the_same_bytes(model, tmp_path):
    for folder in ("one", "two"):
        build.render(model, tmp_path / folder, num=3, label="7")
    for name in ("7-000000.wav", "7-000002.wav"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    a, b = (read(tmp_path / "one" / f"7-00000{i}.wav").sound.samples for i in (0, 1))
    assert not np.array_equal(a, b)
