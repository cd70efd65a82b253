from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mediadiff.clip import Clip, Sound
from mediadiff.compare import Comparison, Rival
from mediadiff.data import bounce
from mediadiff.data.settings import BounceSettings, DataSettings
from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.domains.frames import Frames
from mediadiff.domains.stft import Stft
from mediadiff.errors import UsageError
from mediadiff.evaluation import evaluate as module
from mediadiff.evaluation import real
from mediadiff.evaluation.classifier import Settings
from mediadiff.evaluation.evaluate import draw, evaluate, synchrony_of
from mediadiff.evaluation.report import Evaluation, Section, recall_of_real
from tests.evaluation.known_clips import PITCHES, square, tone, tones

SECONDS = Fraction(1, 2)
DOMAINS = {"sound": Stft(sample_rate=8000, n_fft=128, hop=32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones as files: 30 of each label to train on, 10 to test with."""
    path = tmp_path_factory.mktemp("tones")
    for label in PITCHES:
        (path / label).mkdir()
        for i in range(40):
            tone(label, "real", i).save(path / label / f"{i}.wav")
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Settings", lambda steps, seed: Settings(100, width=8, seed=seed))
        yield


@pytest.fixture(scope="module")
def perfect(folder: Path, cache: Path) -> Evaluation:
    """Clips made just as the real ones were."""
    return measured(folder, cache, tones(10, "made"))


def measured(folder: Path, cache: Path, clips: Sequence[Clip], labels: Sequence[str] = tuple(PITCHES)) -> Evaluation:
    data = DataSettings(str(folder), "folder", test={"last": 0.25})
    return evaluate("tones", clips, data, DOMAINS, SECONDS, labels, cache=cache)


def only(found: Evaluation) -> Section:
    (section,) = found.sections
    return section


def test_a_perfect_model_is_like_the_real_test_clips(perfect: Evaluation) -> None:
    section = only(perfect)
    columns = section.columns
    assert list(columns) == ["real test", "rendered", "through domain", "noise", "copies"]
    assert {name: column.clips for name, column in columns.items()} == dict.fromkeys(columns, 30)
    assert section.train == 90 and section.drawn == 30
    made = columns["rendered"]
    assert made.recognised is not None and made.recognised.value > 0.95
    share = recall_of_real(section)
    assert share is not None and 0.8 < share < 1.25
    assert made.precision is not None and made.precision > 0.7
    assert made.discrepancy.low < 0 < made.discrepancy.high
    real = columns["real test"]
    assert made.copies <= real.copies + 3 and made.copies_view <= real.copies_view + 5
    assert all(level.p > 0.01 for level in made.levels.values())
    # What the domain gives back is what it was given: this one loses nothing.
    assert columns["through domain"].precision == columns["real test"].precision


def test_the_controls_are_what_they_are(perfect: Evaluation) -> None:
    columns = only(perfect).columns
    noise, copies, real = columns["noise"], columns["copies"], columns["real test"]
    assert copies.copies == copies.copies_view == copies.clips and copies.nearest < 1e-3
    assert noise.discrepancy.low > 0 > real.discrepancy.low
    assert noise.precision is not None and real.precision is not None and noise.precision < 0.5 * real.precision
    assert noise.levels["active s"].p < 0.01 < noise.levels["RMS dB"].high - noise.levels["RMS dB"].low


def test_clips_asked_for_by_the_wrong_name_are_told(folder: Path, cache: Path) -> None:
    swapped = [replace(c, label="mid") if c.label == "low" else c for c in tones(10, "made")]
    found = measured(folder, cache, swapped)
    made = only(found).columns["rendered"]
    assert made.recognised is not None and made.recognised.value == pytest.approx(2 / 3, abs=0.05)
    assert made.confused["mid as low"] >= 9
    assert "Mistaken: mid as low (" in found.text()


def test_a_lost_mode_lowers_recall_and_not_precision(folder: Path, cache: Path, perfect: Evaluation) -> None:
    one = only(measured(folder, cache, [replace(tone("low", "made", i), label="low") for i in range(30)]))
    narrow = [replace(tone("low", "made", i), label=label) for i in range(10) for label in PITCHES]
    section = only(measured(folder, cache, narrow))
    share, of_whole = recall_of_real(section), recall_of_real(only(perfect))
    assert share is not None and of_whole is not None and share < 0.6 * of_whole
    precision = section.columns["rendered"].precision
    assert precision is not None and precision > 0.7
    # Sets are compared with the same number of each label, so clips of one label alone are held to that label.
    assert one.drawn == 10 and one.columns["real test"].clips == 30


def test_copies_are_found(folder: Path, cache: Path) -> None:
    half = [tone(label, "real", i) for label in PITCHES for i in range(5)]
    made = only(measured(folder, cache, half + tones(5, "made"))).columns["rendered"]
    assert 15 <= made.copies <= 18 and 15 <= made.copies_view <= 20


def test_louder_clips_differ_in_loudness_only(folder: Path, cache: Path, perfect: Evaluation) -> None:
    clips = tones(10, "made")
    louder = [replace(c, sound=Sound(2.5 * c.sound.samples, c.sound.sample_rate)) for c in clips if c.sound]
    found = measured(folder, cache, louder)
    a, b = only(perfect).columns["rendered"], only(found).columns["rendered"]
    assert {name for name, level in b.levels.items() if level.p < 0.01} == {"RMS dB", "peak dB"}
    assert (a.recognised, a.precision, a.copies, a.levels["active s"]) == (
        b.recognised,
        b.precision,
        b.copies,
        b.levels["active s"],
    )
    assert "RMS dB differs from real clips" in found.text() and "RMS dB differs" not in perfect.text()


def test_the_report_can_be_written_and_is_the_same_again(folder: Path, cache: Path, perfect: Evaluation) -> None:
    found = perfect
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["synchrony"] == {} and "AV-Align" not in found.text()
    (section,) = plain["sections"]
    assert plain["rendered"] == 30 and section["classifier"] == only(found).classifier
    assert section["columns"]["rendered"]["recognised"]["value"] > 0.9
    assert section["recall_of_real"] == pytest.approx(recall_of_real(only(found)))
    assert set(section["columns"]["copies"]["levels"]) == {"active s", "RMS dB", "peak dB"}
    assert measured(folder, cache, tones(10, "made")).to_dict() == found.to_dict()
    assert any("rough" in note for note in found.notes)


def test_without_labels_a_classifier_tells_real_from_noise(folder: Path, cache: Path) -> None:
    unlabelled = [replace(clip, label=None) for clip in tones(10, "made")]
    data = DataSettings(str(folder), test={"fraction": 0.25})
    section = only(evaluate("tones", unlabelled, data, DOMAINS, SECONDS, cache=cache))
    made = section.columns["rendered"]
    assert section.labels == ("noise", "real") and made.recognised is None
    assert made.recall is not None and made.recall > 0.5
    noise = section.columns["noise"].precision
    assert noise is not None and made.precision is not None and noise < 0.5 * made.precision


def test_a_model_that_knows_no_labels_is_held_against_clips_that_have_some(folder: Path, cache: Path) -> None:
    unlabelled = [replace(clip, label=None) for clip in tones(10, "made")]
    section = only(measured(folder, cache, unlabelled, ()))
    assert section.columns["rendered"].recognised is None and section.drawn == 30
    with pytest.raises(UsageError, match=r"no real test clip has a label of the rendered ones: \(none\)"):
        measured(folder, cache, unlabelled)


def test_levels_are_compared_in_what_all_clips_have(folder: Path) -> None:
    found = module._levels([{"RMS dB": -20.0}] * 3, [{"RMS dB": -20.0, "motion": 1.0}, {"RMS dB": -21.0}])
    assert list(found) == ["RMS dB"] and found["RMS dB"].median == -20


def test_levels_that_one_set_lacks_are_not_in_the_table(perfect: Evaluation) -> None:
    section = only(perfect)
    columns = {name: replace(column, levels=dict(column.levels)) for name, column in section.columns.items()}
    extra = next(iter(columns["real test"].levels.values()))
    columns["real test"].levels["motion"] = extra  # type: ignore[index]
    columns["rendered"].levels["sway"] = extra._replace(p=0.0)  # type: ignore[index]
    text = replace(perfect, sections=(replace(section, columns=columns),)).text()
    assert "motion" not in text and "sway" not in text and "RMS" in text


def test_without_a_test_split_a_fifth_stands_in_and_the_report_says_so(folder: Path, cache: Path) -> None:
    found = evaluate(
        "t", tones(8, "made"), DataSettings(str(folder), "folder"), DOMAINS, SECONDS, ("low", "mid", "high")
    )
    assert "no test split" in found.notes[0] and only(found).columns["real test"].clips == 24


def test_of_many_train_clips_some_are_drawn_and_the_report_says_so(folder: Path, monkeypatch) -> None:
    data = DataSettings(str(folder), "folder", test={"last": 0.25})
    everything = real.read_real(data, DOMAINS, SECONDS, tuple(PITCHES))
    assert (len(everything.train), len(everything.test), everything.notes) == (90, 30, ())
    monkeypatch.setattr(real, "MOST", 40)
    few, again = (real.read_real(data, DOMAINS, SECONDS, tuple(PITCHES)) for _ in range(2))
    assert (len(few.train), len(few.test)) == (40, 30)
    assert few.notes == ("of 90 train clips 40 are looked at, for copies too",)
    # By key: the same ones each time, of every label.
    same = zip(few.train, again.train, strict=True)
    assert all(np.array_equal(one.sound.samples, other.sound.samples) for one, other in same)
    assert {clip.label for clip in few.train} == set(PITCHES)


def test_pictures_are_measured_too(tmp_path: Path, cache: Path) -> None:
    for label in ("right", "down"):
        (tmp_path / label).mkdir()
        for i in range(24):
            square(label, "real", i).save(tmp_path / label / f"{i}.mkv")
    data = DataSettings(str(tmp_path), "folder", test={"last": 0.25})
    domains = {"picture": Frames(height=32, width=40, frame_rate=8)}
    clips = [square(label, "made", i) for i in range(6) for label in ("right", "down")]
    section = only(evaluate("squares", clips, data, domains, Fraction(1), ("right", "down"), cache=cache))
    made = section.columns["rendered"]
    assert section.medium == "picture" and made.recognised is not None and made.recognised.value > 0.9
    assert "motion, second half" in made.levels and section.columns["copies"].copies_view == 12


def test_synchrony_is_measured_where_there_are_sound_and_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Settings", lambda steps, seed: Settings(2, width=4, seed=seed))
    data = DataSettings(bounce=BounceSettings(clips=48), test={"last": 0.25})
    domains = {
        "sound": Stft(sample_rate=8000, n_fft=128, hop=32),
        "picture": Frames(height=32, width=32, frame_rate=12),
    }
    made = [bounce.clip(BounceSettings(seed=1), i, 2.0, sample_rate=8000) for i in range(12)]
    found = evaluate("balls", made, data, domains, Fraction(2), ("1", "2"))
    real, rendered, wrong = found.synchrony.values()
    assert list(found.synchrony) == ["real test", "rendered", "rendered, sounds shuffled"]
    assert real.impacts and rendered.impacts and wrong.impacts
    for good in (real, rendered):
        assert good.impacts and good.impacts.matched >= 0.97 * good.impacts.seen and good.impacts.in_place is None
        assert abs(good.agreement.lag) <= 0.03 and good.agreement.clips == 12
    assert wrong.impacts.matched < 0.5 * wrong.impacts.seen == 0.5 * rendered.impacts.seen
    text = found.text()
    assert "AV-Align" in text and "impacts heard" in text
    (line,) = (one for one in text.splitlines() if one.startswith("rendered, sounds shuffled"))
    assert f"{100 * wrong.impacts.matched / wrong.impacts.seen:.1f} %" in line
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["synchrony"]["rendered"]["impacts"]["shares"]["matched"] >= 0.97
    assert set(plain["synchrony"]["real test"]["agreement"]) == {"clips", "av_align", "lag", "strength"}


def test_draws_take_as_many_of_each_label_from_both() -> None:
    one, other = tones(4, "one"), tones(6, "other", labels=("low", "high"))
    a, b = draw(one, other, 0)
    assert (
        sorted(one[i].label or "" for i in a) == sorted(other[i].label or "" for i in b) == ["high"] * 4 + ["low"] * 4
    )
    assert draw(one, other, 0) == (a, b) and draw(one, other, 1) != (a, b)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rendered_clips(folder: Path, cache: Path, count: int) -> None:
    with pytest.raises(UsageError, match=f"two rendered clips or more; got {count}"):
        measured(folder, cache, tones(1, "made")[:count])


def test_too_few_real_clips(tmp_path: Path) -> None:
    (tmp_path / "low").mkdir()
    tone("low", 0).save(tmp_path / "low" / "0.wav")
    with pytest.raises(UsageError, match="too few real clips to measure with: 0 train and 1 test clips"):
        measured(tmp_path, tmp_path, tones(1, "made"))


def test_a_few_films_are_measured_by_their_synchrony_alone(tmp_path: Path) -> None:
    clips = [bounce.clip(BounceSettings(clips=20, balls=1), i, 1.0) for i in range(6)]
    for i, clip in enumerate(clips[:4]):
        clip.save(tmp_path / f"{i}.mkv")
    domains = {"sound": Stft(), "picture": Frames(height=32, width=32, frame_rate=12)}
    found = evaluate("few", clips[4:], DataSettings(str(tmp_path)), domains, Fraction(1))
    assert not found.sections and list(found.synchrony) == ["real", "rendered", "rendered, sounds shuffled"]
    assert found.synchrony["real"].agreement.clips == 4
    assert any("4 real clips are too few to train a classifier on" in note for note in found.notes)
    assert "AV-Align" in found.text() and found.to_dict()["sections"] == []


def test_a_few_sounds_are_too_few_for_a_model_of_both(tmp_path: Path) -> None:
    for i in range(3):
        tone("low", i).save(tmp_path / f"{i}.wav")
    domains = {"sound": Stft(), "picture": Frames(height=32, width=32, frame_rate=12)}
    with pytest.raises(UsageError, match="3 real clips are too few to train a classifier on.* not two of them"):
        evaluate("few", tones(1, "made"), DataSettings(str(tmp_path)), domains, Fraction(1))


def test_the_real_clips_come_first_where_models_are_compared_by_synchrony_alone() -> None:
    clips = [bounce.clip(BounceSettings(clips=20, balls=1), i, 1.0) for i in range(2)]
    found = Evaluation("few", 2, (), (), {"real": synchrony_of(clips, False), "rendered": synchrony_of(clips, False)})
    lines = Comparison((Rival("faces", SamplingSettings(), 12, 0.5, found),)).text().splitlines()
    assert [line.split()[0] for line in lines if line and line.split()[1:2] == ["2"]] == ["real", "faces"]


def test_a_file_that_cannot_be_read_is_noted(folder: Path, cache: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "more")
    (tmp_path / "more" / "low" / "0.wav").write_bytes(b"RIFF nothing")
    found = measured(tmp_path / "more", cache, tones(3, "made"))
    assert any("1 files could not be read" in note and "0.wav" in note for note in found.notes)
