"""Files that break media readers are read at the right length or refused with a reason: `nasty.csv` says which."""

from __future__ import annotations

import csv
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mediadiff.clip import Clip
from mediadiff.errors import MediaError
from mediadiff.io.read import read

SECONDS = 10  # for one file
TABLE = list(csv.DictReader((Path(__file__).parent / "nasty.csv").open(encoding="utf-8")))


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def too_slow(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def described(clip: Clip) -> tuple[str, str]:
    sound = picture = ""
    if clip.sound is not None:
        sound = f"{clip.sound.channels}x{clip.sound.samples.shape[1]} @ {clip.sound.sample_rate}"
    if clip.picture is not None:
        frames, height, width, _ = clip.picture.frames.shape
        picture = f"{frames} of {width}x{height} @ {clip.picture.rate}"
    return sound, picture


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["path"])
def test_file_is_read_or_refused_as_the_table_says(row: dict[str, str], media_data: Path) -> None:
    path = media_data / "nasty" / row["path"]
    with time_limit(SECONDS):
        if row["refused"]:
            with pytest.raises(MediaError) as refusal:
                read(path)
            assert row["refused"] in refusal.value.cause
            assert str(path) in str(refusal.value)
        else:
            clip = read(path, max_seconds=row["max_seconds"] or None)
            assert described(clip) == (row["sound"], row["picture"])


def test_table_has_every_file(media_data: Path) -> None:
    with (media_data / "nasty" / "INDEX.csv").open(encoding="utf-8") as index:
        assert [row["path"] for row in TABLE] == [row["path"] for row in csv.DictReader(index)]
