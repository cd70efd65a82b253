"""What there is to choose from: domains, samplers, and the recipes and models that come with a checkout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import get_args

from mediadiff import domains
from mediadiff.diffusion.settings import Sampler
from mediadiff.model import SHIPPED, shipped

_RECIPES = SHIPPED.parent.parent / "recipes"


def catalogue() -> dict[str, list[dict[str, str]]]:
    """All that can be named, by kind; each entry has its `name` and a `summary` in a line."""
    return {
        "domains": [{"name": name, "summary": _domain(name)} for name in domains.names()],
        "samplers": [{"name": name, "summary": ""} for name in get_args(Sampler)],
        "recipes": [{"name": path.name, "summary": _comment(path)} for path in sorted(_RECIPES.glob("*.yaml"))],
        "models": [{"name": name, "summary": _labels(SHIPPED / name)} for name in shipped()],
    }


def _domain(name: str) -> str:
    kind = domains.get(name)
    said = (sys.modules[kind.__module__].__doc__ or "").partition("\n")[0].rstrip(".")
    return f"{kind.medium}: {said}"


def _comment(path: Path) -> str:
    """The first line of the comment that a recipe starts with."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _labels(folder: Path) -> str:
    labels = json.loads((folder / "model.json").read_text(encoding="utf-8")).get("labels", [])
    return f"labels {', '.join(labels)}" if labels else "no labels"
