"""Distilling recipes: how a trained model becomes one of a few steps."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from mediadiff.data.settings import DataSettings
from mediadiff.diffusion.settings import ConsistencySettings, Guidance, Lowest, MatchingSettings
from mediadiff.recipe.base import HEAD, Recipe, Text, check_name, check_warmup
from mediadiff.recipe.paths import Paths
from mediadiff.training.settings import TuningSettings
from mediadiff.validation import INTERNAL, check, note, schema
from mediadiff.yaml_document import Document


@dataclass(frozen=True)
class DistillRecipe(Recipe):
    """How a student of a few steps is made from a trained model, its teacher, and the same media."""

    task: ClassVar[str] = "distill"
    purpose: ClassVar[str] = "distilling"

    name: Annotated[str, MinLen(1), MaxLen(64)]
    """What the student is called; its folder takes this name."""
    model: Text
    """The teacher: a model's folder, or the name of a shipped model."""
    start: Text | None = None
    """A student of this teacher, or another model of the same network and scale, whose weights this one starts from;
    nothing: the teacher itself."""
    steps: Annotated[int, Ge(1), Le(16)] = 2
    """Evaluations of the network for a clip; one, two or four are usual."""
    sigma_min: Lowest | dict[str, Lowest] = 3.0
    """The lowest noise level at which the student is asked, if it has more than one step; or of each stream by name."""
    guidance: Guidance | dict[str, Guidance] | None = None
    """The teacher's guidance, which the student will have in it; nothing: that of the teacher's own sampling."""
    guidance_low: Annotated[float, Ge(0)] | None = None
    """Guide the teacher only where sigma is above this ..."""
    guidance_high: Annotated[float, Gt(0)] | None = None
    """... and below this; nothing: as the teacher's own sampling does."""
    autoguidance: Guidance | None = None
    """The teacher's guidance by its early snapshot, if it has one; nothing: that of its own sampling."""
    synchrony: Guidance | None = None
    """The teacher's guidance towards what fits the other streams; nothing: that of its own sampling."""
    consistency: ConsistencySettings = ConsistencySettings()
    """How the student is tuned: to answer alike along the teacher's paths ..."""
    matching: MatchingSettings | None = None
    """... or, where this is there, to make what the teacher might make, from a `start` that was tuned before."""
    training: TuningSettings = TuningSettings()
    """How long and how fast."""
    data: dict[str, Any] = field(default_factory=dict)
    """What differs from the data that the teacher was trained on."""
    written: dict[str, str] = field(default_factory=dict, repr=False, compare=False, metadata=INTERNAL)
    """Paths as the recipe wrote them, where they were filled in."""

    @property
    def tuning(self) -> tuple[str, ConsistencySettings | MatchingSettings]:
        """The section that says how the student is tuned: its name and its settings."""
        return ("consistency", self.consistency) if self.matching is None else ("matching", self.matching)

    @classmethod
    def checked(cls, document: Document) -> DistillRecipe | None:
        """The recipe, its `data` holding only what the document says of it."""
        given = document.data.get("data")
        data = check(DataSettings, document, ("data",), _whole(given)) if isinstance(given, dict) else None
        recipe = check(cls, document, (), document.data, also=HEAD)
        if recipe is None or (given and data is None):
            return None
        check_name(document, recipe.name)
        check_warmup(document, recipe.training)
        if recipe.matching is not None and recipe.consistency != ConsistencySettings():
            note(document, ("consistency",), "and matching are two ways to tune a student; leave one of them out")
        if recipe.matching is not None and recipe.start is None:
            note(document, ("matching",), "goes on from a student: name one that was tuned by consistency, with start")
        return replace(recipe, data={name: getattr(data, name) for name in recipe.data})

    def filled_in(self, paths: Paths) -> DistillRecipe:
        """The recipe with its paths made whole; a shipped model has only a name, so it stays one."""
        data = dict(self.data)
        if data.get("folder"):
            data["folder"] = os.path.abspath(paths.find(("data", "folder"), data["folder"]))
        if data.get("table"):
            data["table"] = paths.expand(("data", "table"), data["table"])
        start = None if self.start is None else paths.find(("start",), self.start)
        return replace(self, model=paths.find(("model",), self.model), start=start, data=data, written=paths.written)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Its JSON Schema, with what `data` takes."""
        whole, data = schema(cls), schema(DataSettings)
        whole["$defs"] |= data.pop("$defs") | {"DataSettings": data}
        whole["properties"]["data"] = {"$ref": "#/$defs/DataSettings"}
        return whole


def _whole(data: dict[str, Any]) -> dict[str, Any]:
    """Changes of data as data that can be checked: these are of a folder unless they say otherwise."""
    return data if data.get("bounce") else {"folder": "the teacher's"} | data
