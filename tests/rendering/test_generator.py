"""The same clip has the same bytes: alone, in any batch, in any order."""

from fractions import Fraction

import numpy as np
import pytest

from mediadiff.errors import MediadiffError, UsageError
from tests.tiny import PICTURE, SOUND, tiny_model


def values(clip):
    return (clip.sound or clip.picture).__dict__["samples" if clip.sound else "frames"]


@pytest.fixture(scope="module", params=[SOUND, PICTURE], ids=["sound", "picture"])
def model(request, tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"), request.param, snapshot=True)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_a"])
def test_same_bytes_alone_in_a_batch_of_3_or_8_and_in_any_order(model, sampler):
    eight = list(model.render(num=8, label="a", sampler=sampler, guidance=2.0))
    three = list(model.render(num=3, label="a", sampler=sampler, guidance=2.0, first=2))
    for index, clip in enumerate(three, start=2):
        assert np.array_equal(values(clip), values(eight[index]))
    alone = next(model.render(num=1, label="a", sampler=sampler, guidance=2.0, first=5))
    assert np.array_equal(values(alone), values(eight[5]))
    requests = model.requests(num=8, label="a")[::-1]
    sampling = model.sampling(sampler=sampler, guidance=2.0)
    backwards = list(model.generator.render(requests, model.seconds, sampling))
    assert all(np.array_equal(values(a), values(b)) for a, b in zip(backwards, eight[::-1], strict=True))
    mixed = list(model.render(num=8, label=["a", "b"], sampler=sampler, guidance=2.0))
    assert all(np.array_equal(values(mixed[i]), values(eight[i])) for i in (0, 2, 4, 6))


def test_seed_index_label_guidance_and_snapshot_all_matter(model):
    def one(**kinds):
        return values(next(model.render(**{"label": "a", **kinds})))

    plain = one()
    others = [one(seed=1), one(first=1), one(label="b"), one(label=None), one(guidance=3.0), one(autoguidance=2.0)]
    assert all(not np.array_equal(plain, other) for other in others)
    assert np.array_equal(plain, one())
    # Nothing is asked for, so there is nothing to guide towards.
    assert np.array_equal(one(label=None), one(label=None, guidance=3.0))


@pytest.mark.parametrize("seconds", [0.3, Fraction(1, 2), 1.0])
def test_any_length_is_cut_to_the_sample_and_the_frame(model, seconds):
    clip = next(model.render(seconds=seconds))
    rate = clip.sound.sample_rate if clip.sound else clip.picture.rate
    count = values(clip).shape[-1] if clip.sound else len(values(clip))
    assert count == round(Fraction(seconds).limit_denominator(10**6) * rate)


def test_what_the_model_cannot_do_is_refused_with_what_it_can(model):
    for kinds, said in [
        ({"label": "c"}, "has no label 'c'; it has: a, b"),
        ({"num": 0}, "num is the number of clips"),
        ({"seconds": -1}, "seconds is above 0"),
        ({"seed": -1}, "seed and first are 0 or more"),
        ({"caption": "rain"}, "was not trained with captions"),
        ({"scalars": {"speed": 1.0}}, "has no number 'speed'"),
        ({"steps": 0}, "steps"),
        ({"sampler": "eular"}, "euler"),
    ]:
        with pytest.raises(MediadiffError, match=said):
            next(model.render(**kinds))


def test_autoguidance_needs_a_snapshot(tmp_path):
    with pytest.raises(UsageError, match="no early snapshot"):
        next(tiny_model(tmp_path).render(autoguidance=2.0))
