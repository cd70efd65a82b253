from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mediadiff import cli
from mediadiff.clip import Clip
from mediadiff.data.settings import DataSettings
from mediadiff.domains.stft import Stft
from mediadiff.errors import UsageError
from mediadiff.evaluation import evaluate as module
from mediadiff.evaluation.classifier import Settings
from mediadiff.measure import measure, measure_tasks, real_data
from mediadiff.model import Model
from tests.evaluation.known_clips import PITCHES, tone
from tests.tiny import BOTH, tiny_model


@dataclass
class Tones:
    """A model that renders tones: all of it that a measurement asks for."""

    folder: str
    name: str = "tones"
    labels: tuple[str, ...] = tuple(PITCHES)
    seconds: Fraction = Fraction(1, 2)
    caption: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def recipe(self) -> Any:
        data = DataSettings(self.folder, "folder", test={"last": 0.25})
        streams = {"sound": Stft(sample_rate=8000, n_fft=128, hop=32)}
        return SimpleNamespace(data=data, streams=streams, condition=SimpleNamespace(caption=self.caption))

    def render(self, num: int, label: Sequence[str] | None, **how: Any) -> Iterator[Clip]:
        self.asked.append({"num": num, "label": label, **how})
        names = label or ("low",)
        return (tone(names[i % len(names)], "made", i) for i in range(num))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tones:
    monkeypatch.setenv("MEDIADIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "Settings", lambda steps, seed: Settings(5, width=4, seed=seed))
    for label in PITCHES:
        (tmp_path / "tones" / label).mkdir(parents=True)
        for i in range(12):
            tone(label, "real", i).save(tmp_path / "tones" / label / f"{i}.wav")
    return Tones(str(tmp_path / "tones"))


def test_labels_are_rendered_in_turn_and_progress_is_told(model: Tones, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    found = measure(cast(Model, model), num=9, seed=5, guidance=2.0, report=events.append)
    assert model.asked == [
        {"num": 9, "label": tuple(PITCHES), "seed": 5, "steps": None, "sampler": None, "guidance": 2.0}
    ]
    assert found.name == "tones" and found.rendered == 9
    assert [e["done"] for e in events if e["event"] == "sample"] == list(range(1, 10))
    assert {e["event"] for e in events} == {"encode", "sample", "classifier"}
    assert len(list((tmp_path / "cache" / "classifiers").glob("*.safetensors"))) == 1


def test_a_model_of_captions_is_asked_by_those_of_the_real_clips(model: Tones) -> None:
    model.caption = True
    measure(cast(Model, model), num=2)
    # These files have none.
    assert model.asked[0]["caption"] == [""] * 12 * len(PITCHES)


def test_command_prints_the_table_or_one_json_object(
    model: Tones, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mediadiff.model.load", lambda name: model)
    assert cli.main(["evaluate", "tones", "--num", "6"]) == 0
    out = capsys.readouterr().out
    assert "recognised as asked" in out and "Recall is" not in out and "6 rendered clips" in out
    assert cli.main(["evaluate", "tones", "--num", "6", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "evaluated" and last["sections"][0]["columns"]["rendered"]["clips"] == 6


def test_ten_clips_of_each_label_and_a_hundred_at_least(model: Tones) -> None:
    measure(cast(Model, model))
    assert model.asked[0]["num"] == 100


def test_real_clips_come_from_the_model_a_folder_or_a_recipe(
    model: Tones, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert real_data(cast(Model, model), None).folder == model.folder
    other = real_data(cast(Model, model), tmp_path)
    assert other == DataSettings(str(tmp_path), "folder", test={"last": 0.25})
    recipe = tmp_path / "other.yaml"
    recipe.write_text(
        "mediadiff: 1\ntask: train\nname: other\nseconds: 1\n"
        f"data: {{folder: {tmp_path}, label: folder}}\nstreams: {{sound: {{domain: stft}}}}\n"
    )
    assert real_data(cast(Model, model), recipe) == DataSettings(str(tmp_path), "folder")
    recipe.write_text("mediadiff: 1\ntask: render\nmodel: digits\n")
    with pytest.raises(UsageError, match="is a recipe for rendering"):
        real_data(cast(Model, model), recipe)


def test_data_that_is_not_here_is_asked_for(model: Tones, tmp_path: Path) -> None:
    model.folder = str(tmp_path / "gone")
    with pytest.raises(UsageError, match="does not exist(.|\n)*--data FOLDER"):
        real_data(cast(Model, model), None)


def test_every_task_is_tried_on_real_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = {"sound": {**BOTH["sound"], "sample_rate": 16000, "hop": 128, "n_fft": 512}, "picture": BOTH["picture"]}
    model = tiny_model(
        tmp_path / "model",
        streams,
        labels=(),
        condition={"label": False},
        data={"folder": None, "label": "", "bounce": {"clips": 24, "balls": 1}, "test": {"last": 0.9}},
    )
    found = measure_tasks(model, num=20)
    real = found.synchrony["real"]
    assert real.agreement.clips == 20 and real.impacts is not None
    assert set(found.synchrony) - {"real"} == {
        *("both", "sound for a picture", "picture for a sound", "going on"),
        *("both, shuffled", "sound for a picture, shuffled", "picture for a sound, shuffled"),
    }
    # Given whole, the picture is the real one: as many impacts are seen in it.
    made = found.synchrony["sound for a picture"].impacts
    assert made is not None and made.seen == real.impacts.seen
    assert set(found.seams) == {"sound", "picture"} and set(found.joins) >= {"picture", "colour", "loudness"}
    assert "going on, at the join" in found.text() and json.dumps(found.to_dict())


def test_a_model_of_one_stream_has_no_tasks(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tiny makes sound alone: there are no tasks to compare"):
        measure_tasks(tiny_model(tmp_path / "model"))


def test_no_clips_are_no_evaluation_of_tasks(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs two clips or more; got --num 0"):
        measure_tasks(tiny_model(tmp_path / "model", BOTH), num=0)
