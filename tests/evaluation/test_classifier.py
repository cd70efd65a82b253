from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mediadiff.clip import Clip, Sound
from mediadiff.errors import UsageError
from mediadiff.evaluation.classifier import Classifier, Settings, _in_turn, recognise, train
from mediadiff.evaluation.views import PictureView, SoundView
from mediadiff.rng import generator
from tests.evaluation.known_clips import RATE, square, tone, tones

VIEW = SoundView(RATE, 0.5, bands=32)
SMALL = Settings(steps=40, width=8)


def labels(clips: list[Clip]) -> list[str]:
    return [clip.label or "" for clip in clips]


def right(classifier: Classifier, clips: list[Clip]) -> float:
    found = recognise(clips, classifier).labels
    return float(np.mean([a == b for a, b in zip(found, labels(clips), strict=True)]))


@pytest.fixture(scope="module")
def known() -> Classifier:
    clips = tones(30, "train")
    return train(clips, labels(clips), VIEW, SMALL)


def test_unseen_tones_are_recognised(known: Classifier) -> None:
    clips = tones(20, "test")
    found = recognise(clips, known)
    assert right(known, clips) > 0.95
    assert known.labels == ("high", "low", "mid")
    assert found.probabilities.shape == (60, 3) and np.allclose(found.probabilities.sum(1), 1, atol=1e-5)
    assert found.features.shape == (60, 32) and found.features.dtype == np.float32


@pytest.mark.parametrize("count", [3, 10, 40])
def test_every_label_is_drawn_as_often(count: int) -> None:
    drawn = [_in_turn(count, draw, 0) for draw in range(6 * count)]
    for turn in range(6):
        assert sorted(drawn[turn * count : (turn + 1) * count]) == list(range(count))
    assert len({tuple(drawn[turn * count : (turn + 1) * count]) for turn in range(6)}) > 1


def test_wrong_labels_score_no_better_than_chance(known: Classifier) -> None:
    clips = tones(20, "test")
    turned = [Clip(c.sound, label={"low": "mid", "mid": "high", "high": "low"}[c.label or ""]) for c in clips]
    assert right(known, turned) < 0.05


def test_the_same_call_gives_the_same_network_and_another_seed_another(known: Classifier) -> None:
    clips = tones(30, "train")
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = train(clips, labels(clips), VIEW, SMALL)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.key == known.key
    for a, b in zip(again.network.parameters(), known.network.parameters(), strict=True):
        assert torch.equal(a, b)
    other = train(clips, labels(clips), VIEW, Settings(steps=1, width=8, seed=1))
    assert other.key != known.key


def test_what_is_cached_is_used_and_what_is_damaged_is_made_again(tmp_path: Path) -> None:
    clips = tones(4, "train")
    steps: list[int] = []

    def make() -> Classifier:
        steps.clear()
        settings = Settings(steps=3, width=8)
        return train(clips, labels(clips), VIEW, settings, tmp_path, lambda step, of: steps.append(step))

    made = make()
    assert steps == [1, 2, 3]
    loaded = make()
    assert steps == [] and not loaded.network.training
    assert np.array_equal(recognise(clips, made).features, recognise(clips, loaded).features)
    (path,) = tmp_path.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert np.array_equal(recognise(clips, make()).features, recognise(clips, made).features)
    assert steps == [1, 2, 3]


def test_one_label_is_too_few() -> None:
    clips = tones(3, "train", labels=("low",))
    with pytest.raises(UsageError, match="two labels or more; got 3 clips of {'low'}"):
        train(clips, labels(clips), VIEW, SMALL)


def test_nothing_to_recognise(known: Classifier) -> None:
    with pytest.raises(UsageError, match="no clips to recognise"):
        recognise([], known)


def test_loudness_and_faint_hiss_change_no_feature(known: Classifier) -> None:
    clip = tone("mid", "one")
    assert clip.sound is not None
    hiss = 1e-5 * np.random.default_rng(0).standard_normal(clip.sound.samples.shape, np.float32)
    louder = Clip(Sound(3 * clip.sound.samples, RATE))
    hissing = Clip(Sound(clip.sound.samples + hiss, RATE))
    features = recognise([clip, louder, hissing, tone("mid", "two")], known).features
    far = np.linalg.norm(features[0] - features[3])
    assert np.linalg.norm(features[0] - features[1]) < 1e-3 * far
    assert np.linalg.norm(features[0] - features[2]) < 0.05 * far


def test_sound_at_another_rate_in_stereo_and_cut_looks_the_same() -> None:
    t = np.arange(RATE // 2) / RATE
    here = np.sin(2 * np.pi * 700 * t).astype(np.float32)
    t = np.arange(44_100) / 44_100
    there = np.stack([np.sin(2 * np.pi * 700 * t)] * 2).astype(np.float32)
    images = VIEW.image(VIEW.prepare([Clip(Sound(here[None], RATE)), Clip(Sound(there, 44_100))]))
    assert images.shape == (2, 1, 32, 32) and images.min() == 0 and images.max() == 1
    # The ends differ: one was cut, one is padded by the window.
    assert torch.allclose(images[0, ..., 2:-2], images[1, ..., 2:-2], atol=0.05)


def test_no_band_of_the_view_is_empty() -> None:
    noise = np.random.default_rng(0).standard_normal((1, RATE), np.float32)
    for bands in (32, 64, 128):
        view = SoundView(RATE, 1.0, bands)
        assert (view.image(view.prepare([Clip(Sound(noise, RATE))])).amax((0, 1, 3)) > 0).all()


def test_silence_is_finite(known: Classifier) -> None:
    found = recognise([Clip(Sound(np.zeros((1, 0), np.float32), RATE))], known)
    assert np.isfinite(found.features).all() and np.isfinite(found.probabilities).all()


@pytest.mark.parametrize("view", [VIEW, PictureView(32, 40)])
def test_augmentations_follow_their_key(view: SoundView | PictureView) -> None:
    clips = tones(3, "a") if isinstance(view, SoundView) else [square("down", i) for i in range(9)]
    data = view.prepare(clips)
    kept = data.clone()

    def twice(key: str) -> torch.Tensor:
        g = generator(key)
        return view.mask(view.image(view.augment(data, g)), g)

    assert torch.equal(twice("a"), twice("a")) and not torch.equal(twice("a"), twice("b"))
    assert torch.equal(data, kept)
    assert twice("a").shape == view.image(data).shape


def test_pictures_that_differ_by_their_motion_alone_are_told_apart() -> None:
    clips = [square(label, "train", i) for i in range(30) for label in ("right", "down")]
    known = train(clips, labels(clips), PictureView(32, 40), Settings(steps=60, width=8))
    assert right(known, [square(label, "test", i) for i in range(20) for label in ("right", "down")]) > 0.95


@pytest.mark.slow
def test_spoken_digits_that_were_never_seen_are_recognised(media_data: Path) -> None:
    from mediadiff.data.folder import scan
    from mediadiff.data.settings import DataSettings
    from mediadiff.io.read import read

    data = DataSettings(
        str(media_data / "fsdd" / "recordings"), "{label}_{speaker}_{take}", test={"take": (0, 1, 2, 3, 4)}
    )
    sets: dict[str, list[Clip]] = {"train": [], "test": []}
    for item in scan(data).items:
        sets[item.split].append(Clip(read(item.path, picture=False).sound, label=item.label))
    assert len(sets["test"]) == 300
    classifier = train(sets["train"], labels(sets["train"]), SoundView(RATE, 1.024), Settings())
    assert right(classifier, sets["test"]) >= 0.99
