"""Recipes: a YAML document in, a checked and frozen recipe out, or all its mistakes at once.

Nothing here builds a network or opens media; `mediadiff.build` does that with what comes out.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from mediadiff import domains
from mediadiff.data.settings import DataSettings
from mediadiff.diffusion.settings import DiffusionSettings, Guidance, SamplingSettings
from mediadiff.domains.base import Domain
from mediadiff.errors import RecipeError
from mediadiff.nn.settings import ConditionSettings, NetworkSettings
from mediadiff.training.settings import TrainingSettings
from mediadiff.validation import INTERNAL, check, nearest, note, schema, unknown
from mediadiff.yaml_document import (
    MAX_BYTES,
    Document,
    Mark,
    Problem,
    describe,
    dotted,
    read_document,
    read_value,
    shorten,
)

VERSION = 1
COMMAND_LINE = Mark(0, 0)

MEDIA = ("sound", "picture")

Seconds = Annotated[float, Gt(0), Le(3600)]
Text = Annotated[str, MinLen(1), MaxLen(4096)]
Format = Literal["wav", "flac", "ogg", "mp3", "mp4", "webm", "mkv", "gif", "png"]


@dataclass(frozen=True)
class TrainRecipe:
    """How a model is made from a folder of media."""

    task: ClassVar[str] = "train"

    name: Annotated[str, MinLen(1), MaxLen(64)]
    """What the model is called; its folder takes this name."""
    seconds: Seconds
    """The length of a clip, as training sees it."""
    data: DataSettings
    """The media to learn from."""
    streams: dict[str, Any]
    """What a clip is made of: sound, picture or both, each with its domain and the domain's settings."""
    condition: ConditionSettings = ConditionSettings()
    """What a clip may be asked for by."""
    network: NetworkSettings = NetworkSettings()
    """The network's size and shape."""
    diffusion: DiffusionSettings = DiffusionSettings()
    """Noise levels, and what the network predicts."""
    training: TrainingSettings = TrainingSettings()
    """How long and how fast to train."""
    sampling: SamplingSettings = SamplingSettings()
    """How clips are drawn; kept with the model as its default."""
    written: dict[str, str] = field(default_factory=dict, repr=False, compare=False, metadata=INTERNAL)
    """Paths as the recipe wrote them, where they were filled in: `{"data.folder": "$MEDIADIFF_DATA/fsdd"}`."""

    def to_dict(self) -> dict[str, Any]:
        """The recipe with every default spelled out, and paths as they were written; `from_dict` takes it back."""
        return _to_dict(self)


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
class RenderRecipe:
    """Which clips to render from which model."""

    task: ClassVar[str] = "render"

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
        return {n: getattr(self, n) for n in names} | {"from": self.from_, "timeline": _plain(self.timeline)}

    def to_dict(self) -> dict[str, Any]:
        """The recipe with every default spelled out, and paths as they were written; `from_dict` takes it back."""
        return _to_dict(self)


Recipe = TrainRecipe | RenderRecipe
_KINDS: dict[str, type[TrainRecipe] | type[RenderRecipe]] = {kind.task: kind for kind in (TrainRecipe, RenderRecipe)}


def load_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in a file, changed by `overrides` such as `training.batch=64`; their values are read as YAML.

    `$NAME` in `data.folder`, `data.table`, `model` and the given files is filled in from the environment. Raises
    RecipeError, whose message has one line for each mistake: the place, what was got, what is allowed, and the nearest
    legal name.
    """
    path = Path(path)
    document = read_document(_content(path))
    if document.data or not document.problems:
        for override in overrides:
            _override(document, override)
    return _recipe(document, str(path), path.parent)


def from_dict(data: Mapping[str, Any], source: str = "the recipe") -> Recipe:
    """The recipe that `to_dict` gave, checked in full; paths are left as written. Raises RecipeError."""
    return _recipe(Document(dict(data)), source, None)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of both kinds of recipe, for editors."""
    definitions: dict[str, Any] = {}
    for task, kind in _KINDS.items():
        one = schema(kind)
        definitions |= one.pop("$defs")
        head = {"mediadiff": {"const": VERSION, "description": "The version of the recipe's format."}}
        head["task"] = {"const": task, "description": "What the recipe is for."}
        one["properties"] = head | one["properties"]
        one["required"] = [*head, *one["required"]]
        definitions[kind.__name__] = one
    streams: dict[str, Any] = {medium: [] for medium in MEDIA}
    for name in domains.names():
        one = schema(domains.get(name))
        definitions |= one.pop("$defs")
        one["properties"] = {"domain": {"const": name}} | one["properties"]
        one["required"] = ["domain", *one.get("required", ())]
        definitions[domains.get(name).__name__] = one
        streams[domains.get(name).medium].append({"$ref": f"#/$defs/{domains.get(name).__name__}"})
    definitions["TrainRecipe"]["properties"]["streams"] |= {
        "properties": {name: {"anyOf": kinds} for name, kinds in streams.items()},
        "additionalProperties": False,
        "minProperties": 1,
    }
    sampling = schema(SamplingSettings)
    definitions |= sampling.pop("$defs")
    definitions["RenderRecipe"]["properties"]["sampling"] = {"$ref": "#/$defs/SamplingSettings"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mediadiff recipe",
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in _KINDS.values()],
        "$defs": definitions,
    }


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise RecipeError(f"{path}: not a file; a recipe is a YAML file")
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = nearest(path.name, [p.name for p in path.parent.glob("*.y*ml")]) if path.parent.is_dir() else ""
        raise RecipeError(f"{path}: no such file{near}") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _override(document: Document, text: str) -> None:
    name, equals, value_text = text.partition("=")
    path = tuple(name.split("."))
    if not equals or not all(path):
        problem = f"{shorten(text)!r} is not of the form name=value, such as training.batch=64"
        document.problems.append(Problem((), COMMAND_LINE, problem))
        return
    value, wrong = read_value(value_text)
    document.put(path, value, COMMAND_LINE)
    document.problems += [Problem(path, COMMAND_LINE, f"{shorten(value_text)!r}: {said}") for said in wrong]


def _recipe(document: Document, source: str, folder: Path | None) -> Recipe:
    """The recipe of a document; where `folder` is given, paths are filled in, relative to it."""
    recipe: Recipe | None = None
    if document.data or not document.problems:
        kind = _kind(document)
        if kind is TrainRecipe:
            recipe = _train_recipe(document)
        elif kind is RenderRecipe:
            recipe = _render_recipe(document)
    if recipe is not None and folder is not None:
        recipe = _fill_in(recipe, document, folder)
    if document.problems or recipe is None:
        # In the order of the text; the command line comes last.
        problems = sorted(document.problems, key=lambda problem: problem.mark or COMMAND_LINE)
        first = sum(not (problem.mark or COMMAND_LINE).line for problem in problems)
        lines = [f"  {problem}" for problem in problems[first:] + problems[:first]]
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        shown = lines if len(lines) <= 50 else [*lines[:50], f"  and {len(lines) - 50} more"]
        raise RecipeError("\n".join([f"{source}: {count}", *shown]))
    return recipe


def _kind(document: Document) -> type[TrainRecipe] | type[RenderRecipe] | None:
    data = document.data
    version, task = data.get("mediadiff"), data.get("task")
    if "mediadiff" not in data:
        note(document, ("mediadiff",), f"is missing: a recipe starts with its version, mediadiff: {VERSION}")
    elif type(version) is not int or version != VERSION:
        newer = "; update mediadiff to read it" if type(version) is int and version > VERSION else ""
        note(document, ("mediadiff",), f"this mediadiff reads version {VERSION}; got {shorten(str(version))}{newer}")
    if "task" not in data:
        note(document, ("task",), f"is missing; it takes one of {', '.join(_KINDS)}")
    elif not isinstance(task, str) or task not in _KINDS:
        got = shorten(str(task))
        note(document, ("task",), f"takes one of {', '.join(_KINDS)}; got {got!r}{nearest(got, _KINDS)}")
    else:
        return _KINDS[task]
    return None


_HEAD = ("mediadiff", "task")


def _train_recipe(document: Document) -> TrainRecipe | None:
    recipe = check(TrainRecipe, document, (), document.data, also=_HEAD)
    streams = document.data.get("streams")
    found: dict[str, Domain] = {}
    for name, section in streams.items() if isinstance(streams, dict) else ():
        stream = _stream(document, name, section)
        if stream is not None:
            found[name] = stream
    if recipe is None:
        return None
    if not re.fullmatch(r"\w[\w.-]*", recipe.name):
        note(
            document,
            ("name",),
            f"takes letters, digits and _ . - only, as a folder's name; got {shorten(recipe.name)!r}",
        )
    if not recipe.streams:
        note(document, ("streams",), "takes sound, picture or both; got none")
    for name in recipe.network.patch:
        if name not in recipe.streams:
            note(document, ("network", "patch", name), unknown(name, recipe.streams), on_key=True)
    if recipe.training.warmup > recipe.training.clips:
        said = f"takes at most the clips of the training ({recipe.training.clips}); got {recipe.training.warmup}"
        note(document, ("training", "warmup"), said)
    _check_interval(document, recipe.sampling)
    for name in recipe.sampling.guidance if isinstance(recipe.sampling.guidance, dict) else ():
        if name not in recipe.streams:
            note(document, ("sampling", "guidance", name), unknown(name, recipe.streams), on_key=True)
    return replace(recipe, streams=found)


def _stream(document: Document, name: str, section: Any) -> Domain | None:
    path = ("streams", name)
    if name not in MEDIA:
        note(document, path, unknown(name, MEDIA), on_key=True)
        return None
    if not isinstance(section, dict):
        note(document, path, f"takes a section: domain, and that domain's settings; got {describe(section)}")
        return None
    domain = section.get("domain")
    if domain is None:
        note(document, (*path, "domain"), f"is missing; it takes one of {', '.join(domains.names())}")
        return None
    if not isinstance(domain, str) or domain not in domains.names():
        got, known = shorten(str(domain)), domains.names()
        note(document, (*path, "domain"), f"takes one of {', '.join(known)}; got {got!r}{nearest(got, known)}")
        return None
    kind = domains.get(domain)
    if kind.medium != name:
        note(
            document,
            (*path, "domain"),
            f"{domain} is a domain of {kind.medium}, so it belongs in streams.{kind.medium}",
        )
    return check(kind, document, path, section, also=("domain",))


def _render_recipe(document: Document) -> RenderRecipe | None:
    given = document.data.get("sampling")
    sampling = check(SamplingSettings, document, ("sampling",), given) if isinstance(given, dict) else None
    recipe = check(RenderRecipe, document, (), document.data, also=_HEAD)
    if recipe is None or (given and sampling is None):
        return None
    if recipe.out is not None and (Path(recipe.out).is_absolute() or ".." in Path(recipe.out).parts):
        said = "takes a folder below the working folder; for any other place give --out on the command line"
        note(document, ("out",), f"{said}; got {shorten(recipe.out)!r}")
    if sampling is None:
        return recipe
    _check_interval(document, sampling)
    return replace(recipe, sampling={name: getattr(sampling, name) for name in recipe.sampling})


def _check_interval(document: Document, sampling: SamplingSettings) -> None:
    if sampling.guidance_low >= sampling.guidance_high:
        said = f"takes more than guidance_low ({sampling.guidance_low:g}); got {sampling.guidance_high:g}"
        note(document, ("sampling", "guidance_high"), said)


def _fill_in(recipe: Recipe, document: Document, folder: Path) -> Recipe:
    """The recipe with its paths made whole: `$NAME` from the environment, relative to the recipe if it is there."""

    def fill(path: tuple[str, ...], text: str) -> str:
        try:
            filled = _expand(text)
        except RecipeError as error:
            note(document, path, str(error))
            return text
        near = folder / filled
        # A table is looked for in the data's folder, and a shipped model has only a name.
        if path == ("data", "table"):
            pass
        elif near.exists() or os.sep in filled or path == ("data", "folder"):
            filled = os.path.abspath(near if near.exists() else filled)
        written[dotted(path)] = text
        return filled

    written: dict[str, str] = {}
    if isinstance(recipe, RenderRecipe):
        paths = {"model": recipe.model, "given_video": recipe.given_video, "given_audio": recipe.given_audio}
        paths |= {"given": recipe.given, "from_": recipe.from_}
        filled = {name: fill((name.rstrip("_"),), path) for name, path in paths.items() if path}
        return replace(recipe, **filled, written=written)  # type: ignore[arg-type]
    data = recipe.data
    if data.folder:
        data = replace(data, folder=fill(("data", "folder"), data.folder))
    if data.table:
        data = replace(data, table=fill(("data", "table"), data.table))
    return replace(recipe, data=data, written=written)


_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))?")


def _expand(text: str) -> str:
    """`text` with `$NAME` and `${NAME}` from the environment, `$$` as a dollar sign, and a leading `~` as home."""

    def value(match: re.Match[str]) -> str:
        dollar, braced, bare = match.groups()
        name = braced or bare
        if dollar:
            return "$"
        if not name:
            raise RecipeError("a lone $; write $$ for a dollar sign, or $NAME for an environment variable")
        if not os.environ.get(name):
            raise RecipeError(
                f"the environment variable {name} is not set; set it (export {name}=/a/folder) or write the path out"
            )
        return os.environ[name]

    return os.path.expanduser(_VARIABLE.sub(value, text))


def _to_dict(recipe: Recipe) -> dict[str, Any]:
    out: dict[str, Any] = {"mediadiff": VERSION, "task": recipe.task}
    for item in fields(recipe):
        if item.name != "written":
            out[item.metadata.get("alias", item.name)] = _plain(getattr(recipe, item.name))
    for path, text in recipe.written.items():
        *sections, last = path.split(".")
        holder = out
        for section in sections:
            holder = holder[section]
        holder[last] = text
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, Domain):
        return {"domain": type(value).__module__.rpartition(".")[2]} | _plain(asdict(value))  # type: ignore[call-overload]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value
