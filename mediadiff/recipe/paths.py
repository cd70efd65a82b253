"""Paths in recipes: `$NAME` from the environment, and relative to the recipe where that is where they lie."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mediadiff.errors import RecipeError
from mediadiff.validation import note
from mediadiff.yaml_document import Document, dotted


class Paths:
    """Fills in the paths of a document that lies in `folder`, and keeps how they were `written`."""

    def __init__(self, document: Document, folder: Path):
        self.document, self.folder = document, folder
        self.written: dict[str, str] = {}

    def expand(self, place: tuple[str, ...], text: str) -> str:
        """`text`, at `place` of the document, with the environment filled in; a mistake in it is noted."""
        try:
            filled = _expand(text)
        except RecipeError as error:
            note(self.document, place, str(error))
            return text
        self.written[dotted(place)] = text
        return filled

    def find(self, place: tuple[str, ...], text: str) -> str:
        """The same, absolute if it is there beside the recipe or has a folder in it; else it may be only a name."""
        filled = self.expand(place, text)
        beside = self.folder / filled
        if os.path.exists(beside):
            return os.path.abspath(beside)
        return os.path.abspath(filled) if os.sep in filled else filled


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
