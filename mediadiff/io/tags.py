"""Tags inside media files: all of a clip's tags travel as one JSON text in the comment that every format has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mediadiff.clip import Clip

_MARK = "mediadiff"
_PRIVATE = {
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "software",
}  # of the container, not the clip


def of(clip: Clip) -> dict[str, str]:
    """The tags to write for a clip: its own and its label."""
    return {**clip.tags, "label": clip.label} if clip.label is not None else dict(clip.tags)


def pack(tags: Mapping[str, str], limit: int | None = None) -> str:
    """The tags as one line of text, empty without tags; the home folder is written as `~`.

    With a `limit` in bytes the longest values are left out until the rest fits, and `"..."` names them.
    """
    home = str(Path.home())
    kept = {str(key): str(value).replace(home, "~") if len(home) > 1 else str(value) for key, value in tags.items()}
    left_out: list[str] = []
    while kept and limit is not None and len(_text(kept, left_out).encode()) > limit:
        longest = max(kept, key=lambda key: len(kept[key].encode()))
        left_out.append(longest)
        del kept[longest]
    return _text(kept, left_out) if kept else ""


def unpack(metadata: Mapping[str, str]) -> dict[str, str]:
    """The tags of a file: those that `pack` wrote, or else what the container holds, keys in lower case."""
    tags = {key.lower(): value for key, value in metadata.items()}
    try:
        packed = json.loads(tags.get("comment", ""))[_MARK]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {key: value for key, value in tags.items() if key not in _PRIVATE and value}
    if not isinstance(packed, dict):
        return {}
    return {str(key): str(value) for key, value in packed.items()}


def _text(tags: Mapping[str, str], left_out: list[str]) -> str:
    body = {**tags, "...": " ".join(left_out)} if left_out else tags
    # ASCII alone: the comments of mp3 and wav do not say their encoding
    return json.dumps({_MARK: body}, separators=(",", ":"))
