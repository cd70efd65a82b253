"""Clips longer than the model's window: the first window is the short clip, every later one is given what it shares."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import torch

from mediadiff import domains
from mediadiff.clip import Clip
from mediadiff.rendering import generator as generators
from mediadiff.rendering.windows import Window, windows
from tests.rendering.test_tasks import noisy, same
from tests.tiny import BOTH, PICTURE, SOUND, tiny_model

WINDOW, STRIDE = Fraction(64, 125), Fraction(32, 125)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"), BOTH, sampling={"steps": 2, "batch": 2})


def of(streams, multiples, seconds, longest):
    found = {n: domains.get(s["domain"])(**{k: v for k, v in s.items() if k != "domain"}) for n, s in streams.items()}
    return windows(found, multiples, seconds, longest)


def test_windows_overlap_by_half_on_the_slowest_clock():
    multiples = {"sound": 4, "picture": 2}
    found = of(BOTH, multiples, Fraction(1), WINDOW)
    assert [w.begin for w in found] == [{"sound": 32 * k, "picture": 2 * k} for k in range(3)]
    assert all(w.steps == {"sound": 64, "picture": 4} for w in found)
    assert [w.done for w in found] == [{"sound": 0, "picture": 0}] + 2 * [{"sound": 32, "picture": 2}]
    assert found[-1].end("sound") >= 125 > found[-2].end("sound")
    assert of(BOTH, multiples, WINDOW, WINDOW) == [Window(0, {"sound": 0, "picture": 0}, found[0].steps, found[0].done)]
    assert len(of(BOTH, multiples, Fraction(1), None)) == 1
    assert len(of(BOTH, multiples, Fraction(3600), WINDOW)) == 14062


def test_clocks_that_do_not_divide_are_never_more_than_half_a_step_apart():
    streams = {"sound": SOUND["sound"], "picture": {**PICTURE["picture"], "frame_rate": 12}}
    found = of(streams, {"sound": 4, "picture": 1}, Fraction(30), Fraction(4, 3))
    assert len(found) == 44
    for window in found:
        assert abs(Fraction(window.begin["sound"], 125) - Fraction(window.begin["picture"], 12)) <= Fraction(1, 250)
    for before, after in zip(found, found[1:], strict=False):
        assert all(after.done[n] == before.end(n) - after.begin[n] for n in streams)


def test_a_still_has_nothing_to_overlap_with():
    assert len(of(PICTURE, {"picture": 1}, Fraction(1), Fraction(1, 8))) == 1


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_a"])
def test_the_first_window_is_the_short_clip_bit_for_bit(model, sampler):
    long, short = (next(model.render(label="a", seconds=s, sampler=sampler)) for s in (1.5, WINDOW))
    assert long.sound.samples.shape == (1, 6000) and len(long.picture.frames) == round(1.5 * 125 / 16)
    assert np.array_equal(long.sound.samples[:, :2048], short.sound.samples)
    assert np.array_equal(long.picture.frames[:4], short.picture.frames)
    # What comes after is new: the streams go on, and do not come around again.
    assert not np.array_equal(long.picture.frames[4:6], long.picture.frames[2:4])
    assert long.sound.samples[:, 2048:].std() > 0


def test_a_longer_clip_begins_as_a_shorter_one(model):
    shorter, longer = (next(model.render(seconds=k * STRIDE)) for k in (4, 7))
    assert np.array_equal(longer.sound.samples[:, :4096], shorter.sound.samples)
    assert np.array_equal(longer.picture.frames[:8], shorter.picture.frames)


def test_every_window_after_the_first_is_given_what_it_shares_exactly(model, monkeypatch):
    seen, sample = [], generators.sample_task

    def spy(denoise, noise, condition, sampling, random, task):
        out = sample(denoise, noise, condition, sampling, random, task)
        seen.append((task, out))
        return out

    monkeypatch.setattr(generators, "sample_task", spy)
    next(model.render(seconds=1.0))
    (first, before), *later = seen
    assert not first.known and len(later) == 2
    for task, out in later:
        for name, done in (("sound", 32), ("picture", 2)):
            assert task.known[name][0].tolist() == [True] * done + [False] * done
            shared = before[name][0, :, -done:]
            assert torch.equal(task.values[name][0, :, :done], shared)
            assert torch.equal(out[name][0, :, :done], shared)
            assert not torch.equal(out[name][0, :, done:], shared)
        before = out


def test_same_bytes_alone_and_in_a_batch(model):
    clips = list(model.render(num=3, label=["a", "b"], seconds=1.0, guidance=2.0))
    for index in (0, 2):
        assert same(clips[index], next(model.render(label=["a", "b"], seconds=1.0, guidance=2.0, first=index)))


def test_a_long_clip_keeps_what_it_is_given_in_every_window(model, tmp_path):
    source = noisy(Fraction(192, 125))
    path = source.save(tmp_path / "long.mkv")
    for_picture = next(model.render(given_video=path, seconds=1.5))
    assert np.array_equal(for_picture.picture.frames, source.picture.frames)
    repaired = next(model.render(given=path, keep=["0:0.3s", "0.9:1.3s"], seconds=1.5))
    equal = (repaired.sound.samples == source.sound.samples[:, :6000])[0]
    assert equal[:1160].all() and equal[3640:5160].all() and equal[1200:3600].mean() < 0.01
    kept = [k for k in range(12) if np.array_equal(repaired.picture.frames[k], source.picture.frames[k])]
    assert kept == [0, 1, 8, 9]
    varied = next(model.render(from_=path, strength=0.5, seconds=1.5))
    assert varied.sound.samples.shape == (1, 6000) and len(varied.picture.frames) == 12


def test_a_window_of_an_odd_number_of_steps_shares_more_than_the_two_before_it_made(tmp_path):
    streams = {
        "sound": {"domain": "stft", "sample_rate": 16000, "n_fft": 512, "hop": 128},
        "picture": {**PICTURE["picture"], "frame_rate": 8},
    }
    network = {"patch": {"sound": [1, 2, 1], "picture": [1, 2, 2]}, "channels": [16, 32]}
    model = tiny_model(tmp_path, streams, seconds=0.384, network=network, sampling={"steps": 1})
    clip = next(model.render(seconds=2.0))
    assert clip.sound.samples.shape == (1, 32000) and len(clip.picture.frames) == 16


def test_nothing_but_the_clip_itself_grows_with_its_length(tmp_path):
    streams = {"picture": {**PICTURE["picture"], "height": 32, "width": 32}}
    model = tiny_model(tmp_path, streams, sampling={"steps": 1, "batch": 1})

    def extra(seconds):
        """The most memory of arrays beyond the clip and its parts, and the clip."""
        tracemalloc.start()
        clip: Clip = next(model.render(seconds=seconds))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak - 2 * clip.picture.frames.nbytes, clip

    next(model.render())
    (short, _), (long, clip) = extra(1.0), extra(12.0)
    assert clip.seconds == 12
    assert long < short + 100_000 < short + clip.picture.frames.nbytes / 2


def test_neither_colour_nor_loudness_drifts(tmp_path):
    """A model of random weights has no reason to drift, so that what drifts is the way its windows are joined."""
    seen = tiny_model(tmp_path / "seen", PICTURE, sampling={"batch": 1})
    frames = next(seen.render(label="a", seconds=16)).picture.frames
    colours = np.stack([part.mean(axis=(0, 1, 2)) for part in np.array_split(frames, 4)])
    assert np.ptp(colours, axis=0).max() < 3
    heard = tiny_model(tmp_path / "heard", SOUND, sampling={"batch": 1})
    samples = next(heard.render(label="a", seconds=16)).sound.samples[0]
    loudness = [20 * np.log10(part.std()) for part in np.array_split(samples, 8)]
    assert np.ptp(loudness) < 2
