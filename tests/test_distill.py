"""Students of tiny teachers: what they keep, how they resume, what is refused, and how they are held against them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mediadiff import build, cli
from mediadiff.card import card
from mediadiff.clip import Clip
from mediadiff.data.settings import BounceSettings
from mediadiff.diffusion.settings import MixSettings
from mediadiff.distill import as_sampled, distill, new_trainer, student_of
from mediadiff.errors import RecipeError, TrainingError, UsageError
from mediadiff.evaluation import evaluate as evaluation
from mediadiff.evaluation.classifier import Settings
from mediadiff.export import export
from mediadiff.io.tensors import load_tensors
from mediadiff.model import load
from mediadiff.nn.condition import Condition
from mediadiff.recipe import DistillRecipe, from_dict, json_schema, load_recipe
from mediadiff.rng import normal, numpy_generator
from mediadiff.training import checkpoint, course
from tests.tiny import BOTH, grows_loud, tiny_model, tiny_recipe

TRAINING = {"clips": 64, "batch": 8, "warmup": 8, "checkpoint": 32, "preview": 64, "learning_rate": 1e-3}


def recipe_of(model, **changes) -> DistillRecipe:
    document = {"mediadiff": 1, "task": "distill", "name": "quick", "model": str(model), "training": TRAINING}
    recipe = from_dict(document | changes)
    assert isinstance(recipe, DistillRecipe)
    return recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings of two labels."""
    root = tmp_path_factory.mktemp("media")
    for label, pitch in (("a", 200), ("b", 900)):
        (root / label).mkdir()
        for take in range(14):
            loud = numpy_generator(label, take).uniform(0.2, 0.6)
            sound = loud * np.sin(2 * np.pi * pitch * (1 + 0.03 * take) * np.arange(2048) / 4000)
            Clip.from_numpy(sound, 4000).save(root / label / f"{take}.wav")
    return root


@pytest.fixture(scope="module")
def teacher(folder, tmp_path_factory):
    """A model of random weights whose data are the recordings, guided at low levels."""
    data = {"folder": str(folder), "label": "folder", "test": {"fraction": 0.3}}
    sampling = {"guidance": 2.0, "guidance_high": 10.0}
    path = tmp_path_factory.mktemp("teacher") / "tiny"
    tiny_model(path, data=data, sampling=sampling)
    # A model that is handed on says only the name of its maker's folder.
    document = json.loads((path / "model.json").read_text())
    document["recipe"]["data"]["folder"] = str(folder)
    (path / "model.json").write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def unbroken(teacher, tmp_path_factory):
    events = []
    out = distill(recipe_of(teacher), tmp_path_factory.mktemp("out") / "run", report=events.append)
    return out, events


def weights(out):
    return load_tensors(out / "model.safetensors", json.loads((out / "model.json").read_text())["sha256"]["model"])


def test_a_student_is_a_model_like_any_other(unbroken, teacher, tmp_path):
    out, events = unbroken
    model, source = load(out), load(teacher)
    assert (model.name, model.labels, model.standards) == ("quick", source.labels, source.standards)
    own = model.recipe.sampling
    assert (own.sampler, own.steps, own.sigma_min, own.guidance, own.batch) == ("lcm", 2, 3.0, 1.0, 4)
    assert (model.recipe.network, model.recipe.diffusion) == (source.recipe.network, source.recipe.diffusion)
    document = json.loads((out / "model.json").read_text())
    assert document["trained"]["teacher"] == {
        "name": "tiny", "sha256": source.sha256, "guidance": 2.0, "guidance_low": 0.0, "guidance_high": 10.0,
        "autoguidance": 1.0, "synchrony": 1.0, "sigma_min": 0.004,
    }  # fmt: skip
    assert document["trained"]["consistency"]["stages"] == 1 and set(document["sha256"]) == {"model"}
    before, after = load_tensors(teacher / "model.safetensors", source.sha256), weights(out)
    assert before.keys() == after.keys() and any(not torch.equal(before[n], after[n]) for n in before)
    assert {"data", "network", "start", "step", "end", "levels"} <= {event["event"] for event in events}
    assert len(list((out / "previews").glob("*/*.wav"))) == 8
    said = f"- **Student of** `tiny`, whose weights have the sha256 `{source.sha256}`; with guidance 2."
    assert said in card(model, 1, 1.0, "bfloat16")
    for more, words in (
        ({"synchrony": 2.5}, "; with guidance 2, synchrony 2.5."),
        ({"guidance": 1.0}, f"{source.sha256}`."),
    ):
        trained = model.trained | {"teacher": model.trained["teacher"] | more}
        assert words in card(replace(model, trained=trained), 1, 1.0, "bfloat16")
    made = build.render(model, tmp_path / "clips", num=2, label="a")
    assert (made["done"], made["failed"]) == (2, 0)
    assert cli.main(["replay", str(tmp_path / "clips" / "a-000000.wav"), "--model", str(out)]) == 0


class Stop(Exception):
    pass


def test_stopped_and_resumed_it_ends_with_the_same_weights(unbroken, teacher, tmp_path):
    def report(event):
        if event["event"] == "step" and event["clips"] >= 40:
            raise Stop

    with pytest.raises(Stop):
        distill(recipe_of(teacher), tmp_path / "run", report=report)
    with pytest.raises(UsageError, match="holds a training already"):
        distill(recipe_of(teacher), tmp_path / "run")
    with pytest.raises(UsageError, match="another recipe .teacher differ"):
        distill(recipe_of(teacher, guidance=3.0), tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="another recipe .consistency differ"):
        distill(recipe_of(teacher, consistency={"q": 3.0}), tmp_path / "run", resume=True)
    # What was not there before may not come, either.
    with pytest.raises(UsageError, match="another recipe .start differ"):
        distill(recipe_of(teacher, start=str(teacher)), tmp_path / "run", resume=True)
    distill(recipe_of(teacher), tmp_path / "run", resume=True)
    one, other = weights(tmp_path / "run"), weights(unbroken[0])
    assert one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


MATCHING = {"part": 0.5, "mean": 0.0, "mix": {"together": 2.0, "stretch": 1.0}}


def test_a_student_that_matches_its_teacher_goes_on_from_another(unbroken, teacher, tmp_path):
    recipe = recipe_of(teacher, start=str(unbroken[0]), matching=MATCHING)
    assert from_dict(recipe.to_dict()) == recipe

    def report(event):
        if event["event"] == "step" and event["clips"] >= 40:
            raise Stop

    with pytest.raises(Stop):
        distill(recipe, tmp_path / "stopped", report=report)
    with pytest.raises(UsageError, match="another recipe .matching, start differ"):
        distill(
            recipe_of(teacher, start=str(teacher), matching=MATCHING | {"hold": 2.0}), tmp_path / "stopped", resume=True
        )
    # The critic, and how its optimiser moved, are in the checkpoint.
    distill(recipe, tmp_path / "stopped", resume=True)
    distill(recipe, tmp_path / "run")
    one, other = weights(tmp_path / "stopped"), weights(tmp_path / "run")
    assert all(torch.equal(one[n], other[n]) for n in one)
    before = weights(unbroken[0])
    assert any(not torch.equal(one[n], before[n]) for n in one)
    model = load(tmp_path / "run")
    trained = model.trained
    assert "- **Went on from** `quick`, whose weights have the sha256" in card(model, 1, 1.0, "bfloat16")
    assert trained["start"] == {"name": "quick", "sha256": load(unbroken[0]).sha256}
    assert trained["matching"]["mix"]["stretch"] == 1.0 and "consistency" not in trained
    assert trained["teacher"]["guidance"] == 2.0


def test_a_student_that_matches_starts_as_asked_and_its_critic_as_the_teacher(unbroken, teacher):
    model, start = load(teacher), load(unbroken[0])
    recipe = recipe_of(teacher, steps=3, sigma_min=2.0, start=str(unbroken[0]), matching=MATCHING)
    student = student_of(recipe, model.recipe)
    trainer = new_trainer(recipe, student, model, model.recipe.sampling, start)
    for denoiser, tensors in ((trainer.denoiser, weights(unbroken[0])), (trainer.critic.module, weights(teacher))):
        assert all(torch.equal(value, tensors[n].float()) for n, value in denoiser.state_dict().items())
    (walk,) = trainer.objective.walks.values()
    assert len(walk) == 3 and (float(walk[0]), float(walk[-1])) == pytest.approx((80, 2.0))
    assert trainer.diffusion.mean == 0.0 and trainer.diffusion.mix == MixSettings(together=2.0, stretch=1.0)


def test_the_critic_comes_back_with_the_student(unbroken, teacher, tmp_path):
    model, start = load(teacher), load(unbroken[0])
    recipe = recipe_of(teacher, start=str(unbroken[0]), matching=MATCHING)
    student = student_of(recipe, model.recipe)
    trainer = new_trainer(recipe, student, model, model.recipe.sampling, start)
    encoded = build.encode(student, lambda event: None)
    batches = [build._batch(encoded, student, i) for i in range(3)]

    def state():
        """Of the critic and its optimiser, in copies."""
        parts = {"weights": dict(trainer.critic.module.state_dict()), "optimizer": trainer.critic.state()}
        return {f"{part}.{n}": value.clone() for part, tensors in parts.items() for n, value in tensors.items()}

    fresh = state()
    trainer.step(batches[0])
    checkpoint.save(tmp_path, trainer)
    saved = state()
    trainer.step(batches[1])
    trainer.step(batches[2])
    later = state()
    assert checkpoint.load_last(tmp_path, trainer) == [] and trainer.clips == 8
    back = state()
    assert back.keys() == saved.keys() and all(torch.equal(back[n], saved[n]) for n in saved)
    for other in fresh, later:
        assert any(not torch.equal(other[n], saved[n]) for n in saved if n.startswith("weights."))


def test_a_student_starts_from_one_of_the_same_kind_only(teacher, tmp_path):
    other = tiny_model(tmp_path / "other", labels=("a", "c"))
    with pytest.raises(
        UsageError, match="start: .*other is no student of .*tiny: it has another network, other labels"
    ):
        distill(recipe_of(teacher, start=str(other.folder)), tmp_path / "run")
    # The iterations that find a sound's phase are no part of what a student has learned.
    longer = export(teacher, tmp_path / "longer", ["streams.sound.iterations=9"]).folder
    assert load(longer).recipe.streams != load(teacher).recipe.streams
    distill(recipe_of(teacher, start=str(longer), matching={}, training=TRAINING | {"clips": 8}), tmp_path / "longer-2")
    with pytest.raises(RecipeError, match="matching: goes on from a student: name one that was tuned by consistency"):
        recipe_of(teacher, matching={})
    with pytest.raises(RecipeError, match="consistency: and matching are two ways to tune a student; leave one"):
        recipe_of(teacher, start=str(other.folder), consistency={"q": 3.0}, matching={})
    assert not (tmp_path / "run").exists()


def test_a_student_that_breaks_is_rolled_back_and_stopped(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(course, "SPAN", 4)
    grows_loud(monkeypatch, 20)
    events = []
    with pytest.raises(TrainingError, match=r"the loss had risen from 0\.\d+ to .* also at half the learning rate"):
        distill(recipe_of(teacher, training=TRAINING | {"clips": 4000}), tmp_path / "run", report=events.append)
    (back,) = [e for e in events if e["event"] == "warning"]
    assert "rolled back to" in back["text"] and back["clips"] <= 160


def test_a_student_starts_as_its_teacher_and_learns_at_its_own_levels(teacher):
    model = load(teacher)
    mix = {"together": 2.0, "apart": 3.0}
    recipe = recipe_of(teacher, consistency={"mean": -1.0, "mix": mix})
    trainer = new_trainer(recipe, student_of(recipe, model.recipe), model, model.recipe.sampling)
    own = model.generator.denoiser.state_dict()
    assert all(torch.equal(value, own[n].float()) for n, value in trainer.denoiser.state_dict().items())
    assert all(p.dtype == torch.float32 for p in trainer.optimizer.parameters)
    assert (trainer.diffusion.mean, trainer.diffusion.std) == (-1.0, model.recipe.diffusion.std)
    assert trainer.diffusion.mix == MixSettings(**mix) != model.recipe.diffusion.mix
    plain = new_trainer(recipe_of(teacher), student_of(recipe, model.recipe), model, model.recipe.sampling)
    assert plain.diffusion == model.recipe.diffusion


def test_levels_of_a_schedule_have_no_mean_to_be_set(tmp_path):
    model = tiny_model(tmp_path / "tiny", diffusion={"levels": "ddpm_cosine"})
    for changes, refused in ({}, False), ({"mean": 1.0}, True), ({"std": 1.0}, True):
        recipe = recipe_of(tmp_path / "tiny", consistency=changes)
        asked = recipe, student_of(recipe, model.recipe), model, model.recipe.sampling
        if refused:
            with pytest.raises(UsageError, match="tiny learned at those of ddpm_cosine: leave them out"):
                new_trainer(*asked)
        else:
            assert new_trainer(*asked).diffusion.levels == "ddpm_cosine"
    tiny = str(tmp_path / "tiny")
    for changes in {"mean": 1.0}, {"std": 1.0}:
        recipe = recipe_of(tiny, start=tiny, matching=changes)
        with pytest.raises(UsageError, match="matching.mean and matching.std are of levels edm or flow, and tiny"):
            new_trainer(recipe, student_of(recipe, model.recipe), model, model.recipe.sampling, model)


def test_each_stream_of_a_student_may_have_its_own_last_level(tmp_path):
    own = tiny_model(tmp_path / "both", streams=BOTH).recipe
    low = {"sound": 40.0, "picture": 10.0}
    assert student_of(recipe_of("both", sigma_min=low), own).sampling.sigma_min == low
    with pytest.raises(RecipeError, match=r"sampling\.sigma_min\.film"):
        student_of(recipe_of("both", sigma_min={"film": 40.0}), own)
    with pytest.raises(RecipeError, match=r"sigma_min.sound: takes less than 80; got 80"):
        recipe_of("both", sigma_min={"sound": 80.0})
    with pytest.raises(RecipeError, match="takes one level, or one of each stream; picture has none"):
        student_of(recipe_of("both", sigma_min={"sound": 40.0}), own)


def test_other_data_take_the_place_of_the_teachers(teacher):
    own = load(teacher).recipe
    assert student_of(recipe_of(teacher, data={"mirror": True, "label": ""}), own).data.label == ""
    balls = student_of(recipe_of(teacher, data={"bounce": {"clips": 30}}), own).data
    assert (balls.folder, balls.label, balls.bounce) == (None, "", BounceSettings(clips=30))
    folder = {"folder": "x", "label": "folder"}
    back = student_of(recipe_of(teacher, data=folder), tiny_recipe(data={"folder": None, "label": "", "bounce": {}}))
    assert (back.data.folder, back.data.bounce) == ("x", None)


def test_what_a_teacher_cannot_teach_is_refused_or_said(teacher, folder, tmp_path):
    with pytest.raises(UsageError, match=r"its teacher's labels \(a, b\), and these data have a: take the data"):
        distill(recipe_of(teacher, data={"include": ["a"]}), tmp_path / "one")
    with pytest.raises(UsageError, match=r"does not exist(.|\n)*data.folder="):
        distill(recipe_of(teacher, data={"folder": str(tmp_path / "gone")}), tmp_path / "two")
    with pytest.raises(RecipeError, match="sampling.guidance.picture: unknown; known: sound"):
        distill(recipe_of(teacher, guidance={"picture": 2.0}), tmp_path / "three")
    with pytest.raises(UsageError, match="no early snapshot for autoguidance: leave autoguidance at 1"):
        distill(recipe_of(teacher, autoguidance=2.0), tmp_path / "four")
    with pytest.raises(UsageError, match="tiny makes sound alone: leave synchrony out"):
        distill(recipe_of(teacher, synchrony=2.0), tmp_path / "four")
    assert not (tmp_path / "four").exists()


def test_a_teacher_teaches_as_it_is_sampled(tmp_path):
    own = {"guidance": {"sound": 3.0}, "guidance_high": 10.0}
    model = tiny_model(tmp_path / "both", BOTH, ("1", "2"), snapshot=True, sampling=own)
    teacher = model.generator
    condition = Condition.of(torch.tensor([0, 1]), ["", ""], None)
    x = {n: 5 * normal((2, *domain.shape(model.seconds)), n) for n, domain in teacher.domains.items()}
    for sigma in (5.0, 20.0):
        t = {n: torch.full((2, v.shape[2]), sigma) for n, v in x.items()}
        strong, blind, alone = (
            teacher.denoiser(x, t, condition),
            teacher.denoiser(x, t, condition.hidden(torch.ones(2, dtype=torch.bool))),
            {n: teacher.denoiser({n: x[n]}, {n: t[n]}, condition)[n] for n in x},
        )
        weak = teacher.weak(x, t, condition)
        found = as_sampled(teacher, model.sampling(synchrony=2.5, autoguidance=1.5))(x, t, condition)
        for n in x:
            expected = strong[n]
            if sigma <= 10:
                expected = expected + 2.0 * (strong[n] - blind[n]) * (n == "sound") + 1.5 * (strong[n] - alone[n])
                expected = expected + 0.5 * (strong[n] - weak[n])
            torch.testing.assert_close(found[n], expected)
            assert not torch.allclose(strong[n], alone[n]) and not torch.allclose(strong[n], blind[n])
            assert not torch.allclose(strong[n], weak[n])


def test_sound_and_picture_are_distilled_together_and_do_every_task(tmp_path):
    mix = {"mix": {"together": 1, "apart": 1, "across": 1, "stretch": 1}}
    bounce = {"folder": None, "label": "", "bounce": {"clips": 20}}
    teacher = tiny_model(tmp_path / "teacher", BOTH, ("1", "2"), data=bounce, diffusion=mix, sampling={"guidance": 2.0})
    recipe = recipe_of(teacher.folder, steps=1, training={**TRAINING, "clips": 16, "batch": 4})
    events = []
    model = load(distill(recipe, tmp_path / "run", report=events.append))
    steps = [e for e in events if e["event"] == "step"]
    assert all(np.isfinite([e["loss"], e["gradient"]]).all() and e["loss"] > 0 for e in steps)
    clip = next(model.render(label="1"))
    clip.save(tmp_path / "given.mkv")
    for task in ({"given_video": "given.mkv"}, {"given": "given.mkv", "keep": "0:0.2s"}, {"loop": True}):
        task = {n: str(tmp_path / v) if v == "given.mkv" else v for n, v in task.items()}
        other = next(model.render(label="1", **task))
        assert other.sound.samples.shape[1] and other.picture.frames.shape == clip.picture.frames.shape


@pytest.mark.parametrize("steps, alone", [(1, 0.0), (2, 0.9)])
def test_sound_and_picture_match_together_and_each_alone(steps, alone, tmp_path):
    bounce = {"folder": None, "label": "", "bounce": {"clips": 20}}
    teacher = tiny_model(tmp_path / "teacher", BOTH, ("1", "2"), data=bounce, sampling={"guidance": 2.0})
    mix = {"together": 1, "across": 1, "stretch": 1, "alone": alone}
    recipe = recipe_of(teacher.folder, start=str(teacher.folder), steps=steps, matching={"part": 1.0, "mix": mix})
    student = student_of(recipe, teacher.recipe)
    trainer = new_trainer(recipe, student, teacher, teacher.recipe.sampling, teacher)
    assert {n: len(walk) for n, walk in trainer.objective.walks.items()} == {"sound": steps, "picture": steps}
    encoded = build.encode(student, lambda event: None)
    asked = []
    forward = trainer.denoiser.network.forward

    def noted(x, *others):
        asked.append(tuple(x))
        return forward(x, *others)

    trainer.denoiser.network.forward = noted
    batch = build._batch(encoded, student, 0)
    before = {n: w.clone() for n, w in trainer.denoiser.state_dict().items()}
    assert trainer.step(batch).finite
    after = trainer.denoiser.state_dict()
    assert any(not torch.equal(after[n], before[n]) for n in before if n.startswith("network.streams.sound"))
    assert any(not torch.equal(after[n], before[n]) for n in before if n.startswith("network.streams.picture"))
    assert set(asked) == ({("sound",), ("picture",)} if alone else {("sound", "picture")})
    # A clip may lack a stream: what is there is learnt, and nothing is made of what is not.
    asked.clear()
    batch.present["picture"][:] = False
    assert trainer.step(batch).finite and set(asked) == {("sound",)}


def test_models_are_compared_at_equal_evaluations(unbroken, teacher, folder, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "Settings", lambda steps, seed: Settings(5, width=4, seed=seed))
    asked = [str(unbroken[0]), f"{teacher}:steps=2,sampler=unipc", str(teacher)]
    how = ["--data", str(folder), "--num", "6"]
    assert cli.main(["compare", *asked, *how, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [one["asked"] for one in found["rivals"]] == asked
    # Guided below 10: unipc's second step, and the last two of three.
    assert [one["evaluations"] for one in found["rivals"]] == [2, 3, 5]
    assert [one["sampling"]["sampler"] for one in found["rivals"]] == ["lcm", "unipc", "dpmpp_2m"]
    assert all(one["seconds_per_clip"] > 0 and one["evaluation"]["rendered"] == 6 for one in found["rivals"])
    assert cli.main(["compare", asked[0], *how]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sound", "clips", "recognised", "precision", "recall", "discrepancy"] in lines
    assert any(line[:2] == [asked[0], "lcm"] for line in lines) and any(line[:2] == ["real", "test"] for line in lines)
    for wrong, said in (
        (f"{teacher}:steps=0", "sampling.steps: takes at least 1"),
        (f"{teacher}:steps=2,x", "key=value"),
        (f"{teacher}:sigma_min={{sound: 3, picture: 4}},steps=2", "sampling.sigma_min.picture: unknown; known: sound"),
        (f"{teacher}:autoguidance=2", "has no early snapshot for autoguidance: leave autoguidance at 1"),
    ):
        # Before anything is rendered with the first.
        assert cli.main(["compare", str(teacher), wrong, *how]) == 1
        told = capsys.readouterr()
        assert said in told.err and "rendering" not in told.err + told.out
    assert cli.main(["compare", str(teacher), "--data", str(folder), "--num", "1"]) == 1
    assert "needs two clips or more; got --num 1" in capsys.readouterr().err


def test_models_of_other_data_are_compared_with_their_own_real_clips(teacher, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "Settings", lambda steps, seed: Settings(5, width=4, seed=seed))
    other = tmp_path / "other"
    tiny_model(other, data={"folder": str(folder), "label": "folder", "test": {"last": 0.5}})
    document = json.loads((other / "model.json").read_text())
    document["recipe"]["data"]["folder"] = str(folder)
    (other / "model.json").write_text(json.dumps(document))
    few = f"{teacher}:steps=2"
    assert cli.main(["compare", str(teacher), few, str(other), "--num", "6"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = lines[lines.index(["sound", "clips", "recognised", "precision", "recall", "discrepancy"]) + 1 :]
    assert [row[0] for row in table[:-1]] == ["real", str(teacher), few, "real", str(other)]
    assert " ".join(table[-1]).startswith("Each group is measured by a classifier of its own")


def test_the_recipe_is_checked_like_any_other(tmp_path, monkeypatch):
    (tmp_path / "words").mkdir()
    monkeypatch.setenv("WORDS", str(tmp_path / "words"))
    path = tmp_path / "distill.yaml"
    text = "mediadiff: 1\ntask: distill\nname: quick\nmodel: digits\nsteps: 4\ndata: {folder: $WORDS}\n"
    path.write_text(text)
    recipe = load_recipe(path, ("sigma_min=1.5", "training.clips=2000"))
    assert isinstance(recipe, DistillRecipe)
    assert (recipe.model, recipe.steps, recipe.sigma_min, recipe.training.clips) == ("digits", 4, 1.5, 2000)
    assert recipe.data == {"folder": str(tmp_path / "words")} and recipe.to_dict()["data"] == {"folder": "$WORDS"}
    assert from_dict(recipe.to_dict()).data == {"folder": "$WORDS"}
    assert student_of(recipe, load("digits").recipe).to_dict()["data"]["folder"] == "$WORDS"
    for wrong, said in (
        (text + "sigma_min: 90\n", "line 7, column 12: sigma_min: takes less than 80; got 90"),
        (text.replace("folder:", "foldr:"), "line 6, column 8: data.foldr: unknown;"),
        (text.replace("quick", "a/b"), "line 3, column 7: name: takes letters, digits"),
        (text + "streams: {}\n", "line 7, column 1: streams: unknown; known: name, model, start, steps, sigma_min,"),
        (
            text + "training: {clips: 9, warmup: 10}\n",
            "training.warmup: takes at most the clips of the training (9); got 10",
        ),
        (text + "consistency: {q: 1}\n", "line 7, column 18: consistency.q: takes more than 1; got 1"),
    ):
        path.write_text(wrong)
        with pytest.raises(RecipeError) as raised:
            load_recipe(path)
        assert said in str(raised.value)
    properties = json_schema()["$defs"]["DistillRecipe"]["properties"]
    assert properties["task"]["const"] == "distill" and properties["data"] == {"$ref": "#/$defs/DataSettings"}


def test_commands_say_which_recipe_they_take(tmp_path, capsys):
    (tmp_path / "d.yaml").write_text("mediadiff: 1\ntask: distill\nname: quick\nmodel: digits\n")
    (tmp_path / "r.yaml").write_text("mediadiff: 1\ntask: render\nmodel: digits\n")
    for command, file, said in (
        ("train", "d", "is a recipe for distilling; use it with: mediadiff distill"),
        ("distill", "r", "is a recipe for rendering; use it with: mediadiff render"),
    ):
        assert cli.main([command, str(tmp_path / f"{file}.yaml")]) == 1
        assert said in capsys.readouterr().err
    (tmp_path / "gone.yaml").write_text("mediadiff: 1\ntask: distill\nname: quick\nmodel: digtis\n")
    assert cli.main(["distill", str(tmp_path / "gone.yaml"), "--out", str(Path(tmp_path / "out"))]) == 1
    assert "digtis: no model there" in capsys.readouterr().err and not (tmp_path / "out").exists()
