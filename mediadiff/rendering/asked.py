"""What else a clip may be asked for by, besides label, caption and numbers: files, a loop, a timeline.

A person writes keys: `given_video`, `given_audio`, `given` with `keep`, `from` with `strength`, `loop`, `timeline`.
A manifest holds plain data: the files by name and hash. `of_files` makes the second of the first, and `parse` makes of
it what a `Request` holds; `Request.to_dict` is the way back.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from mediadiff.errors import MediaError, UsageError
from mediadiff.rendering.request import WHOLE, Given, Moment, Range, Source

STRENGTH = 0.6
"""How far a file to vary may change, where nothing is said."""
_RANGE = re.compile(r"(?:(\w+)=)?(\d+(?:\.\d+)?)?s?:(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


def of_files(asked: Mapping[str, Any], streams: Collection[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys that a person writes, as plain data, and the path of each file by its hash.

    `streams` are those of the model. MediaError for a file that is not there or holds no media.
    """
    unknown = [name for name in asked if name not in KEYS]
    if unknown:
        raise UsageError(f"a clip is not asked for by {unknown[0]!r}; there are: {', '.join(KEYS)}")
    asked = {name: value for name, value in asked.items() if value or (value == 0 and value is not False)}
    files: dict[str, str] = {}
    given = []
    for key, medium in (("given_video", "picture"), ("given_audio", "sound")):
        if key in asked:
            given.append(_source(asked[key], files) | {"keep": {medium: WHOLE}})
    if "given" in asked:
        if "keep" not in asked:
            raise UsageError("say what to keep of the given file: --keep 0:0.5s (in a recipe: keep: 0:0.5s)")
        keep = _keep(asked["keep"], Path(asked["given"]), streams)
        given.append(_source(asked["given"], files) | {"keep": keep})
    elif "keep" in asked:
        raise UsageError("keep says what to keep of a file: name it too, with --given FILE (in a recipe: given: FILE)")
    plain: dict[str, Any] = {"given": given} if given else {}
    if "from" in asked:
        plain |= {"from": _source(asked["from"], files), "strength": asked.get("strength", STRENGTH)}
    elif "strength" in asked:
        raise UsageError("strength says how far a file may change: name it too, with --from FILE (in a recipe: from:)")
    if asked.get("loop"):
        plain["loop"] = True
    if "timeline" in asked:
        plain["timeline"] = [dict(moment) for moment in asked["timeline"]]
    return plain, files


KEYS = ("given_video", "given_audio", "given", "keep", "from", "strength", "loop", "timeline")


def parse(plain: Mapping[str, Any], streams: Collection[str], label: Callable[[str], str]) -> dict[str, Any]:
    """Plain data as the fields of a `Request`, for a model of these streams; other names in `plain` do not matter.

    `label` returns a label that the model has, or raises. UsageError for what no model, or not this one, can do.
    """
    given = tuple(_given(one, streams) for one in plain.get("given", ()))
    whole = [name for one in given for name, kept in one.keep.items() if kept == WHOLE]
    covered = [name for one in given for name in one.keep]
    for name in covered:
        if covered.count(name) > 1:
            raise UsageError(f"the {name} is given twice: give it by one file")
    if given and set(whole) == set(streams):
        has = f"this model makes {' and '.join(streams)}"
        raise UsageError(f"{has}, and all of it is given: there is nothing left to make")
    start = _read_source(plain["from"]) if "from" in plain else None
    strength = _number("strength", plain["strength"], 1) if start else 1.0
    if strength == 0:
        raise UsageError("strength is above 0: at 0 the clip would be the file itself")
    loop = bool(plain.get("loop", False))
    if loop and (given or start):
        raise UsageError("a loop takes no file: what is given begins and ends. Leave loop out, or the file")
    return {
        **{"given": given, "start": start, "strength": strength, "loop": loop},
        "timeline": _timeline(plain.get("timeline", ()), start is not None, label),
    }


@lru_cache(maxsize=1024)
def _hash(path: str, size: int, changed: int) -> str:
    """The hash of a file as it is: thousands of jobs may be given the same film."""
    from mediadiff.io.files import sha256

    return sha256(path)


def _source(path: str | Path, files: dict[str, str]) -> dict[str, Any]:
    """A file by name and hash; its path is noted in `files`."""
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        cause = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise MediaError(path, cause) from None
    if not path.is_file():
        raise MediaError(path, "not a file")
    # Absolute: a batch may go on in another working folder.
    absolute = os.path.abspath(path)
    digest = _hash(absolute, status.st_size, status.st_mtime_ns)
    files[digest] = absolute
    return {"name": path.name, "sha256": digest}


def _keep(said: str | Sequence[str], path: Path, streams: Collection[str]) -> dict[str, list[list[str | None]]]:
    """Ranges such as `0:0.5s` (of every stream that the file and the model have) and `sound=0:0.5s`, by stream."""
    from mediadiff.io.probe import probe

    info = probe(path)
    has = [name for name in streams if getattr(info, name) is not None]
    if not has:
        raise MediaError(path, f"has no {' and no '.join(streams)}, which is what this model makes")
    keep: dict[str, list[list[str | None]]] = {}
    for text in [said] if isinstance(said, str) else said:
        match = _RANGE.fullmatch(text.replace(" ", ""))
        if match is None:
            raise UsageError(f"keep is seconds from and to, such as 0:0.5s, 1.5: or sound=0:0.5s; got {text!r}")
        name, low, high = match.groups()
        if name is not None and name not in streams:
            raise UsageError(f"keep {text}: this model makes {' and '.join(streams)}; got {name!r}")
        if name is not None and name not in has:
            raise MediaError(path, f"has no {name} to keep; it has {' and '.join(has)}")
        for stream in [name] if name else has:
            keep.setdefault(stream, []).append([low or "0", high])
    return keep


def _given(plain: Mapping[str, Any], streams: Collection[str]) -> Given:
    keep: dict[str, str | tuple[Range, ...]] = {}
    for name, kept in plain["keep"].items():
        if name not in streams:
            raise UsageError(
                f"{plain['name']}: its {name} is given, but this model makes {' and '.join(streams)} alone"
            )
        keep[name] = WHOLE if kept == WHOLE else _ranges(kept)
    return Given(_read_source(plain), keep)


def _ranges(kept: Sequence[Sequence[str | None]]) -> tuple[Range, ...]:
    """Ranges in order; those that touch each other are one."""
    found: list[Range] = []
    for low, high in sorted(
        ((Fraction(low or 0), None if high is None else Fraction(high)) for low, high in kept), key=lambda one: one[0]
    ):
        if low < 0 or (high is not None and high <= low):
            raise UsageError(f"keep goes from a second to a later one; got {_words((low, high))}")
        last = found[-1] if found else None
        if last is not None and (last[1] is None or low <= last[1]):
            ends = (last[1], high)
            found[-1] = (last[0], None if None in ends else max(end for end in ends if end is not None))
        else:
            found.append((low, high))
    return tuple(found)


def _timeline(moments: Sequence[Mapping[str, Any]], varies: bool, label: Callable[[str], str]) -> tuple[Moment, ...]:
    found = []
    for moment in moments:
        unknown = set(moment) - {"at", "label", "guidance", "strength"}
        if unknown or "at" not in moment:
            raise UsageError(f"a moment has at, and label, guidance or strength; got {', '.join(map(str, moment))}")
        at = Fraction(str(moment["at"]))
        name, guidance, strength = (moment.get(key) for key in ("label", "guidance", "strength"))
        if strength is not None and not varies:
            raise UsageError(
                "strength along the timeline says how far a file may change: name it too, with --from FILE"
            )
        found.append(
            Moment(
                at,
                None if name is None else label(str(name)),
                None if guidance is None else _number("guidance", guidance, 20),
                None if strength is None else _number("strength", strength, 1),
            )
        )
    times = [moment.at for moment in found]
    if times != sorted(times) or (times and times[0] < 0):
        raise UsageError(f"the moments of a timeline follow each other from 0 s on; got {', '.join(map(str, times))}")
    return tuple(found)


def _number(name: str, value: Any, most: float) -> float:
    number = float(value)
    if not (math.isfinite(number) and 0 <= number <= most):
        raise UsageError(f"{name} is from 0 to {most:g}; got {number:g}")
    return number


def _read_source(plain: Mapping[str, Any]) -> Source:
    return Source(str(plain["name"]), str(plain["sha256"]))


def _words(one: Range) -> str:
    return f"{float(one[0]):g}:{'' if one[1] is None else f'{float(one[1]):g}'}s"
