"""Render recipes: which clips to render from which model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from mediadiff.diffusion.settings import Guidance, SamplingSettings
from mediadiff.recipe.base import HEAD, Recipe, Seconds, Text, check_interval, plain
from mediadiff.recipe.paths import Paths
from mediadiff.validation import INTERNAL, check, note, schema
from mediadiff.yaml_document import Document, shorten

Format = Literal["wav", "flac", "ogg", "mp3", "mp4", "webm", "mkv", "gif", "png"]


@dataclass(frozen=True)
class MomentSettings:
    """What is asked for at a moment of a clip."""

    at: Annotated[float, Ge(0), Le(3600)]
    """Seconds from the clip's beginning."""
    label: Text | int | None = None
    """From here to the next moment with a label, the clip goes over from one label to the other."""
    guidance: Guidance | None = None
    strength: Annotated[float, Ge(0), Le(1)] | None = None
    """How far the file under `from` may change."""


@dataclass(frozen=True)
class RenderRecipe(Recipe):
    """Which clips to render from which model."""

    task: ClassVar[str] = "render"
    purpose: ClassVar[str] = "rendering"

    model: Text
    """A model's folder, or the name of a shipped model."""
    num: Annotated[int, Ge(1), Le(10**9)] = 1
    """How many clips."""
    label: Text | int | tuple[Text | int, ...] | None = None
    """What to ask for: one label, or a list that the clips go through in turn."""
    caption: Text | None = None
    """What to ask for in words, of a model that was trained with captions."""
    scalars: dict[str, float] = field(default_factory=dict)
    """What to ask for in numbers, by name, of a model that was trained with them."""
    seconds: Seconds | None = None
    """The length of each clip; nothing: as the model was trained."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """Another seed gives other clips."""
    first: Annotated[int, Ge(0), Le(10**9)] = 0
    """The index of the first clip; a clip depends on its seed and index, not on how many are rendered."""
    format: Format | None = None
    """The ending of the files; nothing: what suits the model's streams."""
    out: Text | None = None
    """The folder for the clips, below the working folder; the command line's --out goes before it."""
    sampling: dict[str, Any] = field(default_factory=dict)
    """What differs from the sampling settings that the model was saved with."""
    given_video: Text | None = None
    """A file whose picture is given: the model makes the sound for it."""
    given_audio: Text | None = None
    """A file whose sound is given: the model makes the picture for it."""
    given: Text | None = None
    """A file of which parts are given, see `keep`."""
    keep: Text | tuple[Text, ...] | None = None
    """What is kept of `given`, in seconds: `0:0.5s`, `1.5:` (to the end), `sound=0:0.5s` (of one stream)."""
    from_: Text | None = field(default=None, metadata={"alias": "from"})
    """A file to vary."""
    strength: Annotated[float, Gt(0), Le(1)] | None = None
    """How far the file under `from` may change: at 1 it is forgotten."""
    loop: bool = False
    """Whether the end of a clip goes on at its beginning."""
    timeline: tuple[MomentSettings, ...] = ()
    """What is asked for at which moment; it changes evenly in between."""
    written: dict[str, str] = field(default_factory=dict, repr=False, compare=False, metadata=INTERNAL)
    """Paths as the recipe wrote them, where they were filled in."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels to go through, as text; empty where none is asked for."""
        if self.label is None:
            return ()
        return tuple(str(label) for label in (self.label if isinstance(self.label, tuple) else (self.label,)))

    @property
    def asked(self) -> dict[str, Any]:
        """What is given and how, by these names, for `Model.requests`."""
        names = ("given_video", "given_audio", "given", "keep", "strength", "loop")
        return {n: getattr(self, n) for n in names} | {"from": self.from_, "timeline": plain(self.timeline)}

    @classmethod
    def checked(cls, document: Document) -> RenderRecipe | None:
        """The recipe, its `sampling` holding only what the document says of it."""
        given = document.data.get("sampling")
        sampling = check(SamplingSettings, document, ("sampling",), given) if isinstance(given, dict) else None
        recipe = check(cls, document, (), document.data, also=HEAD)
        if recipe is None or (given and sampling is None):
            return None
        if recipe.out is not None and (Path(recipe.out).is_absolute() or ".." in Path(recipe.out).parts):
            said = "takes a folder below the working folder; for any other place give --out on the command line"
            note(document, ("out",), f"{said}; got {shorten(recipe.out)!r}")
        if sampling is None:
            return recipe
        check_interval(document, sampling)
        return replace(recipe, sampling={name: getattr(sampling, name) for name in recipe.sampling})

    def filled_in(self, paths: Paths) -> RenderRecipe:
        """The recipe with its paths made whole; a shipped model has only a name, so it stays one."""
        names = ("model", "given_video", "given_audio", "given", "from_")
        files = {name: paths.find((name.rstrip("_"),), path) for name in names if (path := getattr(self, name))}
        return replace(self, **files, written=paths.written)  # type: ignore[arg-type]

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Its JSON Schema, with what `sampling` takes."""
        whole, sampling = schema(cls), schema(SamplingSettings)
        whole["$defs"] |= sampling.pop("$defs") | {"SamplingSettings": sampling}
        whole["properties"]["sampling"] = {"$ref": "#/$defs/SamplingSettings"}
        return whole
