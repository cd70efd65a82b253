from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
import torch

from mediadiff.clip import Clip
from mediadiff.data.cache import EncodedSet
from mediadiff.data.folder import scan
from mediadiff.data.loader import batch
from mediadiff.data.settings import DataSettings
from mediadiff.domains.frames import Frames
from mediadiff.domains.spectrogram import Spectrogram
from mediadiff.errors import UsageError
from tests.data.made import counting, save, tone

SOUND = Spectrogram(sample_rate=8000, n_fft=256, hop=64)
PICTURE = Frames(height=16, width=16, frame_rate=10)


def opened(folder, root, domains=None, seconds=0.4, **settings):
    return EncodedSet.open(scan(DataSettings(str(folder), **settings)), domains or {"sound": SOUND}, seconds, root)


def same(one, other):
    return (
        all(torch.equal(one.streams[name], other.streams[name]) for name in one.streams)
        and torch.equal(one.labels, other.labels)
        and one.names == other.names
    )


def test_a_batch_is_a_function_of_seed_and_step(tones, tmp_path):
    encoded = opened(tones, tmp_path / "c", label="{label}_{take}")
    first = [batch(encoded, 5, step, 3) for step in range(6)]
    other = opened(tones, tmp_path / "d", label="{label}_{take}")
    for step in reversed(range(6)):
        assert same(batch(other, 5, step, 3), first[step])
    assert not any(same(batch(encoded, 6, step, 3), first[step]) for step in range(6))


def test_shapes_and_values(tones, tmp_path):
    encoded = opened(tones, tmp_path / "c", label="{label}_{take}")
    one = batch(encoded, 0, 0, 5)
    assert one.streams["sound"].shape == (5, 1, 50, 128, 1) and one.streams["sound"].dtype == torch.float32
    assert one.present["sound"].tolist() == [True] * 5
    assert one.labels.dtype == torch.int64
    assert [encoded.labels[label] for label in one.labels.tolist()] == [name[0] for name in one.names]
    assert one.scalars["take"].tolist() == [float(name[2]) for name in one.names]
    assert one.captions == [""] * 5


def test_an_epoch_has_every_file_once_in_another_order_each_time(tones, tmp_path):
    encoded = opened(tones, tmp_path / "c", test={"fraction": 0.0})
    epochs = [[batch(encoded, 1, 8 * epoch + i, 1).names[0] for i in range(8)] for epoch in range(3)]
    assert all(len(set(names)) == 8 for names in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # Batches that do not divide the epoch see the same sequence.
    sequence = [name for step in range(8) for name in batch(encoded, 1, step, 3).names]
    assert sequence == [name for names in epochs for name in names]


def test_balance_draws_every_label_equally_and_all_its_files(tones, tmp_path):
    encoded = opened(tones, tmp_path / "c", label="{label}_{take}", balance=True)
    names = [name for step in range(6) for name in batch(encoded, 1, step, 5).names]
    assert Counter(name[0] for name in names) == {"a": 15, "b": 15}
    assert Counter(Counter(names).values()) == {3: 5, 5: 3}  # 15 draws over 5 files, and over 3


def test_split_and_an_empty_one(tones, tmp_path):
    encoded = opened(tones, tmp_path / "c", label="{label}_{take}", test={"take": (2, 6)})
    assert set(batch(encoded, 0, 0, 8, "test").names) == {"a_2.wav", "b_6.wav"}
    assert not {"a_2.wav", "b_6.wav"} & set(batch(encoded, 0, 0, 8).names)
    with pytest.raises(UsageError, match="the test split has no files"):
        batch(opened(tones, tmp_path / "c"), 0, 0, 8, "test")


def test_streams_are_cut_at_the_same_second(tmp_path):
    """Sound whose pitch steps up every 0.1 s, with frames that count: the cut shows in both."""
    import numpy as np

    steps = [tone(0.1, 300 + 150 * k).samples for k in range(20)]
    sound = type(tone(0.1))(np.concatenate(steps, axis=1), 8000)
    save(tmp_path / "in" / "a.mkv", Clip(sound, counting(20)))
    encoded = opened(tmp_path / "in", tmp_path / "c", {"sound": SOUND, "picture": PICTURE}, Fraction(1, 2))
    starts = set()
    for step in range(30):
        one = batch(encoded, 0, step, 1)
        frames = ((one.streams["picture"][0, 0, :, 8, 8] + 1) * 12.75).round().int().tolist()
        assert frames == list(range(frames[0], frames[0] + 5))
        # The middle of each frame's tenth of a second: bins are 31.25 Hz apart.
        heard = [one.streams["sound"][0, 0, 6 + round(12.5 * k)].argmax().item() * 31.25 for k in range(5)]
        assert np.allclose(heard, [300 + 150 * frame for frame in frames], atol=40)
        starts.add(frames[0])
    assert len(starts) > 8 and min(starts) <= 1 and max(starts) >= 14


def test_mirror_flips_half_of_the_pictures(tmp_path):
    save(tmp_path / "in" / "a.mkv", counting(6))
    encoded = opened(tmp_path / "in", tmp_path / "c", {"picture": PICTURE}, mirror=True)
    picture = batch(encoded, 0, 0, 64).streams["picture"]
    left, right = picture[:, 0, 0, 8, 0] > 0.9, picture[:, 0, 0, 8, -1] > 0.9
    assert torch.equal(left, ~right) and 20 <= left.sum() <= 44


def test_what_a_file_lacks_is_marked(tmp_path):
    save(tmp_path / "in" / "both.mkv", Clip(tone(1.0), counting(10)))
    save(tmp_path / "in" / "sound.wav", tone(1.0))
    (tmp_path / "in" / "t.csv").write_text("file,label,caption,size\nboth.mkv,x,two words,3\nsound.wav,,,\n")
    encoded = opened(tmp_path / "in", tmp_path / "c", {"sound": SOUND, "picture": PICTURE}, table="t.csv")
    one = batch(encoded, 0, 0, 2)
    order = [one.names.index("both.mkv"), one.names.index("sound.wav")]
    assert one.present["picture"][order].tolist() == [True, False]
    assert one.labels[order].tolist() == [0, -1]
    assert [one.captions[i] for i in order] == ["two words", ""]
    assert one.scalars["size"][order[0]] == 3 and one.scalars["size"][order[1]].isnan()
    assert not one.streams["picture"][order[1]].any()
