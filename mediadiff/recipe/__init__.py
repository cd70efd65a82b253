"""Recipes: a YAML document in, a checked and frozen recipe out, or all its mistakes at once.

Nothing here builds a network or opens media; `mediadiff.build` does that with what comes out.
"""

from __future__ import annotations

from mediadiff.recipe.base import Recipe
from mediadiff.recipe.distill import DistillRecipe
from mediadiff.recipe.kinds import json_schema
from mediadiff.recipe.load import from_dict, load_recipe
from mediadiff.recipe.render import RenderRecipe
from mediadiff.recipe.train import TrainRecipe

__all__ = ["DistillRecipe", "Recipe", "RenderRecipe", "TrainRecipe", "from_dict", "json_schema", "load_recipe"]
