"""Lists of jobs: YAML, JSONL or CSV in, one order a row out, or all mistakes at once."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from mediadiff.diffusion.settings import SamplingSettings
from mediadiff.errors import MediadiffError, RecipeError
from mediadiff.io.address import is_address
from mediadiff.io.files import cache_folder
from mediadiff.io.store import local_copy, local_folder
from mediadiff.model import Model, describe
from mediadiff.recipe import RenderRecipe, from_dict, load_recipe
from mediadiff.rendering.ledger import Job
from mediadiff.rendering.request import Order, check_format, identity, natural_ending
from mediadiff.validation import check, unknown
from mediadiff.yaml_document import MAX_BYTES, dotted, read_document, read_value, shorten

MOST_MISTAKES = 50
LONGEST_NAME = 200
"""Bytes of a file's name without its ending, which leaves room for a sidecar's."""
_OWN = ("recipe", "model", "name", "index")
_SAMPLING = tuple(item.name for item in fields(SamplingSettings))
_FILES = ("given_video", "given_audio", "given", "from")
_RENDER = tuple(
    item.metadata.get("alias", item.name)
    for item in fields(RenderRecipe)
    if item.name not in ("model", "num", "first", "out", "sampling", "written")
)
KEYS = (*_OWN, *_RENDER, *_SAMPLING)
"""What a row may say: `recipe` or `model`, what render takes, an `index` and a `name`."""
_TEXT = ("recipe", "model", "name", "label", "caption", "format", "sampler", "keep", *_FILES)


@dataclass(frozen=True)
class JobsDocument:
    """A YAML list of jobs: the base, and the values that are laid over it, row by row."""

    task: ClassVar[str] = "batch"

    base: dict[str, Any] = field(default_factory=dict)
    """What every row says unless it says otherwise."""
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values by key: every combination is a row."""
    zip: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values by key, equally many: the first of each are a row, the second of each, and so on."""
    rows: tuple[dict[str, Any], ...] = ({},)
    """Rows one by one; each is repeated for every row of grid and zip, and goes before them."""


@dataclass(frozen=True)
class Row:
    """What one row says, and where it stands."""

    values: Mapping[str, Any]
    place: str


def read_jobs(path: Path) -> Iterator[Job]:
    """The jobs of a list, in order; each is made when it is asked for. What is kept of a job is its id and file name.

    Raises RecipeError when the list has mistakes, after the last row, with up to 50 of them, each with its line.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise RecipeError(f"{path}: a list of jobs ends in {', '.join(_READERS)}; got {path.suffix or 'no ending'!r}")
    if not path.is_file():
        raise RecipeError(f"{path}: no such file")
    mistakes: list[str] = []
    bench = _Bench(path.parent)
    taken: dict[str, str] = {}
    number = 0
    for number, row in enumerate(reader(path), 1):
        try:
            job = bench.job(number - 1, row)
            if job.id in taken:
                raise RecipeError(f"asks for the same clip as {taken[job.id]}; change its seed or index, or drop it")
            if job.file in taken:
                raise RecipeError(f"name: {job.file!r} is the file of {taken[job.file]} already")
            taken |= {job.file: row.place, job.id: row.place}
        except MediadiffError as error:
            mistakes += [f"  {row.place}: {line}" for line in _lines(error)]
            if len(mistakes) >= MOST_MISTAKES:
                mistakes.append("  and perhaps more")
                break
        else:
            if not mistakes:
                yield job
    if mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise RecipeError("\n".join([f"{path}: {count}", *mistakes]))
    if not number:
        raise RecipeError(f"{path}: holds no job; write one a row")


class _Bench:
    """Turns rows into jobs; what rows have in common is read once a list."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.seen: Counter[int] = Counter()
        self.recipes: dict[str, dict[str, Any]] = {}
        self.models: dict[str, Model] = {}
        self.samplings: dict[tuple[str, str], SamplingSettings] = {}

    def job(self, number: int, row: Row) -> Job:
        """The job of one row, `number` in the list from 0."""
        for key in row.values:
            if key not in KEYS:
                raise RecipeError(f"{shorten(key)}: {unknown(key, KEYS)}")
        model, order = self._order(row.values)
        file, name = order.file_name(number), row.values.get("name")
        if name is not None:
            if not re.fullmatch(r"\w[\w.+=@ -]*", str(name)) or len(str(name).encode()) > LONGEST_NAME:
                said = f"takes letters, digits and _.+=@- and spaces, no sign first, at most {LONGEST_NAME} bytes"
                raise RecipeError(f"name: {said}; got {shorten(str(name))!r}")
            file = f"{name}.{order.format}"
        asked = order.to_dict()
        place = str(model.folder.resolve())
        task = {"model": place, "weights": model.sha256, "asked": asked}
        task["files"] = dict(order.request.files)
        # Models of the same weights may find a sound's phase otherwise.
        shape = f"{model.sha256[:16]}-{hashlib.sha256(place.encode()).hexdigest()[:8]}-{order.shape()}"
        return Job(number, identity(model.sha256, asked), file, shape, order.sampling.batch, task)

    def _order(self, values: Mapping[str, Any]) -> tuple[Model, Order]:
        document = self._base(str(values["recipe"])) if "recipe" in values else {"sampling": {}}
        if "model" in values:
            document["model"] = values["model"]
        if "model" not in document:
            raise RecipeError("a row names the recipe or the model that it is made with")
        document |= {name: values[name] for name in _RENDER if name in values}
        document |= {name: self._file(values[name]) for name in _FILES if name in values}
        document["sampling"] |= {name: values[name] for name in _SAMPLING if name in values}
        index = values.get("index")
        if index is None:
            # Rows that ask for the same are told apart by how many came before: the first is 0, the next is 1.
            alike = hash(json.dumps(document, sort_keys=True, default=str))
            index = self.seen[alike]
            self.seen[alike] += 1
        wanted = from_dict({"mediadiff": 1, "task": "render", **document, "first": index}, "row")
        assert isinstance(wanted, RenderRecipe)
        source = _near(wanted.model, self.folder)
        model, sampling = self._model(source), self._sampling(source, wanted.sampling)
        labels = list(wanted.labels) or None
        said = wanted.caption or ""
        (request,) = model.requests(1, labels, wanted.seed, wanted.first, said, wanted.scalars, wanted.asked)
        # A list of labels is gone through by index, as render does.
        request = replace(request, label=labels[wanted.first % len(labels)]) if labels else request
        length = model.length(wanted.seconds, request.loop)
        format = wanted.format or natural_ending(model.recipe.streams, length)
        check_format(format, model.recipe.streams, length)
        return model, Order(request, length, sampling, format)

    def _base(self, recipe: str) -> dict[str, Any]:
        """What a render recipe says that a row may say."""
        if recipe not in self.recipes:
            loaded = load_recipe(local_copy(_near(recipe, self.folder), cache_folder() / "inputs"))
            if not isinstance(loaded, RenderRecipe):
                raise RecipeError(
                    f"recipe: {recipe} is a recipe for {loaded.purpose}; a job takes one with task: render"
                )
            said = {name: value for name, value in loaded.to_dict().items() if name in ("sampling", *_RENDER)}
            files = {name: path for name, path in loaded.asked.items() if name in _FILES and path}
            self.recipes[recipe] = said | files | {"model": loaded.model}
        return self.recipes[recipe] | {"sampling": dict(self.recipes[recipe]["sampling"])}

    def _file(self, source: Any) -> Any:
        """A given file as a path of this machine; what is no text is left to the check of the row."""
        if not isinstance(source, str):
            return source
        return str(local_copy(_near(source, self.folder), cache_folder() / "inputs"))

    def _model(self, source: str) -> Model:
        if source not in self.models:
            inputs = cache_folder() / "inputs"
            self.models[source] = describe(local_folder(source, inputs) if is_address(source) else source)
        return self.models[source]

    def _sampling(self, source: str, changes: Mapping[str, Any]) -> SamplingSettings:
        key = source, json.dumps(changes, sort_keys=True)
        if key not in self.samplings:
            self.samplings[key] = self._model(source).sampling(**changes)
        return self.samplings[key]


def _near(text: str, folder: Path) -> str:
    """A path relative to the list where there is one, else as it is: a name, or relative to the working folder."""
    return str(folder / text) if os.path.exists(folder / text) else text


def _lines(error: MediadiffError) -> list[str]:
    """The mistakes of one row, without the heading that a recipe's mistakes have."""
    first, *rest = str(error).splitlines()
    return [line.strip() for line in rest] if rest and first.startswith("row: ") else [" ".join([first, *rest])]


def _yaml(path: Path) -> Iterator[Row]:
    document = read_document(_content(path))
    for name, allowed in (("mediadiff", 1), ("task", JobsDocument.task)):
        if not document.problems and document.data.get(name) != allowed:
            raise RecipeError(f"{path}: a list of jobs in YAML starts with\nmediadiff: 1\ntask: {JobsDocument.task}")
    found = check(JobsDocument, document, (), document.data, also=("mediadiff", "task"))
    if found is None or document.problems:
        raise RecipeError("\n".join([f"{path}: mistakes", *(f"  {problem}" for problem in document.problems)]))
    lengths = {name: len(values) for name, values in found.zip.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise RecipeError(f"{path}: zip: takes equally many values of each key; {said}")
    zipped = [dict(zip(found.zip, values, strict=True)) for values in zip(*found.zip.values(), strict=True)] or [{}]
    for i, row in enumerate(found.rows):
        mark = document.mark(("rows", i)) or document.mark(("grid",)) or document.mark(("zip",))
        for together in zipped:
            for values in product(*found.grid.values()):
                combined = dict(zip(found.grid, values, strict=True))
                said = ", ".join(f"{name} {value}" for name, value in {**combined, **together}.items())
                yield Row({**found.base, **combined, **together, **row}, f"{mark}{f' ({said})' if said else ''}")


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line, parse_constant=_no_constant, object_pairs_hook=_once)
            except (ValueError, RecursionError) as error:
                raise RecipeError(f"{path}: line {number}: not JSON: {error}") from error
            if not isinstance(values, dict):
                raise RecipeError(f"{path}: line {number}: a row is an object, {{...}}; got {shorten(str(values))}")
            yield Row(values, f"line {number}")


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        try:
            head = [name.strip() for name in next(reader, [])]
            if twice := [name for name, count in Counter(filter(None, head)).items() if count > 1]:
                raise RecipeError(f"{path}: line 1: the head of the table has {shorten(twice[0])} twice")
            for cells in reader:
                place = f"line {reader.line_num}"
                if len(cells) > len(head):
                    raise RecipeError(f"{path}: {place}: {len(cells)} cells, and the head of the table has {len(head)}")
                named = {name: cell for name, cell in zip(head, cells, strict=False) if cell.strip()}
                if named:
                    yield Row({name: _cell(name, cell, path, place) for name, cell in named.items()}, place)
        except (csv.Error, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: line {reader.line_num + 1}: not a table in UTF-8: {error}") from error


def _cell(name: str, text: str, path: Path, place: str) -> Any:
    """Text as it is where text is expected, else what YAML would read."""
    if name in _TEXT:
        return text.strip()
    value, wrong = read_value(text.strip())
    if wrong:
        raise RecipeError(f"{path}: {place}: {dotted((name,))}: {shorten(text)!r}: {'; '.join(wrong)}")
    return value


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of an object, each name of which may come once."""
    counts = Counter(name for name, _ in pairs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"{shorten(twice[0])} is written twice")
    return dict(pairs)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number here")


_READERS: dict[str, Callable[[Path], Iterable[Row]]] = {".yaml": _yaml, ".yml": _yaml, ".jsonl": _jsonl, ".csv": _csv}
