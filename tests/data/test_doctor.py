from __future__ import annotations

import json
import os
import shutil
from fractions import Fraction

import numpy as np
import pytest

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.data import pairing, symptoms
from mediadiff.data.doctor import examine, examine_folder, shown
from mediadiff.data.settings import DataSettings
from mediadiff.domains.frames import Frames
from mediadiff.domains.spectrogram import Spectrogram
from mediadiff.errors import UsageError
from tests.data.made import counting, save, tone

SOUND = Spectrogram(sample_rate=8000, n_fft=256, hop=64, iterations=40)


def sound(samples):
    return Sound(np.atleast_2d(np.asarray(samples, np.float32)), 8000)


def noise(count=8000, scale=0.1):
    return np.random.default_rng(0).normal(0, scale, count)


@pytest.mark.parametrize(
    ("clip", "told"),
    [
        (Clip(tone(1.0)), []),
        (Clip(sound(noise())), []),
        (Clip(sound(np.zeros(8000))), ["silent (below -60 dB)"]),
        (Clip(sound(np.r_[noise(400), np.zeros(7600)])), ["silent for over nine tenths of its length"]),
        (Clip(sound(noise() + 0.1)), ["a constant offset above 0.02 (DC)"]),
        (Clip(sound(np.clip(noise(scale=1.0), -0.9, 0.9))), ["clipped (runs of samples at the peak)"]),
        (Clip(sound(noise(scale=0.5))), ["above full scale (over 1.0), which is kept"]),
        (Clip(sound(np.r_[np.nan, noise()])), ["samples that are not finite (NaN or infinity)"]),
        (Clip(tone(0.1)), ["fills less than a quarter of the window of 1 s"]),
        (Clip(picture=counting(10)), []),
        (Clip(picture=Picture(counting(1).frames.repeat(10, 0), Fraction(10))), ["nothing moves"]),
        (Clip(picture=Picture(np.full((10, 8, 8, 3), 7, np.uint8), Fraction(10))), ["of one colour throughout"]),
        (
            Clip(picture=Picture(counting(1).frames, Fraction(10))),
            ["a still image in a recipe for moving picture; it is held"],
        ),
        (Clip(tone(1.0), counting(15)), ["sound and picture end over 0.1 s apart; the common part is used"]),
    ],
)
def test_symptoms(clip, told):
    assert symptoms.of_clip(clip, 1.0) == told


def test_a_healthy_folder_with_a_recipe(tones):
    report = examine(
        DataSettings(str(tones), "{label}_{take}", test={"take": (0,)}, balance=True), {"sound": SOUND}, 0.4
    )
    assert report.exit_code == 0 and not report.refused
    assert [file.split for file in report.accepted] == ["test"] + ["train"] * 7
    assert report.labels == {"a": {"train": 4, "test": 1}, "b": {"train": 3}}
    lines = report.lines()
    assert lines[0] == "accepted  a_0.wav: 0.200 s, wav pcm_24 8000 Hz mono, label 'a', test"
    assert f"{tones}: 8 accepted, 0 refused" in lines
    assert "training sees sound as 1x50x128x1 (0.4 s at 125 steps a second)" in lines
    assert "warning   2 of 2 labels have fewer than 10 files for training: a (4), b (3)" in lines
    (trip,) = (line for line in lines if "through its domain and back" in line)
    assert trip.startswith("note: sound") and "dB of spectral convergence at worst, of 5 files" in trip


def test_a_file_longer_than_is_kept_is_told(tmp_path):
    save(tmp_path / "a.wav", tone(1.0))
    (file,) = examine(DataSettings(str(tmp_path), keep=0.5), {"sound": SOUND}, 0.4).accepted
    assert file.seconds == 0.5 and file.warnings == ("longer than `keep` (0.5 s); the rest is not used",)


def test_odd_files_are_named_and_refused_ones_change_the_exit_code(tones):
    (tones / "a_8.wav").write_text("no sound in here")
    save(tones / "a_9.wav", sound(np.zeros(8000)))
    shutil.copy(tones / "b_5.wav", tones / "b_55.wav")
    report = examine(DataSettings(str(tones), "{label}_{take}", test={"take": (5,)}), {"sound": SOUND}, 0.4)
    assert report.exit_code == 2 and [name for name, _ in report.refused] == ["a_8.wav"]
    text = "\n".join(report.lines())
    assert "warning   silent (below -60 dB): 1 file (a_9.wav)" in text
    assert "warning   the same content for training and for testing: b_5.wav = b_55.wav" in text
    assert "10 accepted, 1 refused" in text
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["exit_code"] == 2 and plain["accepted"][-1]["name"] == "b_7.wav"


def test_a_round_trip_that_loses_the_signal_is_told(tones):
    poor = Spectrogram(sample_rate=8000, n_fft=256, hop=64, floor_db=-1.0, iterations=8)
    report = examine(DataSettings(str(tones)), {"sound": poor}, 0.4)
    assert any("above -10 the signal is lost on the way" in warning for warning in report.warnings)


def test_sounds_are_judged_at_the_loudness_that_training_brings_them_to(tmp_path):
    faint = 0.0005 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    for i in range(2):
        Clip.from_numpy(faint.astype(np.float32), 8000).save(tmp_path / f"{i}.wav")
    for loudness, warned in ((None, True), (-20, False)):
        report = examine(DataSettings(str(tmp_path), loudness=loudness), {"sound": SOUND}, 0.4)
        assert any("silent" in text for file in report.accepted for text in file.warnings) == warned


def test_what_the_domains_make_up_is_told(tmp_path):
    save(tmp_path / "a.mkv", counting(20, rate=5))
    report = examine(DataSettings(str(tmp_path)), {"picture": Frames(height=32, width=32, frame_rate=10)}, 1)
    (file,) = report.accepted
    assert file.warnings == ("smaller than 32x32, so enlarged", "fewer than 10 frames a second, so frames repeat")


def test_a_folder_without_a_recipe(tmp_path):
    save(tmp_path / "low" / "a.wav", tone(0.5))
    save(tmp_path / "high" / "b.mkv", Clip(tone(0.4), counting(4)))
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "README.txt").write_text("words")
    os.rename(tmp_path / "low" / "a.wav", os.path.join(os.fsencode(tmp_path), b"low", b"\xff\n.wav"))
    report = examine_folder(str(tmp_path))
    assert report.exit_code == 2 and [name for name, _ in report.refused] == ["notes.txt"]
    assert report.ignored == (("README.txt", "words about the media"),)
    assert "ignored   README.txt: words about the media" in report.lines()
    assert any(line.endswith(": 2 accepted, 1 refused, 1 ignored") for line in report.lines())
    (tmp_path / "notes.txt").unlink()
    assert examine_folder(str(tmp_path)).exit_code == 0
    assert report.labels == {"high": {"train": 1}, "low": {"train": 1}}
    assert [line.split(": ")[0] for line in report.lines()[:2]] == ["accepted  high/b.mkv", r"accepted  low/\xff\n.wav"]
    json.dumps(report.to_dict()).encode()
    assert "\n".join(report.lines()).encode()


def test_a_folder_without_media_is_said_to_be_of_no_use(tmp_path):
    report = examine_folder(str(tmp_path))
    assert report.exit_code == 2 and report.lines()[1].endswith(": 0 accepted, 0 refused")
    assert report.lines()[2] == "nothing here can be trained on: put media into the folder, or name another"


def test_it_needs_a_window_with_domains(tmp_path):
    with pytest.raises(UsageError, match="both the domains and the window"):
        examine(DataSettings(str(tmp_path)), {"sound": SOUND})


def test_real_clips(media_data):
    report = examine_folder(str(media_data / "grid"))
    assert len(report.accepted) == 11 and [name for name, _ in report.refused] == ["labels.csv"]
    assert report.accepted[0].streams == ("mp2 44100 Hz 2 channels", "mpeg1video 360x288 25 frames/s")


def test_every_nasty_file_is_accepted_or_refused(media_data):
    report = examine_folder(str(media_data / "nasty"))
    told = {file.name for file in report.accepted} | {name for name, _ in (*report.refused, *report.ignored)}
    folder = media_data / "nasty"
    assert told == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert all(reason for _, reason in report.refused)


def test_pairing_of_torch_and_torchaudio(monkeypatch):
    for torch, torchaudio, index in [("2.13.0+cpu", "2.11.0+cu130", "cpu"), ("2.13.0+cu126", "2.11.0+cu130", "cu126")]:
        monkeypatch.setattr(pairing, "version", {"torch": torch, "torchaudio": torchaudio}.get)
        assert f"torchaudio's build for {index}" in pairing.advice()
        assert f"torchaudio {torchaudio} is not built for torch {torch}" in pairing.advice()
    for torch, torchaudio in [("2.13.0+cpu", "2.11.0+cpu"), ("2.13.0+cpu", "")]:
        monkeypatch.setattr(pairing, "version", {"torch": torch, "torchaudio": torchaudio}.get)
        assert pairing.advice() == ""


def test_the_version_is_read_without_an_import():
    import torch

    assert pairing.version("torch") == torch.__version__
    assert pairing.version("no_such_package") == ""


def test_shown():
    assert shown("a b–ü.wav") == "a b–ü.wav"
    assert shown(os.fsdecode(b"\xff\n\x1b[2J.wav")) == r"\xff\n\x1b[2J.wav"
