"""The manifest of an output folder: one line for each file, with what made it and what its bytes must be.

To put a clip into a folder, with its proof:

facts = manifest.facts(model.name, model.sha256, order, bf16)
row = manifest.save(clip, folder, name, facts, seconds=1.2)
manifest.append(folder, row)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from mediadiff import __version__
from mediadiff.clip import Clip
from mediadiff.io.files import append_line, sha256, write_json
from mediadiff.io.read import read as read_media
from mediadiff.rendering.request import identity, without_home
from mediadiff.rendering.together import together

if TYPE_CHECKING:
    from mediadiff.rendering.request import Order

NAME = "manifest.jsonl"
TAG = "mediadiff"
"""The tag that holds a clip's facts inside its file."""
_LIBRARIES = ("torch", "av", "soundfile", "diffusers")
_TEXTS = ("id", "file", "sha256", "samples_sha256", "model", "weights")
FACTS = ("model", "weights", "recipe", "versions", "numerics")


def facts(model: str, weights: str, order: Order, bf16: bool) -> dict[str, Any]:
    """All that a clip's bytes depend on: `model`, `weights`, `recipe`, `versions` and `numerics`.

    `model` is its name and `weights` the hash of its weights; a path has no place here. The home folder, where a
    caption holds it, becomes `~`. `bf16` says whether the network computes in bfloat16.
    """
    made = {"model": model, "weights": weights, "recipe": order.to_dict(), "versions": versions()}
    return without_home({**made, "numerics": numerics(order, bf16)})


def versions() -> dict[str, str]:
    """The versions of mediadiff and of the libraries that a clip's bytes go through."""
    return {"mediadiff": __version__} | {name: _version(name) for name in _LIBRARIES}


@cache
def _version(name: str) -> str:
    # It is read from disk, which for every clip anew takes longer than its file does.
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def numerics(order: Order, bf16: bool) -> dict[str, Any]:
    """What else float results depend on: the processor, the threads, the precision, the clips that run at once."""
    from mediadiff.nn.precision import units

    return {"processor": units(), "threads": order.sampling.threads, "bf16": bf16, "batch": order.sampling.batch}


def save(clip: Clip, folder: Path, name: str, made: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Writes a clip into the file `name` of `folder` with its facts inside, reads it back, and returns its row.

    Where the format has no room for the facts they go into `sidecar(file)`. `made` is from `facts`, `seconds` the time
    that the clip took. The row is for `append`, now that the file is in place. Raises what `mediadiff.io.write` raises;
    a file that cannot be read back does not stay. A row of sound and picture says how they lie, see `together`.
    """
    path = folder / name
    clip.with_tags(**{TAG: json.dumps(made, separators=(",", ":"))}).save(path)
    try:
        written = read_media(path)
        both = clip.sound is not None and clip.picture is not None
        checked = {"together": together(path, clip, written)} if both else {}
    except BaseException:
        path.unlink(missing_ok=True)
        sidecar(path).unlink(missing_ok=True)
        raise
    if carried(written.tags) != made:
        write_json(sidecar(path), made)
    else:
        # Of an earlier clip of that name.
        sidecar(path).unlink(missing_ok=True)
    return {
        "id": identity(made["weights"], made["recipe"]),
        "file": PurePosixPath(name).as_posix(),
        "sha256": sha256(path),
        "samples_sha256": samples_sha256(written),
        **{key: made[key] for key in FACTS},
        "seconds": round(seconds, 3),
        **checked,
    }


def sidecar(path: Path) -> Path:
    """Where a file's facts are when the file cannot hold them: `FILE.json`."""
    return path.with_name(f"{path.name}.json")


def carried(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """The facts in a file's tags; None where there are none, or not all."""
    try:
        made = json.loads(tags[TAG])
    except (KeyError, ValueError, RecursionError):
        return None
    return made if _is_made(made) else None


def beside(path: Path) -> dict[str, Any] | None:
    """The facts in a file's sidecar; None where there is none, or none that is whole."""
    try:
        made = json.loads(sidecar(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return made if _is_made(made) else None


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds a row to the folder's manifest, synced; a line that a crash tore before it stays alone. DiskFullError."""
    append_line(folder / NAME, json.dumps(row, separators=(",", ":"), allow_nan=False))


def read(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of the folder's manifest, and a note for each line that is none, such as one that a crash tore.

    A file that was rendered again has its last row alone. A folder without a manifest has no rows.
    """
    rows: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    if not (folder / NAME).is_file():
        return [], []
    for number, row in lines(folder / NAME):
        if row is None:
            notes.append(f"{NAME} line {number} is not a whole row; it is passed over")
        else:
            rows.pop(row["file"], None)
            rows[row["file"]] = row
    return list(rows.values()), notes


def lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Each line of a manifest that is not empty: its number, and its row or None; one line is held at a time."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, parse(line)


def parse(text: str | bytes) -> dict[str, Any] | None:
    """The row in a text; None where there is none, or none that is whole."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if _is_row(found) else None


def sources(folder: Path) -> list[Path]:
    """The manifests of a folder: those that shards of a batch write (`manifest-I-of-N.jsonl`), then its own."""
    return sorted(path for path in folder.glob("manifest*.jsonl") if path.is_file())


def samples_sha256(clip: Clip) -> str:
    """The hash of what is heard and seen, whatever file holds it.

    Sound: a line `sound RATE CHANNELS LENGTH`, then the samples as whole numbers of 24 bits, in time order, channels
    side by side, 4 bytes each, the lowest first. Picture: a line `picture RATE FRAMES HEIGHT WIDTH`, then the frames'
    RGB bytes. A lossless file gives the hash of the clip that was written, as long as that is within full scale.
    """
    digest = hashlib.sha256()
    if clip.sound is not None:
        samples = clip.sound.samples
        digest.update(f"sound {clip.sound.sample_rate} {samples.shape[0]} {samples.shape[1]}\n".encode())
        whole = np.clip(np.rint(samples.T.astype(np.float64) * 2**23), -(2**23), 2**23 - 1)
        digest.update(whole.astype("<i4").tobytes())
    if clip.picture is not None:
        frames, height, width, _ = clip.picture.frames.shape
        digest.update(f"picture {clip.picture.rate} {frames} {height} {width}\n".encode())
        digest.update(clip.picture.frames.tobytes())
    return digest.hexdigest()


def _is_made(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    texts = all(isinstance(value.get(key), str) for key in ("model", "weights"))
    return texts and all(isinstance(value.get(key), dict) for key in ("recipe", "versions", "numerics"))


def _is_row(value: Any) -> bool:
    """Whether it is a row, of a file inside the folder."""
    if not _is_made(value) or not all(isinstance(value.get(key), str) for key in _TEXTS):
        return False
    place = PurePosixPath(value["file"])
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts and "\0" not in value["file"]
