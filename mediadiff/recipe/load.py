"""Recipes read from files: changed by the command line, checked, or refused with every mistake at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mediadiff.errors import RecipeError
from mediadiff.recipe.base import VERSION, Recipe
from mediadiff.recipe.kinds import KINDS
from mediadiff.recipe.paths import Paths
from mediadiff.validation import nearest, note
from mediadiff.yaml_document import MAX_BYTES, Document, Mark, Problem, read_document, read_value, shorten

COMMAND_LINE = Mark(0, 0)


def load_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in a file, changed by `overrides` such as `training.batch=64`; their values are read as YAML.

    `$NAME` in `data.folder`, `data.table`, `model`, `start` and the given files is filled in from the environment.
    Raises RecipeError, whose message has one line for each mistake: the place, what was got, what is allowed, and the
    nearest legal name.
    """
    path = Path(path)
    document = read_document(_content(path))
    if document.data or not document.problems:
        for override in overrides:
            _override(document, override)
    return _recipe(document, str(path), path.parent)


def from_dict(data: Mapping[str, Any], source: str = "the recipe", overrides: Iterable[str] = ()) -> Recipe:
    """The recipe that `to_dict` gave, changed by `overrides` and checked in full; paths are left as written.

    Raises RecipeError.
    """
    document = Document(deepcopy(dict(data)))
    for override in overrides:
        _override(document, override)
    return _recipe(document, source, None)


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
        recipe = kind.checked(document) if kind is not None else None
    if recipe is not None and folder is not None:
        recipe = recipe.filled_in(Paths(document, folder))
    if document.problems or recipe is None:
        # In the order of the text; the command line comes last.
        problems = sorted(document.problems, key=lambda problem: problem.mark or COMMAND_LINE)
        first = sum(not (problem.mark or COMMAND_LINE).line for problem in problems)
        lines = [f"  {problem}" for problem in problems[first:] + problems[:first]]
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        shown = lines if len(lines) <= 50 else [*lines[:50], f"  and {len(lines) - 50} more"]
        raise RecipeError("\n".join([f"{source}: {count}", *shown]))
    return recipe


def _kind(document: Document) -> type[Recipe] | None:
    data = document.data
    version, task = data.get("mediadiff"), data.get("task")
    if "mediadiff" not in data:
        note(document, ("mediadiff",), f"is missing: a recipe starts with its version, mediadiff: {VERSION}")
    elif type(version) is not int or version != VERSION:
        newer = "; update mediadiff to read it" if type(version) is int and version > VERSION else ""
        note(document, ("mediadiff",), f"this mediadiff reads version {VERSION}; got {shorten(str(version))}{newer}")
    if "task" not in data:
        note(document, ("task",), f"is missing; it takes one of {', '.join(KINDS)}")
    elif not isinstance(task, str) or task not in KINDS:
        got = shorten(str(task))
        note(document, ("task",), f"takes one of {', '.join(KINDS)}; got {got!r}{nearest(got, KINDS)}")
    else:
        return KINDS[task]
    return None
