"""Files that are whole or not there: written aside, synced, renamed; and their hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mediadiff.errors import DiskFullError, UsageError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_TEMP = re.compile(r"\.mediadiff-tmp-([0-9a-f]{8})-(\d+)-[0-9a-f]{16}(\.\w{1,16})?")
_ABANDONED = 24 * 3600.0  # seconds after which a temporary file of an unknown process counts as stale
_in_use: set[str] = set()  # names of this process's temporary files


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path in the same folder, with the same ending, to write to; it becomes `path` when the block ends well.

    The bytes are synced before the rename, so `path` holds the old content or the new, never a part. When the block
    raises, nothing stays behind. Missing folders are made. Raises `DiskFullError` when there is no room left.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    temp = path.parent / f".mediadiff-tmp-{_HOST}-{os.getpid()}-{secrets.token_hex(8)}{short_ending(path.name)}"
    _in_use.add(temp.name)
    try:
        _make_folder(path.parent)
        os.close(os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temp
        _sync(temp)
        os.replace(temp, path)
        if os.name == "posix":
            _sync(path.parent)
    except Exception as error:
        if _is_no_room(error):
            raise DiskFullError(_no_room_text(path)) from error
        raise
    finally:
        temp.unlink(missing_ok=True)
        _in_use.discard(temp.name)


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Writes `data` whole or not at all; returns the path."""
    with whole_file(path) as temp:
        temp.write_bytes(data)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Writes `text` as UTF-8, whole or not at all; returns the path."""
    return write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> Path:
    """Writes `value` as indented JSON, whole or not at all; NaN and infinity are refused. Returns the path."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: str | Path, line: str) -> None:
    """Adds a line of UTF-8 to the file at `path`, synced when this returns; `line` holds no line break.

    A file that ends within a line, as a crash leaves it, gets a line break first. Raises `DiskFullError`.
    """
    path = Path(path)
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o666)
    try:
        size = os.fstat(handle).st_size
        is_torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        data = ("\n" * is_torn + line + "\n").encode()
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    except OSError as error:
        if _is_no_room(error):
            raise DiskFullError(_no_room_text(path)) from error
        raise
    finally:
        os.close(handle)


def sha256(path: str | Path) -> str:
    """The SHA-256 of the file's bytes, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where what can be made again is kept: `$MEDIADIFF_CACHE`, or `mediadiff` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("MEDIADIFF_CACHE") or Path(home).expanduser() / "mediadiff")


def check_folder(folder: str | Path) -> None:
    """UsageError where nothing can be written below `folder`, which need not be there yet."""
    folder = Path(folder)
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise UsageError(f"{there} is no folder; name another place for what is to be written{_under(folder, there)}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to write in {there}; name another folder{_under(folder, there)}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        check_folder(folder)
        raise


def _under(folder: Path, there: Path) -> str:
    return "" if folder == there else f" than {folder}"


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that `whole_file` writes aside."""
    return _TEMP.fullmatch(name) is not None


def short_ending(name: str) -> str:
    """The ending of a file name, such as `.wav`; empty when it has none or one that is no plain word."""
    suffix = Path(name).suffix
    return suffix if re.fullmatch(r"\.\w{1,16}", suffix, re.ASCII) else ""


def sweep(folder: str | Path) -> list[Path]:
    """Removes the temporary files that killed processes of mediadiff left in `folder`; returns what was removed.

    A file is ours by its name. It stays while its process lives, or, when that cannot be told (another machine), for
    a day.
    """
    removed = []
    for path in sorted(Path(folder).iterdir()):
        named = _TEMP.fullmatch(path.name)
        if named and path.name not in _in_use and _is_stale(path, named[1], int(named[2])):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _is_stale(path: Path, host: str, process: int) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    if host == _HOST and (process == os.getpid() or not _is_alive(process)):
        return True
    return time.time() - path.stat().st_mtime > _ABANDONED


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_no_room(error: Exception) -> bool:
    # safetensors reports the system's error only in its text
    return getattr(error, "errno", None) in _NO_ROOM or f"os error {errno.ENOSPC}" in str(error)


def _no_room_text(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path.cwd()
    free = shutil.disk_usage(folder).free
    return f"{path}: no room left to write it ({free / 1e6:.1f} MB free); free some space and run again"
