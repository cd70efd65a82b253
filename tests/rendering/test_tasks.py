"""Every task from one model: what is given comes back untouched, and what is made depends on it."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mediadiff import build
from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import MediadiffError, MediaError, UsageError
from mediadiff.io.files import sha256
from mediadiff.io.read import read
from mediadiff.rendering import manifest
from mediadiff.rendering.given import FEATHER
from mediadiff.rng import numpy_generator
from tests.tiny import BOTH, PICTURE, SOUND, tiny_model

SECONDS = Fraction(64, 125)
RATE, FRAMES = 4000, Fraction(125, 16)


def noisy(seconds=SECONDS, rate=RATE, frame_rate=FRAMES, size=(16, 16), key=0, channels=1):
    """A clip of whole 24-bit samples and lively frames."""
    random = numpy_generator("given", key)
    samples = np.rint(random.normal(0, 0.1, (channels, round(seconds * rate))) * 2**23) / 2**23
    frames = random.integers(0, 256, (round(seconds * frame_rate), *size, 3), dtype=np.uint8)
    return Clip(Sound(samples.astype(np.float32), rate), Picture(frames, Fraction(frame_rate)))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"), BOTH)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return noisy().save(tmp_path_factory.mktemp("given") / "film.mkv")


def one(model, **asked):
    return next(model.render(**asked))


def same(a, b):
    return np.array_equal(a.sound.samples, b.sound.samples) and np.array_equal(a.picture.frames, b.picture.frames)


@pytest.mark.parametrize(
    ("key", "kept", "made"), [("given_video", "picture", "sound"), ("given_audio", "sound", "picture")]
)
def test_a_stream_given_whole_comes_back_as_it_is_and_the_other_is_made_for_it(model, film, tmp_path, key, kept, made):
    source, plain = noisy(), one(model)
    other = noisy(key=1).save(tmp_path / "other.mkv")
    clip, different = one(model, **{key: film}), one(model, **{key: other})

    def values(clip, name):
        return clip.sound.samples if name == "sound" else clip.picture.frames

    assert np.array_equal(values(clip, kept), values(source, kept))
    assert values(clip, made).shape == values(plain, made).shape
    assert not np.array_equal(values(clip, made), values(plain, made))
    assert not np.array_equal(values(clip, made), values(different, made))


def test_a_whole_stream_of_another_size_and_rate_comes_back_as_the_file_has_it(model, tmp_path):
    source = noisy(Fraction(1), 6000, Fraction(25), (20, 30), channels=2)
    path = source.save(tmp_path / "wide.mkv")
    seen = one(model, given_video=path)
    assert np.array_equal(seen.picture.frames, source.picture.frames[:13]) and seen.picture.rate == 25
    assert seen.sound.samples.shape == (1, 2048)
    heard = one(model, given_audio=path)
    assert np.array_equal(heard.sound.samples, source.sound.samples[:, :3072]) and heard.sound.sample_rate == 6000
    assert heard.picture.frames.shape == (4, 16, 16, 3)


def test_a_still_is_held_as_long_as_the_clip(model, tmp_path):
    still = Picture(noisy(size=(20, 30)).picture.frames[:1], Fraction(1))
    clip = one(model, given_video=Clip(picture=still).save(tmp_path / "still.png"))
    assert clip.picture.rate == FRAMES and len(clip.picture.frames) == 4
    assert all(np.array_equal(frame, still.frames[0]) for frame in clip.picture.frames)


KEPT = {
    "continue": (["0:0.256s"], [(0, 1024)], [0, 1]),
    "lead in": (["0.256:"], [(1024, 2048)], [2, 3]),
    "join": (["0:0.15s", "0.4:0.512s"], [(0, 600), (1600, 2048)], [0]),
    "repair": (["0:0.128s", "0.256:"], [(0, 512), (1024, 2048)], [0, 2, 3]),
    "sound alone": (["sound=0:0.256s"], [(0, 1024)], []),
    "each its own": (["sound=0:0.2s", "picture=0.1:0.4s"], [(0, 800)], [1, 2]),
}


@pytest.mark.parametrize(("keep", "samples", "frames"), KEPT.values(), ids=KEPT)
def test_what_is_kept_is_bit_for_bit_the_source_and_the_rest_is_made(model, film, keep, samples, frames):
    source, clip, other = noisy(), one(model, given=film, keep=keep), one(model, given=film, keep=keep, seed=1)
    feather = round(FEATHER * RATE)
    same_samples = (clip.sound.samples == source.sound.samples)[0]
    for low, high in samples:
        inner = slice(low + feather * (low > 0), high - feather * (high < 2048))
        assert same_samples[inner].all()
    outside = np.ones(2048, bool)
    for low, high in samples:
        outside[low:high] = False
    assert same_samples[outside].mean() < 0.01
    assert not np.array_equal(clip.sound.samples[:, outside], other.sound.samples[:, outside])
    kept = [k for k in range(4) if np.array_equal(clip.picture.frames[k], source.picture.frames[k])]
    assert kept == frames


def test_what_is_not_kept_does_not_matter(model, film, tmp_path):
    changed = noisy()
    changed.sound.samples[:, 1024:] = 0
    changed.picture.frames[2:] = 0
    clip = one(model, given=film, keep="0:0.256s")
    assert same(clip, one(model, given=changed.save(tmp_path / "half.mkv"), keep="0:0.256s"))
    changed.sound.samples[:, :100] = 0
    assert not same(clip, one(model, given=changed.save(tmp_path / "other.mkv"), keep="0:0.256s"))


def test_the_feather_rises_evenly_from_made_to_kept(model, film):
    source, clip = noisy().sound.samples[0], one(model, given=film, keep="0:0.256s").sound.samples[0]
    feather = round(FEATHER * RATE)
    assert np.array_equal(clip[: 1024 - feather], source[: 1024 - feather])
    assert not (clip[1024 - feather : 1024] == source[1024 - feather : 1024]).any()
    differences = np.abs(clip - source)[1024 - feather : 1024]
    assert differences[:10].max() < 0.05 * np.abs(clip - source)[1024:].max()


TASKS = {
    "video": {"given_video": "FILM"},
    "audio": {"given_audio": "FILM"},
    "keep": {"given": "FILM", "keep": "0:0.256s"},
    "vary": {"from": "FILM", "strength": 0.5},
    "loop": {"loop": True},
    "timeline": {"timeline": [{"at": 0, "label": "a"}, {"at": 0.4, "label": "b", "guidance": 3.0}]},
}


def task_of(name, film):
    return {key: str(film) if value == "FILM" else value for key, value in TASKS[name].items()}


@pytest.mark.parametrize("name", TASKS)
def test_same_bytes_alone_and_in_a_batch(model, film, name):
    sampling = model.sampling(guidance=2.0)
    requests = model.requests(5, ["a", "b"], task=task_of(name, film))
    clips = list(model.generator.render(requests, model.seconds, sampling))
    for index in (0, 3, 4):
        assert same(clips[index], next(model.generator.render([requests[index]], model.seconds, sampling)))
    assert not same(clips[0], clips[2])


def test_other_files_in_the_batch_do_not_matter(model, film, tmp_path):
    sampling = model.sampling()
    other = noisy(key=1).save(tmp_path / "other.mkv")
    first = model.requests(2, task={"given": film, "keep": "sound=0:0.256s"})
    second = model.requests(2, first=2, task={"given_video": other})
    mixed = list(model.generator.render([first[0], second[0], first[1], second[1]], model.seconds, sampling))
    alone = [next(model.generator.render([r], model.seconds, sampling)) for r in (*first, *second)]
    assert all(same(a, b) for a, b in zip(mixed, [alone[0], alone[2], alone[1], alone[3]], strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_an_order_is_plain_data_and_comes_back(model, film, tmp_path, name):
    made = build.render(model, tmp_path, num=2, label="a", task=task_of(name, film), format="mkv")
    assert made["failed"] == 0
    (row, _), _ = manifest.read(tmp_path)
    assert str(film.parent) not in json.dumps(row)
    asked = json.loads(json.dumps(row["recipe"]))
    order = model.order(asked, {sha256(film): str(film)})
    assert order.to_dict() == row["recipe"]
    clip = next(model.generator.attempts([order.request], order.seconds, order.sampling))
    assert manifest.samples_sha256(read(clip.save(tmp_path / "again.mkv"))) == row["samples_sha256"]


def test_ids_follow_what_a_file_holds_not_where_it_lies(model, film, tmp_path):
    (tmp_path / "else").mkdir()
    moved = tmp_path / "else" / film.name
    moved.write_bytes(film.read_bytes())
    orders = [model.requests(1, task={"given_video": path})[0] for path in (film, moved)]
    assert orders[0] == orders[1] and orders[0].to_dict() == orders[1].to_dict()
    assert orders[0].files != orders[1].files


def test_a_task_never_shares_a_micro_batch_with_another(model, film):
    settings = model.sampling()
    orders = {build_order(model, task_of(name, film), settings).shape() for name in TASKS}
    plain = build_order(model, {}, settings)
    # What is given whole and what is given in part are one kind: what is known is known.
    assert len(orders) == len(TASKS) - 2 and plain.shape() not in orders


def build_order(model, task, settings):
    from mediadiff.rendering.request import Order

    return Order(model.requests(1, task=task)[0], model.seconds, settings, "mkv")


def test_files_are_fitted_by_rules_that_are_said(model, tmp_path):
    path = noisy(Fraction(1), 6000, Fraction(25), (20, 30), channels=2).save(tmp_path / "wide.mkv")
    said = []
    build.render(model, tmp_path / "out", task={"given": path, "keep": ":0.3s"}, report=said.append)
    notes = [event["text"] for event in said if event["event"] == "note"]
    assert notes == [
        "wide.mkv: for the model, its sound is resampled from 6000 to 4000 Hz, mixed from 2 to 1 channels, "
        "cut at 0.512 s of 1 s",
        "wide.mkv: for the model, its picture is scaled and cropped from 30x20 to 16x16, "
        "picked by time from 25 to 125/16 frames a second, cut at 0.512 s of 1 s",
    ]


def test_what_cannot_be_is_refused_with_the_reason(model, film, tmp_path):
    voice = Clip(noisy().sound).save(tmp_path / "voice.wav")
    short = noisy(Fraction(32, 125)).save(tmp_path / "short.mkv")
    for task, said in [
        ({"given_video": voice}, "voice.wav.*has no picture"),
        ({"given_video": film, "given_audio": film}, "nothing left to make"),
        ({"given": film}, "say what to keep"),
        ({"keep": "0:1"}, "name it too, with --given"),
        ({"given": film, "keep": "half"}, "seconds from and to, such as 0:0.5s.*got 'half'"),
        ({"given": film, "keep": "0.3:0.2s"}, "to a later one; got 0.3:0.2s"),
        ({"given": film, "keep": "depth=0:1"}, "makes sound and picture; got 'depth'"),
        ({"given": film, "keep": "0:2s"}, "does not lie within the clip, which lasts 0.512 s"),
        ({"given": film, "keep": "0.2:0.21s"}, "shorter than one time step"),
        ({"given": voice, "keep": "picture=0:0.2s"}, "has no picture to keep; it has sound"),
        ({"given_video": film, "given": film, "keep": "picture=0:0.2s"}, "picture is given twice"),
        ({"given_video": short}, "lasts 0.256 s, and 0.512 s of it are needed: .*--seconds 0.256"),
        ({"given": short, "keep": "0:0.5s"}, "lasts 0.256 s, and 0.5 s of it are needed: keep less of it"),
        ({"given_video": tmp_path / "none.mkv"}, "no such file"),
        ({"strength": 0.5}, "name it too, with --from"),
        ({"from": voice}, "has no picture"),
        ({"from": film, "strength": 0.0}, "strength is above 0"),
        ({"from": film, "strength": 1.5}, "strength is from 0 to 1"),
        ({"loop": True, "given_video": film}, "a loop takes no file"),
        ({"given_films": film}, "not asked for by 'given_films'"),
    ]:
        with pytest.raises(MediadiffError, match=said):
            build.render(model, tmp_path / "out", task=task)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("streams", "key", "said"),
    [
        (SOUND, "given_video", "its picture is given, but this model makes sound alone"),
        (SOUND, "given_audio", "makes sound, and all of it is given"),
        (PICTURE, "given_audio", "its sound is given, but this model makes picture alone"),
    ],
)
def test_a_model_without_the_stream_says_so(tmp_path, film, streams, key, said):
    with pytest.raises(UsageError, match=said):
        next(tiny_model(tmp_path, streams).render(**{key: film}))


def test_a_file_that_is_gone_or_changed_costs_its_own_clip(model, film, tmp_path):
    path = noisy(key=1).save(tmp_path / "other.mkv")
    good, changed = (model.requests(1, task={"given_video": p})[0] for p in (film, path))
    noisy(key=2).save(path)
    lost = replace(good, files={})
    clip, first, second = model.generator.attempts([good, changed, lost], model.seconds, model.sampling())
    assert same(clip, one(model, given_video=film))
    assert isinstance(first, MediaError) and "has changed since the clip was asked for" in str(first)
    assert isinstance(second, MediaError) and f"sha256 {sha256(film)[:16]}" in str(second)
