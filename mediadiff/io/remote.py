"""A bucket, or any place that fsspec reaches, as a store: one request makes a file appear whole."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mediadiff.errors import MediadiffError, StoreError
from mediadiff.io.address import checked_name
from mediadiff.io.files import whole_file
from mediadiff.io.store import Store, file_size

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

WAITS = (0.2, 1.0)  # seconds before the second try and the third
_PART = 8 * 2**20  # bytes of a part of a large file
_PACKAGES = {
    "s3": "pip install 'mediadiff[s3]'",
    "gs": "pip install gcsfs",
    "gcs": "pip install gcsfs",
    "az": "pip install adlfs",
    "abfs": "pip install adlfs",
}
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
    "and AWS_ENDPOINT_URL where the bucket is not Amazon's",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "abfs": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
# One request once: what is worth another try is tried again as a whole, by _tried.
_OPTIONS: dict[str, dict[str, Any]] = {"s3": {"config_kwargs": {"retries": {"total_max_attempts": 1}}}}
_VERSION = ("etag", "lastmodified", "last_modified", "mtime", "updated", "created", "size")  # keys of fsspec's info
_SECRET = re.compile("KEY|SECRET|TOKEN|PASS|CREDENTIAL|SAS|CONNECTION", re.IGNORECASE)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Errors of the libraries by name, since they are installed only where they are needed.
_HOPELESS = {"ParamValidationError", "InvalidRegionError", "ProfileNotFound"}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "TokenRetrievalError"}
_HOPELESS_NUMBERS = (errno.EINVAL, errno.EPERM, errno.ENAMETOOLONG, errno.ENOSYS, errno.EMSGSIZE, *_NO_ROOM)


class RemoteStore(Store):
    """A place at an address; see `Store.open`. It holds no connection: fsspec keeps one for each process and thread."""

    def __init__(self, scheme: str, rest: str):
        self.scheme = scheme
        self.rest = rest

    def ask(self) -> None:
        """Raises `StoreError` when the bucket is not there or does not answer to us."""
        bucket = re.split("[/@]", self.rest)[0]
        if self.scheme != "memory":
            self._tried("", lambda files, _: files.info(bucket))

    def put(self, local: Path, name: str) -> None:
        size = file_size(local)

        def once(files: AbstractFileSystem, at: str) -> None:
            if self.scheme == "memory":  # its put_file shows a file that is still growing
                files.pipe_file(at, local.read_bytes())
            else:
                files.put_file(str(local), at, **self._parts(size))
            there = int(files.info(at)["size"])
            if there != size:
                raise ConnectionError(f"{there} of {size} bytes arrived")

        self._tried(checked_name(name), once)

    def get(self, name: str, local: Path) -> str:
        def once(files: AbstractFileSystem, at: str) -> str:
            info = files.info(at)
            files.get_file(at, str(temp))
            # A large file comes in several requests, which a change in between would mix.
            if temp.stat().st_size != info["size"] or _version(files.info(at)) != _version(info):
                raise ConnectionError("it changed while it was read")
            return _version(info)

        checked_name(name)
        with whole_file(local) as temp:
            return self._tried(name, once)

    def version(self, name: str) -> str:
        return self._tried(checked_name(name), lambda files, at: _version(files.info(at)))

    def exists(self, name: str) -> bool:
        def once(files: AbstractFileSystem, at: str) -> bool:
            try:
                return bool(files.info(at)["type"] == "file")
            except FileNotFoundError:
                return False

        return self._tried(checked_name(name), once)

    def size(self, name: str) -> int:
        return self._tried(checked_name(name), lambda files, at: int(files.info(at)["size"]))

    def names(self) -> Iterator[str]:
        def once(files: AbstractFileSystem, at: str) -> list[str]:
            inside = [path.removeprefix(f"{at}/") for path in files.find(at) if path.startswith(f"{at}/")]
            # Some tools keep empty objects, whose names end in a slash, to show a folder.
            return sorted(name for name in inside if name and not name.endswith("/"))

        yield from self._tried("", once)

    def remove(self, name: str) -> None:
        def once(files: AbstractFileSystem, at: str) -> None:
            try:
                files.rm_file(at)
            except FileNotFoundError:
                pass

        self._tried(checked_name(name), once)

    def free_bytes(self) -> int | None:
        return None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.rest}"

    def _tried(self, name: str, once: Callable[[AbstractFileSystem, str], T]) -> T:
        """What `once` returns, given the file system and the name's full path there; an error that may pass is waited
        out."""
        place = f"{self}/{name}" if name else str(self)
        for wait in (*WAITS, None):
            try:
                files, root = self._files()
                return once(files, f"{root}/{name}" if name else root)
            except MediadiffError:
                raise
            except Exception as error:
                if getattr(error, "errno", None) in _NO_ROOM:
                    raise  # of this machine, in the middle of a whole_file, which says it better
                if wait is None or not _may_pass(error):
                    raise StoreError(place, self._cause(error)) from None  # its own text may hold a secret
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _parts(self, size: int) -> dict[str, int]:
        # s3fs holds ten parts in memory at once, of 50 MiB each if it is not told; a file has at most 10,000.
        return {"chunksize": max(_PART, -(-size // 10_000))} if self.scheme == "s3" else {}

    def _files(self) -> tuple[AbstractFileSystem, str]:
        import fsspec

        options = _OPTIONS.get(self.scheme, {})
        files, root = fsspec.core.url_to_fs(str(self), use_listings_cache=False, **options)
        return files, root

    def _cause(self, error: Exception) -> str:
        if isinstance(error, ImportError):
            return f"{self.scheme}:// needs a package that is not installed; run: {_PACKAGES.get(self.scheme)}"
        if type(error).__name__ in _NO_CREDENTIALS:
            return f"there are no credentials; {_CREDENTIALS.get(self.scheme)}"
        if isinstance(error, FileNotFoundError):
            return "there is no such bucket, or no such file in it; correct the name or make the bucket first"
        said = f"{type(error).__name__}: {without_secrets(str(error))}"
        if isinstance(error, PermissionError):
            return f"access is denied ({said}); check the rights, and {_CREDENTIALS.get(self.scheme)}"
        if _may_pass(error):
            return f"it failed {len(WAITS) + 1} times ({said}); check the connection and run again"
        return f"it was refused ({said}); correct the address or the settings"


def without_secrets(text: str) -> str:
    """`text` without the values of environment variables that hold secrets, the queries of addresses, and passwords."""
    held = [value for name, value in os.environ.items() if _SECRET.search(name) and len(value) >= 4]
    for value in sorted(held, key=len, reverse=True):
        text = text.replace(value, "***")
    return re.sub(r"\?[^\s\"']*=[^\s\"']*", "?***", re.sub(r"://[^/\s@]*@", "://***@", text))


def _may_pass(error: Exception) -> bool:
    if isinstance(
        error, FileNotFoundError | IsADirectoryError | NotADirectoryError | FileExistsError | PermissionError
    ):
        return False
    if isinstance(error, ImportError | ValueError | TypeError) or getattr(error, "errno", None) in _HOPELESS_NUMBERS:
        return False
    return type(error).__name__ not in _HOPELESS | _NO_CREDENTIALS


def _version(info: dict[str, Any]) -> str:
    return " ".join(f"{key}={info[key]}" for key in sorted(info, key=str.lower) if key.lower() in _VERSION)
