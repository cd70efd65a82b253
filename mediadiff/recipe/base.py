"""What every kind of recipe promises, and the types that several of them use."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Annotated, Any, ClassVar, Self

from annotated_types import Gt, Le, MaxLen, MinLen

from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.domains.base import Domain
from mediadiff.recipe.paths import Paths
from mediadiff.training.settings import TrainingSettings
from mediadiff.validation import note, schema
from mediadiff.yaml_document import Document, shorten

VERSION = 1
HEAD = ("mediadiff", "task")
"""What every recipe starts with: the version of its format, and its kind."""

Seconds = Annotated[float, Gt(0), Le(3600)]
Text = Annotated[str, MinLen(1), MaxLen(4096)]


class Recipe(ABC):
    """A recipe is a frozen dataclass whose fields are its settings, in a module of its own in this folder.

    A new kind is one line in `kinds`.
    """

    task: ClassVar[str]
    """What the kind is called under `task:`; the command that takes such a recipe has the same name."""
    purpose: ClassVar[str]
    """What such a recipe is for, as in: a recipe for training."""
    written: dict[str, str]
    """A field, with `mediadiff.validation.INTERNAL` as its metadata: paths as the recipe wrote them, where they were
    filled in, such as `{"data.folder": "$MEDIADIFF_DATA/fsdd"}`."""

    @classmethod
    @abstractmethod
    def checked(cls, document: Document) -> Self | None:
        """The recipe that a document holds; None, and its problems noted, where it holds none."""

    @abstractmethod
    def filled_in(self, paths: Paths) -> Self:
        """The recipe with its paths made whole, and with `written`."""

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Its JSON Schema without the head; what it refers to under `$defs`."""
        return schema(cls)

    def to_dict(self) -> dict[str, Any]:
        """The recipe with every default spelled out, and paths as they were written; `from_dict` takes it back."""
        out: dict[str, Any] = {"mediadiff": VERSION, "task": self.task}
        for item in fields(self):  # type: ignore[arg-type]
            if item.name != "written":
                out[item.metadata.get("alias", item.name)] = plain(getattr(self, item.name))
        for path, text in self.written.items():
            *sections, last = path.split(".")
            holder = out
            for section in sections:
                holder = holder[section]
            holder[last] = text
        return out


def plain(value: Any) -> Any:
    """A setting as a document says it: dicts, lists and what they hold."""
    if isinstance(value, Domain):
        return {"domain": type(value).__module__.rpartition(".")[2]} | plain(asdict(value))  # type: ignore[call-overload]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value


def check_name(document: Document, name: str) -> None:
    """Notes a model's name that cannot be a folder's."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        said = f"takes letters, digits and _ . - only, as a folder's name; got {shorten(name)!r}"
        note(document, ("name",), said)


def check_warmup(document: Document, training: TrainingSettings) -> None:
    """Notes a warm-up that is longer than the training."""
    if training.rise > training.clips:
        said = f"takes at most the clips of the training ({training.clips}); got {training.warmup}"
        note(document, ("training", "warmup"), said)


def check_interval(document: Document, sampling: SamplingSettings) -> None:
    """Notes where guidance would end before it begins."""
    if sampling.guidance_low >= sampling.guidance_high:
        said = f"takes more than guidance_low ({sampling.guidance_low:g}); got {sampling.guidance_high:g}"
        note(document, ("sampling", "guidance_high"), said)
