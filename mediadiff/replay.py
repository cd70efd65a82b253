"""A clip made again from what is written down of it alone, and held against what it was."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mediadiff.errors import DiskFullError, MediadiffError, UsageError
from mediadiff.io.files import check_folder, sha256
from mediadiff.io.write import FORMATS
from mediadiff.model import SHIPPED, Model, describe, shipped
from mediadiff.rendering import manifest
from mediadiff.rendering.ledger import refuse_batch
from mediadiff.rendering.record import Difference, Record, differences, recorded

Outcome = Literal["same bytes", "same samples", "other samples", "other weights", "not rendered"]
_EXIT_CODES: dict[Outcome, int] = {"same bytes": 0, "not rendered": 2}
_WORDS: dict[Outcome, str] = {
    "same bytes": "same bytes",
    "same samples": "same samples, other file bytes",
    "other samples": "other samples",
    "other weights": "not rendered: these are other weights than the clip's",
    "not rendered": "could not be rendered",
}
_THEN_NOW = ("then", "now")


@dataclass(frozen=True)
class Replay:
    """What came of it: `differences` are between then and now, and between the records of then."""

    file: str
    outcome: Outcome
    differences: tuple[Difference, ...] = ()
    text: str = ""
    """What else there is to say."""
    path: Path | None = None
    """The file made now, where it was kept."""

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES.get(self.outcome, 3)

    def lines(self) -> list[str]:
        """For people: the outcome, then a line for each difference."""
        said = [f"{self.file}: {_WORDS[self.outcome]}", *(f"  {item.text()}" for item in self.differences)]
        return [*said, *([f"  {self.text}"] if self.text else [])]

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "outcome": self.outcome,
            "differences": [item.to_dict() for item in self.differences],
            "text": self.text,
            "path": None if self.path is None else str(self.path),
        }


def replay(
    source: str | Path, model: str | Path | None = None, out: Path | None = None, files: Sequence[Path] = ()
) -> Replay:
    """Makes a clip again and says whether it is the same; `source` is what `recorded` takes.

    The model is the shipped one of the clip's model's name, or `model`, a folder; with other weights than the clip's
    nothing is rendered. The clip is made with the threads, and in the micro-batch, that its recipe names. `out` is a
    folder to keep the new file in, with its row; `files` are those that the clip was made from, under whatever names:
    they are known by their hash. Raises UsageError, ModelError for a `model` that is none, MediaError
    for a file that cannot be opened, and DiskFullError.
    """
    then = recorded(source)
    for file in files:
        if not file.is_file():
            raise UsageError(f"{file}: there is no such file; --file names one that the clip was made from")
    if out is not None and then.path is not None and out.exists() and out.samefile(then.path.parent):
        raise UsageError(
            f"{out} holds the clip itself, which the new one would replace: name another folder with --out"
        )
    if out is not None:
        check_folder(out)
        refuse_batch(out)
    name = then.made["model"]
    if model is None and name not in shipped():
        gone = Difference("model", name, "not found", _THEN_NOW)
        hint = f"no model called {name!r} is shipped: name the folder of the clip's model with --model"
        return Replay(then.name, "not rendered", (gone, *then.disagreements), hint)
    found = describe(SHIPPED / name if model is None else model)
    if found.sha256 != then.made["weights"]:
        return _refused(then, found, hint=model is None)
    try:
        return _rendered(then, found, out, files)
    except DiskFullError:
        raise
    except (MediadiffError, RuntimeError, ValueError, OSError) as error:
        return Replay(then.name, "not rendered", (*_versions(then), *then.disagreements), str(error))


def _refused(then: Record, model: Model, hint: bool) -> Replay:
    now = {"model": model.name, "weights": model.sha256}
    was = {key: then.made[key] for key in now}
    said = "if you have the clip's own model, name its folder with --model" if hint else ""
    found = (*differences(was, now, _THEN_NOW), *_versions(then), *then.disagreements)
    return Replay(then.name, "other weights", found, said)


def _versions(then: Record) -> list[Difference]:
    return differences(then.made["versions"], manifest.versions(), _THEN_NOW, "versions.")


def _rendered(then: Record, model: Model, out: Path | None, files: Sequence[Path]) -> Replay:
    order = model.order(then.made["recipe"], {sha256(file): str(file) for file in files})
    if order.format not in FORMATS:
        raise UsageError(f"its recipe names the format {order.format!r}; there are: {', '.join(FORMATS)}")
    name = f"{PurePosixPath(then.name).stem}.{order.format}"
    begun = time.monotonic()
    (clip,) = model.generator.render([order.request], order.seconds, order.sampling)
    made = manifest.facts(model.name, model.sha256, order, model.generator.bf16)
    with tempfile.TemporaryDirectory() if out is None else nullcontext(out) as folder:
        row = manifest.save(clip, Path(folder), name, made, time.monotonic() - begun)
    if out is not None:
        manifest.append(out, row)
    found = (*differences(then.made, made, _THEN_NOW), *then.disagreements)
    kept = None if out is None else out / name
    if row["sha256"] == then.sha256:
        return Replay(then.name, "same bytes", found, path=kept)
    outcome: Outcome = "same samples" if row["samples_sha256"] == then.samples_sha256 else "other samples"
    return Replay(then.name, outcome, found, _reason(then, row, bool(found)), kept)


def _reason(then: Record, row: Mapping[str, Any], is_named: bool) -> str:
    if row["sha256"] == then.listed:
        return "the clip made now has the bytes that the manifest names: the file was changed after it was rendered"
    if is_named:
        return ""
    return (
        "all that is written down agrees (model, weights, recipe, versions, processor, threads, bf16, batch), and the "
        "bytes still differ: the file was changed after it was rendered, or this machine computes otherwise"
    )
