"""What is asked for along time: labels that blend, guidance and strength that change, in every stream at once."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from mediadiff.errors import RecipeError, UsageError
from mediadiff.recipe import from_dict
from mediadiff.rendering import generator as generators
from mediadiff.rendering import timeline
from mediadiff.rendering.request import Moment, Request
from tests.rendering.test_tasks import noisy, same
from tests.tiny import BOTH, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"), BOTH, sampling={"steps": 3, "batch": 2})


def one(model, **asked):
    return next(model.render(**asked))


def test_labels_blend_evenly_between_their_moments_in_every_stream():
    moments = (Moment(Fraction(1), "a"), Moment(Fraction(3, 2)), Moment(Fraction(2), "b"), Moment(Fraction(2), "c"))
    request = Request(0, timeline=moments)
    at = {"sound": np.array([0.0, 1.0, 1.25, 2.0, 9.0]), "picture": np.array([1.5])}
    a, b, c = timeline.shares([request, request], at)
    assert a["sound"].tolist() == 2 * [[1, 1, 0.75, 0, 0]]
    assert a["picture"].tolist() == b["picture"].tolist() == 2 * [[0.5]]
    for stream in at:
        assert torch.equal(a[stream] + b[stream] + c[stream], torch.ones_like(a[stream]))
    assert c["sound"][0].tolist()[-1] == 1
    assert timeline.labels(request) == ["a", "b", "c"]


def test_guidance_and_strength_change_evenly_and_hold_at_the_ends():
    moments = (
        Moment(Fraction(1), guidance=2.0),
        Moment(Fraction(3), "a", guidance=4.0),
        Moment(Fraction(4), strength=0.5),
    )
    request, at = Request(0, strength=0.7, timeline=moments), np.array([0.0, 1.5, 2.0, 5.0])
    assert timeline.guidance(request, at, 9.0).tolist() == [2, 2.5, 3, 4]
    assert timeline.strength(request, at).tolist() == [0.5] * 4
    assert timeline.guidance(Request(0, timeline=moments[2:]), at, 9.0).tolist() == [9] * 4


def test_one_label_all_along_is_that_label(model):
    assert same(one(model, timeline=[{"at": 0, "label": "a"}]), one(model, label="a"))
    along = one(model, label="a", timeline=[{"at": 0.2, "guidance": 3.0}])
    plain = one(model, label="a", guidance=3.0)
    assert same(along, plain) and not same(plain, one(model, label="a"))


def test_a_label_reaches_the_steps_that_it_is_asked_for_in(model, monkeypatch):
    seen, sample = [], generators.sample_task

    def spy(denoise, noise, condition, *rest):
        seen.append(condition)
        return sample(denoise, noise, condition, *rest)

    monkeypatch.setattr(generators, "sample_task", spy)
    one(model, timeline=[{"at": 0.2, "label": "a"}, {"at": 0.712, "label": "b"}], seconds=0.7)
    first, second = (condition.shares[1] for condition in seen)
    assert [c.labels.tolist() for c in seen[0].conditions] == [[0, 0], [1, 1]]
    # The second window begins 0.256 s later: half of what it sees has been seen before.
    assert torch.equal(first["sound"][:, 32:], second["sound"][:, :32])
    assert torch.equal(first["picture"][:, 2:], second["picture"][:, :2])
    expected = np.clip(((np.arange(64) + 0.5) / 125 - 0.2) / 0.512, 0, 1)
    np.testing.assert_allclose(first["sound"][0], expected, atol=1e-6)


def test_where_strength_is_0_a_file_stays_and_where_it_is_higher_it_changes_more(model, tmp_path):
    source = noisy()
    path = source.save(tmp_path / "film.mkv")
    moments = [{"at": 0.256, "strength": 0.0}, {"at": 0.257, "strength": 0.3}, {"at": 0.38, "strength": 0.3}]
    clip = one(model, from_=path, timeline=[*moments, {"at": 0.39, "strength": 0.9}], steps=12)
    assert np.array_equal(clip.picture.frames[:2], source.picture.frames[:2])
    changes = np.abs(clip.picture.frames.astype(int) - source.picture.frames).mean(axis=(1, 2, 3))
    assert 0 < changes[2] < changes[3]
    assert not same(clip, one(model, from_=path, strength=0.9))


def test_the_same_strength_all_along_is_that_strength(model, tmp_path):
    path = noisy().save(tmp_path / "film.mkv")
    along, plain = one(model, from_=path, timeline=[{"at": 0, "strength": 0.5}]), one(model, from_=path, strength=0.5)
    np.testing.assert_allclose(along.sound.samples, plain.sound.samples, atol=1e-5)
    assert np.abs(along.picture.frames.astype(int) - plain.picture.frames).max() <= 1


def test_what_a_timeline_cannot_be_is_refused(model):
    for moments, said in [
        ([{"at": 1, "label": "a"}, {"at": 0, "label": "b"}], "follow each other from 0 s on; got 1, 0"),
        ([{"at": 0, "label": "z"}], "has no label 'z'; it has: a, b"),
        ([{"label": "a"}], "a moment has at"),
        ([{"at": 0, "lable": "a"}], "a moment has at.*got at, lable"),
        ([{"at": 0, "guidance": 21}], "guidance is from 0 to 20; got 21"),
        ([{"at": 0, "strength": 0.5}], "name it too, with --from"),
    ]:
        with pytest.raises(UsageError, match=said):
            one(model, timeline=moments)


def test_a_recipe_says_a_timeline_and_names_its_mistakes():
    document = {"mediadiff": 1, "task": "render", "model": "m"}
    moments = [{"at": 0, "label": "a"}, {"at": 1.0, "label": "b", "guidance": 3}]
    recipe = from_dict(document | {"timeline": moments})
    assert from_dict(recipe.to_dict()) == recipe and recipe.asked["timeline"][1]["guidance"] == 3
    with pytest.raises(
        RecipeError, match=r"timeline\[1\].lable: unknown; known: at, label, guidance, strength; did you mean label"
    ):
        from_dict(document | {"timeline": [moments[0], {"at": 1, "lable": "b"}]})
