"""Recipes: every mistake is found, at its line, with what to write; what is right survives a round trip."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediadiff import domains
from mediadiff.domains.frames import Frames
from mediadiff.domains.spectrogram import Spectrogram
from mediadiff.errors import RecipeError
from mediadiff.nn.settings import NetworkSettings
from mediadiff.recipe import Recipe, RenderRecipe, TrainRecipe, from_dict, json_schema, load_recipe
from mediadiff.recipe.base import HEAD
from mediadiff.recipe.kinds import KINDS
from mediadiff.recipe.paths import Paths
from mediadiff.validation import INTERNAL, check
from mediadiff.yaml_document import Document, read_document, read_value
from tests.recipe_mistakes import BAD, GOOD, RENDER, changed
from tests.tiny import tiny_recipe


def load(folder: Path, text: str | bytes, overrides: tuple[str, ...] = ()) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_recipe(path, overrides)


def mistakes(folder: Path, text: str | bytes, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(RecipeError) as raised:
        load(folder, text, overrides)
    head, *lines = str(raised.value).splitlines()
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    assert head == f"{folder / 'recipe.yaml'}: {count}"
    return [line.removeprefix("  ") for line in lines]


def test_a_good_recipe_becomes_settings(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD)
    assert isinstance(recipe, TrainRecipe)
    assert recipe.name == "digits" and recipe.seconds == 1.0 and isinstance(recipe.seconds, float)
    assert recipe.streams == {"sound": Spectrogram(sample_rate=8000, n_fft=256, hop=64)}
    assert recipe.network == NetworkSettings(channels=(64, 128), patch={"sound": (1, 2, 1)})
    assert recipe.training.clips == 200_000 and type(recipe.training.clips) is int
    assert recipe.training.learning_rate == 0.001
    assert recipe.data.test == {"take": (0, 1)}
    assert recipe.data.folder == str(tmp_path)


def test_a_good_render_recipe(tmp_path: Path) -> None:
    recipe = load(tmp_path, RENDER + "sampling: {steps: 20}\n")
    assert isinstance(recipe, RenderRecipe)
    assert (recipe.model, recipe.num, recipe.seed) == ("digits", 100, 0)
    assert recipe.labels == ("7", "eight")
    assert recipe.sampling == {"steps": 20}
    assert load(tmp_path, RENDER, ("label=7",)).labels == ("7",)  # type: ignore[union-attr]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_mistake_is_found_where_it_is(tmp_path: Path, text: str | bytes, expected: str) -> None:
    start = time.process_time()
    found = mistakes(tmp_path, text)
    assert time.process_time() - start < 5
    assert len(found) == 1, found
    assert found[0].startswith(expected)
    assert len(found[0]) < 500


def test_all_mistakes_come_at_once_in_the_order_of_the_text(tmp_path: Path) -> None:
    text = """\
mediadiff: 1
task: train
name: a/b
seconds: -1
data: {folder: "", label: folder, tst: {}}
streams:
  sound: {domain: spectogram}
  picture: {domain: frames, heigth: 3, width: 0}
network: {channels: [64, x], blocks: 1, blocks: 2}
training: {clips: .nan}
"""
    found = mistakes(tmp_path, text, ("sampling.steps=0", "nonsense", "training.batch=["))
    places = [line[: line.index(": ", line.index(": ") + 2)] for line in found[:-3]]
    assert places == [
        "line 4, column 10: seconds",
        "line 5, column 16: data.folder",
        "line 5, column 35: data.tst",
        "line 7, column 19: streams.sound.domain",
        "line 8, column 29: streams.picture.heigth",
        "line 8, column 47: streams.picture.width",
        "line 9, column 26: network.channels[1]",
        "line 9, column 41: network.blocks",
        "line 10, column 19: training.clips",
    ]
    assert all(line.startswith("on the command line: ") for line in found[-3:])


def test_a_bomb_of_aliases_is_refused_at_once(tmp_path: Path) -> None:
    names = "abcdefghij"
    bomb = "a: &a [x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip(names, names[1:], strict=False)
    )
    start = time.process_time()
    with pytest.raises(RecipeError, match=r"line 1, column 4: a: anchors \(&a\) are not read"):
        load(tmp_path, bomb)
    assert time.process_time() - start < 1


def test_many_unknown_names_take_no_time_and_are_cut_short(tmp_path: Path) -> None:
    start = time.process_time()
    with pytest.raises(RecipeError) as raised:
        load(tmp_path, GOOD + "".join(f"k{i}: 1\n" for i in range(50_000)))
    assert time.process_time() - start < 5
    assert str(raised.value).splitlines()[-1] == "  and 50 more"


def test_crlf_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()) == load(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("2e5", 200_000), ("1.10", 1.1), (".5", 0.5), ("0x10", 16), ("0o10", 8), ("-3", -3), ("+3", 3),
        ("no", "no"), ("on", "on"), ("y", "y"), ("true", True), ("FALSE", False), ("~", None), ("", None),
        ("12:30", "12:30"), ("2026-11-21", "2026-11-21"), ("1_000", "1_000"), ("'64'", "64"), ("! 64", "64"),
        ("0", 0), ("-0.0", -0.0), ("{a: [1, b]}", {"a": [1, "b"]}), ("1e", "1e"), ("=", "="),
    ],
)  # fmt: skip
def test_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert read_value(text) == (value, [])
    assert type(read_value(text)[0]) is type(value)


def test_overrides_go_through_the_same_checks(tmp_path: Path) -> None:
    changes = ("training.batch=64", "network.channels=[32, 64]", "diffusion.levels=flow", "streams.sound.domain=stft")
    recipe = load(tmp_path, GOOD, changes)
    assert isinstance(recipe, TrainRecipe)
    assert (recipe.training.batch, recipe.network.channels, recipe.diffusion.levels) == (64, (32, 64), "flow")
    assert type(recipe.streams["sound"]) is domains.get("stft")
    assert recipe.training.clips == 200_000
    assert mistakes(tmp_path, GOOD, ("training.bach=64", "seconds.x=1")) == [
        "on the command line: seconds: takes a number; got a mapping",
        "on the command line: training.bach: unknown; known: clips, batch, learning_rate, warmup, decay, average, "
        "snapshot, drop, clip_gradient, precision, seed, checkpoint, preview; did you mean batch?",
    ]


def test_paths_are_filled_in_and_kept_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATA", str(tmp_path / "else$where"))
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir("/")
    (tmp_path / "near").mkdir()

    def folder(written: str) -> str:
        recipe = load(tmp_path, changed("folder: .", f"folder: {written}"))
        assert isinstance(recipe, TrainRecipe)
        assert recipe.to_dict()["data"]["folder"] == written
        return recipe.data.folder

    assert folder("near") == str(tmp_path / "near")
    assert folder("not/there") == "/not/there"
    assert folder("$SOME_DATA/a") == folder("${SOME_DATA}/a") == str(tmp_path / "else$where/a")
    assert folder("a$$b") == "/a$b"
    assert folder("~/b") == "/home/me/b"
    # Only paths are filled in.
    assert "$SOME_DATA" in mistakes(tmp_path, changed("name: digits", "name: $SOME_DATA"))[0]


def test_a_model_is_a_path_or_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")

    def model(written: str) -> str:
        recipe = load(tmp_path, changed("model: digits", f"model: {written}", RENDER))
        assert isinstance(recipe, RenderRecipe)
        return recipe.model

    assert model("digits") == "digits"
    assert model("runs/digits") == "/runs/digits"
    (tmp_path / "digits").mkdir()
    assert model("digits") == str(tmp_path / "digits")


def test_a_file_that_is_not_there_or_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").touch()
    with pytest.raises(RecipeError, match=r"digts\.yaml: no such file; did you mean digits\.yaml\?"):
        load_recipe(tmp_path / "digts.yaml")
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load_recipe(tmp_path)
    with pytest.raises(RecipeError, match="not a file"):
        load_recipe("/dev/null")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe("a\0b")


def test_a_saved_recipe_needs_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    recipe = load(tmp_path, changed("folder: .", "folder: $SOME_DATA"))
    assert isinstance(recipe, TrainRecipe)
    monkeypatch.delenv("SOME_DATA")
    saved = json.loads(json.dumps(recipe.to_dict()))
    assert str(tmp_path) not in json.dumps(saved)
    again = from_dict(saved, "model/recipe.json")
    assert again == replace(recipe, data=replace(recipe.data, folder="$SOME_DATA"))
    assert again.to_dict() == recipe.to_dict()
    with pytest.raises(
        RecipeError, match=r"(?s)model/recipe.json: 1 mistake\n  seconds: takes a number; got the text 'x'"
    ):
        from_dict({**saved, "seconds": "x"}, "model/recipe.json")


texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="$~\ufeff"), max_size=9)
counts = st.integers(1, 8)
train_recipes = st.fixed_dictionaries(
    {
        "mediadiff": st.just(1),
        "task": st.just("train"),
        "name": st.from_regex(r"\A[a-z0-9_][a-z0-9_.-]{0,20}\Z"),
        "seconds": st.floats(0.01, 3600),
        "data": st.fixed_dictionaries(
            {
                "folder": texts.filter(bool),
            },
            optional={
                "label": st.sampled_from(["", "folder", "{label}-{take}"]),
                "include": st.lists(texts),
            },
        ),
        "streams": st.fixed_dictionaries(
            {"sound": st.fixed_dictionaries({"domain": st.sampled_from(["spectrogram", "mel", "stft"])})},
            optional={"picture": st.fixed_dictionaries({"domain": st.just("frames"), "height": counts})},
        ),
    },
    optional={
        "network": st.fixed_dictionaries(
            {}, optional={"channels": st.lists(counts, min_size=1, max_size=6), "patch": st.just({"sound": [1, 2, 1]})}
        ),
        "training": st.fixed_dictionaries(
            {"clips": st.integers(10_000, 10**15)}, optional={"learning_rate": st.floats(1e-30, 0.5)}
        ),
        "sampling": st.fixed_dictionaries({}, optional={"steps": st.integers(1, 1000), "sampler": st.just("unipc")}),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train_recipes)
def test_round_trip(tmp_path: Path, data: dict) -> None:
    recipe = from_dict(data)
    assert from_dict(recipe.to_dict()) == recipe
    assert from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    # Every JSON text is YAML, save for a few control characters.
    document = read_document(json.dumps(recipe.to_dict(), ensure_ascii=False))
    assert document.problems == []
    assert from_dict(document.data) == recipe


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="ab:-[]{}&*!|>'\"#%@`, \n\t0.eE~?<", max_size=60)))
def test_no_text_makes_the_reader_raise(content: bytes | str) -> None:
    document = read_document(content)
    assert document.problems or isinstance(document.data, dict)


def test_the_schema_agrees_with_the_checks() -> None:
    schema = json.loads(json.dumps(json_schema()))
    train, render = schema["$defs"]["TrainRecipe"], schema["$defs"]["RenderRecipe"]
    assert train["required"] == ["mediadiff", "task", "name", "seconds", "data", "streams"]
    assert train["additionalProperties"] is False
    assert "written" not in train["properties"]
    assert render["properties"]["task"]["const"] == "render"
    assert schema["$defs"]["TrainingSettings"]["properties"]["batch"] == {
        "default": 32, "maximum": 4096, "minimum": 1, "title": "Batch", "type": "integer",
    }  # fmt: skip
    assert schema["$defs"]["Spectrogram"]["required"] == ["domain"]
    names = {one["$ref"].rpartition("/")[2] for one in train["properties"]["streams"]["properties"]["sound"]["anyOf"]}
    assert names == {"Spectrogram", "Mel", "Stft"}

    def references(part: object) -> set[str]:
        if isinstance(part, dict):
            here = {part["$ref"]} if "$ref" in part else set()
            return here.union(*(references(value) for value in part.values()))
        return set().union(*(references(value) for value in part)) if isinstance(part, list) else set()

    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} <= set(schema["$defs"])


def test_shipped_recipes_are_right(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIADIFF_DATA", os.environ.get("MEDIADIFF_DATA", "/data"))
    recipes = sorted((repository / "recipes").glob("*.yaml"))
    for path in recipes:
        assert path.read_text().startswith("# "), f"{path.name} starts with a comment that says what it makes"
        load_recipe(path)


def test_stills_and_odd_rates(tmp_path: Path) -> None:
    picture = "streams:\n  picture: {domain: frames, frame_rate: 24000/1001}\n"
    recipe = load(tmp_path, changed("patch: {sound: [1, 2, 1]}", "patch: {}").replace("streams:\n", picture))
    assert isinstance(recipe, TrainRecipe)
    assert recipe.streams["picture"] == Frames(frame_rate="24000/1001")
    assert from_dict(recipe.to_dict()).streams == recipe.streams  # type: ignore[union-attr]


@dataclass(frozen=True)
class WashRecipe(Recipe):
    """A kind that only this test knows."""

    task: ClassVar[str] = "wash"
    purpose: ClassVar[str] = "washing"
    folder: str
    warm: bool = False
    written: dict[str, str] = field(default_factory=dict, compare=False, metadata=INTERNAL)

    @classmethod
    def checked(cls, document: Document) -> WashRecipe | None:
        return check(cls, document, (), document.data, also=HEAD)

    def filled_in(self, paths: Paths) -> WashRecipe:
        return replace(self, folder=paths.find(("folder",), self.folder), written=paths.written)


def test_a_new_kind_of_recipe_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "wash", WashRecipe)
    monkeypatch.setenv("LAUNDRY", "/laundry/shirts")
    head = "mediadiff: 1\ntask: wash\n"
    recipe = load(tmp_path, head + "folder: $LAUNDRY\n", ("warm=true",))
    assert recipe == WashRecipe("/laundry/shirts", True)
    assert recipe.to_dict() == {"mediadiff": 1, "task": "wash", "folder": "$LAUNDRY", "warm": True}
    assert from_dict(recipe.to_dict()) == WashRecipe("$LAUNDRY", True)
    assert mistakes(tmp_path, head + "folder: a\nwarn: true\n") == [
        "line 4, column 1: warn: unknown; known: folder, warm, mediadiff, task; did you mean warm?"
    ]
    assert mistakes(tmp_path, "mediadiff: 1\ntask: wasch\n") == [
        "line 2, column 7: task: takes one of train, render, distill, wash; got 'wasch'; did you mean wash?"
    ]
    assert {"$ref": "#/$defs/WashRecipe"} in json_schema()["oneOf"]


@pytest.mark.parametrize("setting", ["lookout", "detail", "halvings"])
def test_what_a_network_does_with_a_stream_is_of_one_that_the_recipe_has(setting: str) -> None:
    with pytest.raises(RecipeError, match=rf"network\.{setting}\.picture"):
        tiny_recipe(network={setting: {"picture": 1}})
