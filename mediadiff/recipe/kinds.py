"""The kinds of recipes, told apart by their `task:`."""

from __future__ import annotations

from typing import Any

from mediadiff.recipe.base import VERSION, Recipe
from mediadiff.recipe.distill import DistillRecipe
from mediadiff.recipe.render import RenderRecipe
from mediadiff.recipe.train import TrainRecipe

# A new kind is a file beside this one and a line here.
_KINDS: tuple[type[Recipe], ...] = (
    TrainRecipe,
    RenderRecipe,
    DistillRecipe,
)
KINDS = {kind.task: kind for kind in _KINDS}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of all kinds of recipe, for editors."""
    definitions: dict[str, Any] = {}
    for task, kind in KINDS.items():
        one = kind.schema()
        definitions |= one.pop("$defs")
        head = {"mediadiff": {"const": VERSION, "description": "The version of the recipe's format."}}
        head["task"] = {"const": task, "description": "What the recipe is for."}
        one["properties"] = head | one["properties"]
        one["required"] = [*head, *one["required"]]
        definitions[kind.__name__] = one
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mediadiff recipe",
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in KINDS.values()],
        "$defs": definitions,
    }
