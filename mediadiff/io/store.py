"""A place for files, a folder here or a bucket elsewhere, in which a file is whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mediadiff.errors import StoreError, UsageError
from mediadiff.io.address import checked_name, is_address, split_address
from mediadiff.io.files import is_temporary, short_ending, whole_file

_TRIES = 3  # to copy what changes while it is copied


class Store(ABC):
    """A place for files; get one by `Store.open`.

    Names are relative, with slashes: `takes/one.wav`. Two processes and two threads may use one store at once, and
    it may be sent to another process. Every method raises `StoreError` when the place fails, `DiskFullError` when it
    has no room, and `UsageError` for a name that is not allowed.
    """

    @staticmethod
    def open(address: str | Path) -> Store:
        """The store at a folder's path, or at an address such as `s3://bucket/dir`, `memory://dir`, `file:///dir`.

        A folder is made when the first file is put there. A bucket must exist: it is asked for, once, here, so that
        a wrong name or a missing credential is known before any work is done.
        """
        if isinstance(address, Path) or not is_address(address):
            return FolderStore(Path(address))
        return _store(address, is_asked=True)

    @abstractmethod
    def put(self, local: Path, name: str) -> None:
        """Copies the file at `local` to `name`, in place of what is there: readers find the old file or the new."""

    @abstractmethod
    def get(self, name: str, local: Path) -> str:
        """Copies the file `name` to `local`, whole or not at all; returns its `version`."""

    @abstractmethod
    def version(self, name: str) -> str:
        """A text that changes when the file's content does."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file of this name; a folder is none."""

    @abstractmethod
    def size(self, name: str) -> int:
        """The file's length in bytes."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """The names of all files, those in folders too, sorted."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes the file; nothing happens when there is none."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """The room that is left, None where nobody knows."""

    @abstractmethod
    def __str__(self) -> str:
        """The path or the address, which holds no secret; `Store.open` understands it."""


class FolderStore(Store):
    """A folder on this machine."""

    def __init__(self, folder: Path):
        if "\0" in str(folder):
            raise UsageError("a folder's path holds no NUL")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; name a folder")
        self.folder = folder

    def put(self, local: Path, name: str) -> None:
        path, size = self._path(name), file_size(local)
        with self._told(name), whole_file(path) as temp:
            shutil.copyfile(local, temp)
            if temp.stat().st_size != size:
                raise StoreError(f"{self}/{name}", f"{local} changed while it was copied; finish it before it is put")

    def get(self, name: str, local: Path) -> str:
        with self._told(name), whole_file(local) as temp, open(self._path(name), "rb") as source:
            version = _stamp(os.fstat(source.fileno()))
            with open(temp, "wb") as target:
                shutil.copyfileobj(source, target, 2**20)
            if _stamp(os.fstat(source.fileno())) != version:
                raise StoreError(f"{self}/{name}", "it was written to while it was read; read it again when it is done")
        return version

    def version(self, name: str) -> str:
        with self._told(name):
            return _stamp(self._path(name).stat())

    def exists(self, name: str) -> bool:
        return self._path(name).is_file()

    def size(self, name: str) -> int:
        with self._told(name):
            return self._path(name).stat().st_size

    def names(self) -> Iterator[str]:
        found = []
        for folder, _, files in os.walk(self.folder):
            inside = Path(folder).relative_to(self.folder)
            found += [(inside / file).as_posix() for file in files if not is_temporary(file)]
        yield from sorted(found)

    def remove(self, name: str) -> None:
        with self._told(name):
            self._path(name).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        folder = self.folder.absolute()
        return shutil.disk_usage(next(f for f in (folder, *folder.parents) if f.is_dir())).free

    def __str__(self) -> str:
        return str(self.folder)

    def _path(self, name: str) -> Path:
        path = self.folder / checked_name(name)
        if not path.parent.resolve().is_relative_to(self.folder.resolve()):
            raise UsageError(f"{name!r} leads out of {self} by a link; remove the link or choose another name")
        return path

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise StoreError(error.filename or f"{self}/{name}", "there is no such file; correct the name") from error
        except OSError as error:
            raise StoreError(f"{self}/{name}", f"{error.strerror or error}; check the folder and its rights") from error


def file_size(local: Path) -> int:
    """The length in bytes of a file to be put; `UsageError` when there is none."""
    if not local.is_file():
        raise UsageError(f"{local} is no file; only a file that is finished can be put")
    return local.stat().st_size


def local_copy(source: str | Path, cache: Path) -> Path:
    """A file on this machine with the content of `source`: a path as it is, an address copied into the folder `cache`.

    The copy's name is made of the address and its version, so that it is fetched once, and anew when it has changed.
    """
    if isinstance(source, Path) or not is_address(source):
        return Path(source)
    scheme, rest = split_address(source)
    if scheme == "file":
        return Path(rest)
    place, slash, name = rest.rpartition("/")
    if scheme != "memory" and not slash:
        raise UsageError(f"{scheme}://{rest} is a bucket; name a file in it")
    store = _store(f"{scheme}://{place}", is_asked=False)
    for _ in range(_TRIES):
        version = store.version(name)
        path = cache / (_digest(scheme, rest, version) + short_ending(name))
        if path.is_file() or _fetched(store, name, version, path):
            return path
    raise _restless(source)


def local_folder(source: str | Path, cache: Path) -> Path:
    """A folder on this machine with the files of `source`: a path as it is, an address copied into `cache`.

    All files below the address are copied, each once and whole; a fetch that was cut short goes on where it stopped.
    """
    if isinstance(source, Path) or not is_address(source):
        return Path(source)
    scheme, rest = split_address(source)
    if scheme == "file":
        return Path(rest)
    store = _store(source, is_asked=True)
    for _ in range(_TRIES):
        versions = {checked_name(name): store.version(name) for name in store.names()}
        if not versions:
            raise StoreError(source, "there are no files here; correct the address")
        folder = cache / _digest(scheme, rest, json.dumps(versions))
        wanted = (item for item in versions.items() if not (folder / item[0]).is_file())
        if all(_fetched(store, name, version, folder / name) for name, version in wanted):
            return folder
    raise _restless(source)


def _store(address: str, is_asked: bool) -> Store:
    scheme, rest = split_address(address)
    if scheme == "file":
        return FolderStore(Path(rest))
    from mediadiff.io.remote import RemoteStore

    store = RemoteStore(scheme, rest)
    if is_asked:
        store.ask()
    return store


class _Changed(Exception):
    pass


def _fetched(store: Store, name: str, version: str, path: Path) -> bool:
    # False when another version is there by now: a copy under the wrong name must not stay
    try:
        with whole_file(path) as temp:
            if store.get(name, temp) != version:
                raise _Changed
    except _Changed:
        return False
    return True


def _restless(source: object) -> StoreError:
    return StoreError(source, f"it changed {_TRIES} times while it was copied; wait until it is written")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
