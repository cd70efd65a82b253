"""A file whose end is missing is refused, wherever its format allows to know, and never read short in silence."""

from __future__ import annotations

import io
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mediadiff.clip import Clip, Picture
from mediadiff.errors import MediaError
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.io.truncation import missing_end
from mediadiff.io.write import write
from tests.io.makers import ramps, tone

PARTS = [0.35, 0.6, 0.9, 0.985]
LIBSNDFILE = {"aiff": "AIFF", "au": "AU", "caf": "CAF", "w64": "W64", "rf64": "RF64", "nist": "NIST", "voc": "VOC"}


def noisy(clip: Clip) -> Clip:
    """Pictures that do not compress to nothing."""
    assert clip.picture is not None
    noise = np.random.default_rng(0).integers(-20, 20, clip.picture.frames.shape)
    frames = (clip.picture.frames + noise).clip(0, 255).astype(np.uint8)
    return Clip(clip.sound, Picture(frames, Fraction(25)))


def whole(ending: str, folder: Path) -> Path:
    path = folder / f"whole.{ending}"
    if ending in LIBSNDFILE:
        soundfile.write(path, tone(2).samples[0], 16_000, format=LIBSNDFILE[ending], subtype="PCM_16")
    elif ending in ("jpg", "webp", "bmp", "tiff"):
        Image.fromarray(ramps(1).frames[0]).save(path)
    elif ending in ("wav", "flac", "ogg", "mp3", "m4a"):
        write(path, Clip(tone(2)))
    elif ending == "png":
        write(path, Clip(picture=noisy(Clip(picture=ramps(1))).picture))
    elif ending == "gif":
        write(path, noisy(Clip(picture=ramps(12))))
    else:
        write(path, noisy(Clip(tone(2), ramps(50))))
    return path


@pytest.mark.parametrize(
    "ending",
    ["mp4", "webm", "mkv", "gif", "png", "jpg", "webp", "bmp", "tiff", "wav", "flac", "ogg", "mp3", "m4a", *LIBSNDFILE],
)
def test_cut_file_is_refused(ending: str, tmp_path: Path) -> None:
    path = whole(ending, tmp_path)
    read(path)
    data = path.read_bytes()
    for part in PARTS:
        cut = path.with_stem("cut")
        cut.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(MediaError) as refusal:
            read(cut)
        assert any(word in refusal.value.cause for word in ("cut", "damaged", "decoded", "no known format")), part


def test_what_is_appended_to_a_photo_and_what_is_in_it_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    Image.fromarray(noisy(Clip(picture=ramps(1, (480, 640)))).picture.frames[0]).save(path, quality=95, exif=exif)  # type: ignore[union-attr]
    data = path.read_bytes()
    film = b"\0\0\0\x18ftypmp42" + bytes(200_000)
    assert missing_end(io.BytesIO(data + film)) is None and len(data) > 100_000
    (tmp_path / "b.jpg").write_bytes(data + film)
    assert read(tmp_path / "b.jpg").picture is not None
    # A thumbnail, which has an end mark of its own, in a segment of the photo.
    thumbnail = b"\xff\xd8\xff\xd9"
    held = data[:2] + b"\xff\xe2" + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail + data[2:]
    assert missing_end(io.BytesIO(held)) is None
    assert missing_end(io.BytesIO(held[:-1000])) == "it has no JPEG end mark"
    # Nor does it take long where nothing else is left, as of a card that was erased.
    begun = time.process_time()
    assert missing_end(io.BytesIO(data[:-1000] + b"\xff" * 2_000_000)) == "it has no JPEG end mark"
    assert time.process_time() - begun < 2
    assert missing_end(io.BytesIO(b"GIF89a..;\r\n")) is None


def test_mp3_without_a_length_is_checked_by_its_last_frame(tmp_path: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone(1).samples[0], 16_000, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5)
    data = file.getvalue().replace(b"Xing", b"None").replace(b"Info", b"None")
    assert missing_end(io.BytesIO(data)) is None
    assert missing_end(io.BytesIO(data[:-20])) == "its last frame is not complete"
    assert missing_end(io.BytesIO(data + b"TAG" + bytes(125))) is None


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
def test_wav_of_a_streaming_writer_is_read(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1).samples[0], 16_000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = size.to_bytes(4, "little")
    assert missing_end(io.BytesIO(data)) is None
    if size:
        path.write_bytes(data)
        sound = read(path).sound
        assert sound is not None and sound.samples.shape == (1, 16_000)


@pytest.mark.parametrize("mark", [b"RIFF", b"OggS", b"GIF8", b"\xff\xd8\xff", b"ID3", b"\xff\xfb", b"NIST_1A", b"fLaC"])
def test_a_file_that_ends_within_its_header_is_refused(tmp_path, mark):
    for length in range(len(mark), 17):
        path = tmp_path / f"cut-{length}"
        path.write_bytes(mark.ljust(length, b"\1"))
        with pytest.raises(MediaError, match="cut-"):
            probe(path)
