"""A file is whole or not there: after errors, kills and full disks."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mediadiff.errors import DiskFullError, UsageError
from mediadiff.io import files

KILLS = 50
WRITER = """
import itertools, sys
from mediadiff.io.files import whole_file
print("on", flush=True)
for number in itertools.count():
    with whole_file(sys.argv[1]) as temp:
        with open(temp, "wb") as file:
            for _ in range(50):
                file.write(bytes([number % 256]) * 4096)
"""
LIMITED = """
import resource, sys
import numpy as np
from pathlib import Path
from mediadiff.clip import Clip, Sound, Picture
from mediadiff.errors import DiskFullError
from mediadiff.io.write import write
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
noise = np.random.default_rng(0)
sound = Sound(noise.normal(0, 0.1, (1, 48_000)).astype(np.float32), 48_000)
picture = Picture(noise.integers(0, 256, (10, 64, 64, 3), dtype=np.uint8), 10)
for ending in sys.argv[2:]:
    moving = Clip(picture=Picture(picture.frames[:1], 1) if ending == "png" else picture)
    clip = Clip(sound) if ending in ("wav", "flac", "ogg", "mp3") else moving
    try:
        write(Path(sys.argv[1]) / f"a.{ending}", clip)
    except DiskFullError as error:
        print(ending, "full", "a." + ending in str(error))
"""


def run(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_written_file_is_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    assert files.write_text(path, "grün") == path
    assert path.read_bytes() == "grün".encode()
    assert os.listdir(path.parent) == ["a.txt"]
    files.write_json(path, {"b": [1, 2.5, "ü"]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": [1, 2.5, "ü"]}
    assert files.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_error_in_the_block_leaves_the_old_content(tmp_path: Path) -> None:
    path = files.write_bytes(tmp_path / "a.bin", b"old")
    with pytest.raises(KeyError), files.whole_file(path) as temp:
        assert temp.parent == path.parent and temp.suffix == ".bin"
        temp.write_bytes(b"new")
        raise KeyError("x")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, float("nan"))


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        files.write_bytes(tmp_path, b"x")


NAMES = ["n" * 251 + ".wav", "-dash", "new\nline", "%03d.txt", "a:b", os.fsdecode(b"\xff\xfe.txt")]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_works(name: str, tmp_path: Path) -> None:
    assert files.write_bytes(tmp_path / name, b"x").read_bytes() == b"x"
    assert os.listdir(tmp_path) == [name]


def test_killed_writers_leave_whole_files_and_sweep_takes_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    foreign = [tmp_path / ".mediadiff-tmp-mine", tmp_path / "b.tmp", tmp_path / ".hidden"]
    for other in foreign:
        other.write_bytes(b"keep")
    files.write_bytes(path, bytes(50 * 4096))
    chance = random.Random(0)
    for _ in range(KILLS):
        writer = subprocess.Popen([sys.executable, "-S", "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None and writer.stdout.readline() == b"on\n"
        time.sleep(chance.uniform(0, 0.01))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        data = path.read_bytes()
        assert len(data) == 50 * 4096 and data == data[:1] * len(data)
    swept = files.sweep(tmp_path)
    assert swept and all(".mediadiff-tmp-" in temp.name for temp in swept)
    assert sorted(tmp_path.iterdir()) == sorted([path, *foreign])


def test_sweep_leaves_files_in_use(tmp_path: Path) -> None:
    with files.whole_file(tmp_path / "a") as temp:
        temp.write_bytes(b"x")
        assert files.sweep(tmp_path) == []
    living = tmp_path / f".mediadiff-tmp-{files._HOST}-{os.getppid()}-{'0' * 16}"
    elsewhere = tmp_path / f".mediadiff-tmp-00000000-1-{'0' * 16}.wav"
    for path in (living, elsewhere):
        path.write_bytes(b"x")
    assert files.sweep(tmp_path) == []
    os.utime(elsewhere, (0, 0))
    assert files.sweep(tmp_path) == [elsewhere]


def test_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    endings = ["wav", "flac", "ogg", "mp3", "mp4", "webm", "mkv", "gif", "png"]
    said = run(LIMITED, tmp_path, *endings)
    assert said.splitlines() == [f"{ending} full True" for ending in endings]
    assert os.listdir(tmp_path) == []


def test_no_space_error_becomes_disk_full(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="no room left"), files.whole_file(tmp_path / "a"):
        with open("/dev/full", "wb") as full:
            full.write(b"x")
    assert os.listdir(tmp_path) == []
