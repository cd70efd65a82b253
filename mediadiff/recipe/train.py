"""Training recipes: how a model is made from a folder of media."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

from annotated_types import MaxLen, MinLen

from mediadiff import domains
from mediadiff.data.settings import DataSettings
from mediadiff.diffusion.settings import DiffusionSettings, SamplingSettings
from mediadiff.domains.base import Domain
from mediadiff.nn.settings import OF_STREAMS, ConditionSettings, NetworkSettings
from mediadiff.recipe.base import HEAD, Recipe, Seconds, check_interval, check_name, check_warmup
from mediadiff.recipe.paths import Paths
from mediadiff.training.settings import TrainingSettings
from mediadiff.validation import INTERNAL, check, nearest, note, schema, unknown
from mediadiff.yaml_document import Document, describe, shorten

MEDIA = ("sound", "picture")


@dataclass(frozen=True)
class TrainRecipe(Recipe):
    """How a model is made from a folder of media."""

    task: ClassVar[str] = "train"
    purpose: ClassVar[str] = "training"

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

    @classmethod
    def checked(cls, document: Document) -> TrainRecipe | None:
        """The recipe with its streams as domains; what one setting asks of another is checked too."""
        recipe = check(cls, document, (), document.data, also=HEAD)
        streams = document.data.get("streams")
        found: dict[str, Domain] = {}
        for name, section in streams.items() if isinstance(streams, dict) else ():
            stream = _stream(document, name, section)
            if stream is not None:
                found[name] = stream
        if recipe is None:
            return None
        check_name(document, recipe.name)
        if not recipe.streams:
            note(document, ("streams",), "takes sound, picture or both; got none")
        for section, named in (
            *((("network", setting), getattr(recipe.network, setting)) for setting in OF_STREAMS),
            *((("sampling", setting), getattr(recipe.sampling, setting)) for setting in ("guidance", "sigma_min")),
        ):
            for name in named if isinstance(named, dict) else ():
                if name not in recipe.streams:
                    note(document, (*section, name), unknown(name, recipe.streams), on_key=True)
        low = recipe.sampling.sigma_min
        if isinstance(low, dict) and (left := [name for name in recipe.streams if name not in low]):
            said = f"takes one level, or one of each stream; {', '.join(left)} has none"
            note(document, ("sampling", "sigma_min"), said)
        check_warmup(document, recipe.training)
        check_interval(document, recipe.sampling)
        return replace(recipe, streams=found)

    def filled_in(self, paths: Paths) -> TrainRecipe:
        """The recipe with its paths made whole; a table is looked for in the data's folder, so it stays a name."""
        data = self.data
        if data.folder:
            data = replace(data, folder=os.path.abspath(paths.find(("data", "folder"), data.folder)))
        if data.table:
            data = replace(data, table=paths.expand(("data", "table"), data.table))
        return replace(self, data=data, written=paths.written)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Its JSON Schema, with what each domain takes under `streams`."""
        whole = schema(cls)
        streams: dict[str, Any] = {medium: [] for medium in MEDIA}
        for name in domains.names():
            kind = domains.get(name)
            one = schema(kind)
            whole["$defs"] |= one.pop("$defs")
            one["properties"] = {"domain": {"const": name}} | one["properties"]
            one["required"] = ["domain", *one.get("required", ())]
            whole["$defs"][kind.__name__] = one
            streams[kind.medium].append({"$ref": f"#/$defs/{kind.__name__}"})
        whole["properties"]["streams"] |= {
            "properties": {name: {"anyOf": kinds} for name, kinds in streams.items()},
            "additionalProperties": False,
            "minProperties": 1,
        }
        return whole


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
