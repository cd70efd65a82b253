from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

from mediadiff.clip import Clip, Picture
from mediadiff.data import cache
from mediadiff.data.cache import EncodedSet
from mediadiff.data.folder import scan
from mediadiff.data.settings import DataSettings
from mediadiff.domains.frames import Frames
from mediadiff.domains.spectrogram import Spectrogram
from mediadiff.errors import MediadiffError, UsageError
from tests.data.made import counting, save, tone

SOUND = Spectrogram(sample_rate=8000, n_fft=256, hop=64)  # 125 steps a second
PICTURE = Frames(height=16, width=16, frame_rate=10)


@pytest.fixture
def encoded_files(monkeypatch):
    """The names of the files that get encoded, as they do."""
    names = []
    original = cache.encode_item

    def encode_item(item, *rest):
        names.append(item.path.name)
        return original(item, *rest)

    monkeypatch.setattr(cache, "encode_item", encode_item)
    return names


def open_tones(folder, root, seconds=0.4, **settings):
    found = scan(DataSettings(str(folder), label="{label}_{take}", **settings))
    return EncodedSet.open(found, {"sound": SOUND}, seconds, root)


def test_what_is_kept(tones, tmp_path):
    encoded = open_tones(tones, tmp_path / "cache", test={"take": (0,)})
    assert encoded.labels == ("a", "b")
    assert (encoded.seconds, encoded.streams["sound"].rate) == (Fraction(2, 5), 125)
    assert encoded.streams["sound"].shape == (1, 50, 128, 1)
    # 0.2 s is filled up to the window of 50 steps; 0.9 s is 112.5 steps.
    assert [entry.steps["sound"] for entry in encoded.entries] == [50, 50, 50, 63, 75, 88, 100, 113]
    assert [entry.label for entry in encoded.entries] == [0] * 5 + [1] * 3
    assert encoded.members("test") == (0,) and len(encoded.members("train")) == 7
    assert encoded.scalars == ("take",) and encoded.entries[3].scalars == {"take": 3.0}
    assert not encoded.refused


def test_sounds_are_brought_to_the_loudness_that_is_asked_for(tmp_path):
    for take, level in enumerate((0.01, 0.1, 0.8)):
        save(tmp_path / "tones" / f"a_{take}.wav", tone(0.4, 1000.0, amplitude=level))
    save(tmp_path / "tones" / "b_0.wav", tone(0.4, amplitude=0.0))
    as_they_are = open_tones(tmp_path / "tones", tmp_path / "cache")
    even = open_tones(tmp_path / "tones", tmp_path / "cache", loudness=-20.0)

    def loudest(encoded, place):
        # In decibels: 1 is full scale, -1 is 80 dB below.
        return 40 * (float(encoded.read(place, "sound")[:, 10:-10].max()) - 1)

    assert [loudest(as_they_are, i) for i in range(3)] == pytest.approx([-40, -20, -1.94], abs=0.2)
    # A sine of this root mean square has its peak, which the spectrogram shows, 3 dB above.
    assert [loudest(even, i) for i in range(3)] == pytest.approx([-17, -17, -17], abs=0.2)
    assert loudest(even, 3) == pytest.approx(-80)


def test_the_values_are_the_domains_with_silence_at_the_end(tones, tmp_path):
    encoded = open_tones(tones, tmp_path / "cache")
    x = encoded.read(0, "sound")
    assert x.dtype == torch.float32
    direct = SOUND.encode(tone(0.2, 300))
    # Not the last steps, which look past the end of the sound.
    assert torch.allclose(x[:, :22], direct[:, :22], atol=2e-3)
    assert torch.equal(x[:, 30:], torch.full((1, 20, 128, 1), -1.0))
    assert torch.equal(encoded.read(7, "sound", 20, 50), encoded.read(7, "sound")[:, 20:70])


def test_a_second_opening_encodes_nothing_and_a_new_file_only_itself(tones, tmp_path, encoded_files):
    first = open_tones(tones, tmp_path / "cache")
    assert len(encoded_files) == 8
    encoded_files.clear()
    second = open_tones(tones, tmp_path / "cache")
    assert not encoded_files and second.fingerprint == first.fingerprint
    assert all(torch.equal(first.read(i, "sound"), second.read(i, "sound")) for i in range(8))
    save(tones / "a_9.wav", tone(0.5, 999))
    shutil.copy(tones / "a_1.wav", tones / "a_copy.wav")
    third = open_tones(tones, tmp_path / "cache")
    assert encoded_files == ["a_9.wav"] and len(third) == 10
    assert third.fingerprint != first.fingerprint


def test_another_window_or_domain_is_another_cache(tones, tmp_path, encoded_files):
    first, second = open_tones(tones, tmp_path / "cache"), open_tones(tones, tmp_path / "cache", seconds=0.5)
    third = open_tones(tones, tmp_path / "cache", keep=0.3)
    assert len({first.folder, second.folder, third.folder}) == 3 and len(encoded_files) == 24
    assert third.entries[7].steps["sound"] == 50


def test_an_interrupted_encode_goes_on_where_it_was(tones, tmp_path, encoded_files, monkeypatch):
    monkeypatch.setattr(cache, "_SHARD_BYTES", 1)
    found = scan(DataSettings(str(tones), label="{label}_{take}"))

    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EncodedSet.open(found, {"sound": SOUND}, 0.4, tmp_path / "cache", stop)
    encoded_files.clear()
    encoded = open_tones(tones, tmp_path / "cache")
    assert encoded_files == ["b_5.wav", "b_6.wav", "b_7.wav"]
    whole = open_tones(tones, tmp_path / "other")
    assert encoded.fingerprint == whole.fingerprint
    assert all(torch.equal(encoded.read(i, "sound"), whole.read(i, "sound")) for i in range(8))


def test_a_flipped_bit_is_found_and_mended(tones, tmp_path, encoded_files):
    encoded = open_tones(tones, tmp_path / "cache")
    before = encoded.read(3, "sound").clone()
    (shard,) = encoded.folder.glob("*.safetensors")
    data = bytearray(shard.read_bytes())
    data[-1000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(MediadiffError, match="lacks 8 files, or they are damaged; open it with its media again"):
        EncodedSet.load(encoded.folder)
    encoded_files.clear()
    again = open_tones(tones, tmp_path / "cache")
    assert len(encoded_files) == 8 and torch.equal(again.read(3, "sound"), before)


def test_load_needs_no_media_and_a_finished_cache(tones, tmp_path):
    encoded = open_tones(tones, tmp_path / "cache")
    shutil.rmtree(tones)
    loaded = EncodedSet.load(encoded.folder)
    assert loaded.fingerprint == encoded.fingerprint and loaded.entries == encoded.entries
    assert torch.equal(loaded.read(2, "sound"), encoded.read(2, "sound"))
    (encoded.folder / "index.json").write_text(json.dumps({"format": 0}))
    with pytest.raises(MediadiffError, match="damaged or of another version"):
        EncodedSet.load(encoded.folder)
    (encoded.folder / "index.json").unlink()
    with pytest.raises(MediadiffError, match="no finished cache"):
        EncodedSet.load(encoded.folder)


def test_loading_imports_no_decoder(tones, tmp_path):
    encoded = open_tones(tones, tmp_path / "cache")
    code = f"""
import sys
for name in ("av", "soundfile", "librosa", "torchaudio", "diffusers", "pydantic", "yaml", "PIL", "matplotlib"):
    sys.modules[name] = None
from mediadiff.data.cache import EncodedSet
from mediadiff.data.loader import batch
print(batch(EncodedSet.load({str(encoded.folder)!r}), 0, 3, 4).streams["sound"].shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "torch.Size([4, 1, 50, 128, 1])", done.stderr


def test_files_that_cannot_be_decoded_are_refused_and_the_rest_stays(tones, tmp_path):
    (tones / "a_notes.txt").write_text("not media")
    save(tones / "a_picture.png", counting(1))
    encoded = open_tones(tones, tmp_path / "cache")
    assert len(encoded) == 8
    told = {refusal.path.name: refusal.reason for refusal in encoded.refused}
    assert set(told) == {"a_notes.txt", "a_picture.png"} and told["a_picture.png"] == "it has no sound"


def test_a_folder_without_anything_to_train_on_says_why(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "words.txt").write_text("not media")
    with pytest.raises(UsageError, match=r"(?s)no file in .* can be used for training.*'words.txt': "):
        EncodedSet.open(scan(DataSettings(str(tmp_path / "in"))), {"sound": SOUND}, 0.4, tmp_path / "cache")


def test_a_picture_is_held_at_its_last_frame(tmp_path):
    save(tmp_path / "in" / "short.mkv", counting(4))
    save(tmp_path / "in" / "still.png", counting(1))
    found = scan(DataSettings(str(tmp_path / "in")))
    encoded = EncodedSet.open(found, {"picture": PICTURE}, 0.8, tmp_path / "cache")
    short, still = encoded.read(0, "picture"), encoded.read(1, "picture")
    assert short.shape == still.shape == (3, 8, 16, 16)
    levels = (short[0, :, 8, 8] + 1) * 127.5
    assert torch.allclose(levels, torch.tensor([0.0, 10, 20, 30, 30, 30, 30, 30]), atol=1.5)
    assert torch.equal(still[:, :1].expand_as(still), still)


def test_a_file_without_one_of_the_streams_is_kept_without_it(tmp_path):
    save(tmp_path / "in" / "both.mkv", Clip(tone(1.0), counting(10)))
    save(tmp_path / "in" / "silent.mkv", counting(10))
    save(tmp_path / "in" / "sound.wav", tone(1.0))
    found = scan(DataSettings(str(tmp_path / "in")))
    encoded = EncodedSet.open(found, {"sound": SOUND, "picture": PICTURE}, 0.8, tmp_path / "cache")
    assert [set(entry.steps) for entry in encoded.entries] == [{"sound", "picture"}, {"picture"}, {"sound"}]


def test_where_streams_end_apart_the_common_part_is_kept(tmp_path):
    both = Clip(tone(2.0), counting(12))
    clip = cache_encode(both, 0.8)
    assert (clip["sound"].shape[1], clip["picture"].shape[1]) == (150, 12)
    still = Clip(tone(2.0), Picture(np.zeros((1, 16, 16, 3), np.uint8), Fraction(1)))
    clip = cache_encode(still, 0.8)
    assert (clip["sound"].shape[1], clip["picture"].shape[1]) == (250, 20)


def cache_encode(clip, seconds):
    from pathlib import Path

    from mediadiff.data.encode import encode_clip

    return encode_clip(clip, Path("x"), {"sound": SOUND, "picture": PICTURE}, Fraction(seconds).limit_denominator(100))


def test_a_name_that_is_no_text_goes_all_the_way(tones, tmp_path):
    os.rename(tones / "a_1.wav", os.path.join(os.fsencode(tones), b"a_\xff\n.wav"))
    encoded = open_tones(tones, tmp_path / "cache")
    loaded = EncodedSet.load(encoded.folder)
    assert any(os.fsencode(entry.name) == b"a_\xff\n.wav" for entry in loaded.entries)
