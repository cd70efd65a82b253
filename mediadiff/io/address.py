"""Addresses of places beyond this machine's folders, `s3://bucket/dir`, and the names of files within a place."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path

from mediadiff.errors import UsageError, printable
from mediadiff.io.files import is_temporary

SCHEMES = ("file", "memory", "s3", "gs", "gcs", "az", "abfs")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:::[^/]*)?://", re.ASCII)


def is_address(text: str) -> bool:
    """Whether `text` is an address, `scheme://...`, and not a path; a path that exists is one whatever its name.

    An address of an unknown scheme counts too, so that a slip such as `s4://bucket` is told rather than taken for a
    new folder; `split_address` refuses it.
    """
    return _ADDRESS.match(text) is not None and not _is_path(text)


def split_address(text: str) -> tuple[str, str]:
    """The scheme of an address and the rest, without a slash at its end; for `file` the rest is a path from the root.

    Raises `UsageError` for a scheme that is not in SCHEMES, for addresses within addresses, for passwords and keys,
    which belong into the environment, and for what names no place; no message repeats a secret.
    """
    found = _ADDRESS.match(text)
    if found is None:
        raise UsageError(f"{printable(text)} is no address; one looks like s3://bucket/folder")
    scheme = found[1].lower()
    if "::" in text:
        raise UsageError(f"{scheme}: an address within an address (::) is not read; name the file or folder itself")
    if scheme not in SCHEMES:
        raise UsageError(_unknown(scheme))
    rest = text[found.end() :].rstrip("/")
    host, _, path = rest.partition("/")
    user, at, _ = host.rpartition("@")
    # abfs://container@account.dfs.core.windows.net is the one form in which something else stands before the @.
    if at and (":" in user or scheme not in ("az", "abfs")):
        raise UsageError(f"{scheme}://***@...: no user, password or key in an address; set them in the environment")
    if re.search(r"[?#]", rest):
        raise UsageError(f"{scheme}://...: an address holds no ? and no #; keys belong into the environment")
    if scheme == "file":
        if host not in ("", "localhost") or not path:
            raise UsageError(f"{printable(text)}: a file address has three slashes, as in file:///home/me/clips")
        return scheme, "/" + path
    if scheme != "memory" and not host:
        raise UsageError(f"{printable(text)} names no bucket; an address looks like {scheme}://bucket/folder")
    if rest and _fault(rest):
        raise UsageError(f"{printable(text)}: {_fault(rest)} in an address; write it out as {scheme}://bucket/folder")
    return scheme, rest


def checked_name(name: str) -> str:
    """`name`, when it names a file within a place: words between slashes, none of them `..`; else `UsageError`."""
    fault = _fault(name)
    if fault:
        raise UsageError(f"{printable(name)!r} names no file here: {fault}; use a name such as takes/one.wav")
    if is_temporary(name.rpartition("/")[2]):
        raise UsageError(f"{name!r} is a name that is kept for files being written; choose another")
    return name


def _fault(name: str) -> str:
    if not name or name.startswith("/"):
        return "it is empty or starts with a slash"
    if "\0" in name:
        return "it holds a NUL"
    return next((f"the part {part!r} is not allowed" for part in name.split("/") if part in ("", ".", "..")), "")


def _is_path(text: str) -> bool:
    return "\0" not in text and os.path.lexists(Path(text))


def _unknown(scheme: str) -> str:
    if scheme in ("http", "https"):
        return f"{scheme}:// is not read or written here; download the file and name it, or use a bucket"
    near = get_close_matches(scheme, SCHEMES, 1, 0.5)
    hint = f"; did you mean {near[0]}://?" if near else ""
    return f"{printable(scheme)}:// is no kind of place that is known here; there are {', '.join(SCHEMES)}{hint}"
