"""Domains by name: one file each. A new domain is a new file here, found by its name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from mediadiff.errors import UsageError

if TYPE_CHECKING:
    from mediadiff.domains.base import Domain


def names() -> list[str]:
    """The names of all domains, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if name != "base" and not name.startswith("_"))


def get(name: str) -> type[Domain]:
    """The domain class of the file `name`; it is a frozen dataclass whose fields are its settings."""
    from mediadiff.domains.base import Domain

    if name not in names():
        raise UsageError(f"there is no domain {name!r}; there are: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    mine = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]
    classes = [v for v in mine if issubclass(v, Domain)]
    if len(classes) != 1:
        raise UsageError(f"domains/{name}.py defines {len(classes)} domains; a domain file defines exactly one")
    return classes[0]
