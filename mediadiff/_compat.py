"""torchaudio and diffusers, imported so that a compiled part that does not fit this torch does no harm.

torchaudio from PyPI is built for one CUDA version and declares no need of torch, so pip installs it beside any torch:
beside a CPU build its library is not found, beside another CUDA it refuses itself. Either way `import torchaudio`
raises, and so does every library that imports it in passing, diffusers among them. What mediadiff uses of it is plain
torch code, and that code asks the compiled part for two names only; so a stand-in that answers them is enough.

This is the one module that imports either package; a lint rule bans the import elsewhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from mediadiff.errors import UsageError

Condition = Literal["whole", "pure", "absent"]

_log = logging.getLogger("mediadiff")
_lock = threading.RLock()
_EXTENSION = "torchaudio._extension"


class _StandIn(ModuleType):
    """Says what torchaudio's compiled part says when it was left out of the build."""

    _IS_TORCHAUDIO_EXT_AVAILABLE = False
    _IS_ALIGN_AVAILABLE = False

    def __init__(self, package: Path):
        super().__init__(_EXTENSION, "Stand-in by mediadiff: the compiled part does not fit this torch.")
        self.__path__ = [str(package / "_extension")]
        self.__spec__ = ModuleSpec(_EXTENSION, loader=None, is_package=True)

    @staticmethod
    def fail_if_no_align(function: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(*args: object, **named: object) -> None:
            raise RuntimeError(
                f"{function.__name__} needs the compiled part of torchaudio, which does not fit the installed torch"
            )

        return refuse


class _Later(ModuleType):
    """Stands where a module will be, which is imported when something of it is first used, or a `function` called."""

    def __init__(self, name: str, *functions: str):
        super().__init__(name)
        for function in functions:
            setattr(self, function, partial(self._call, function))

    def __getattr__(self, name: str) -> Any:
        # What the import system itself asks every module for is no use of it.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _call(self, function: str, *args: Any) -> Any:
        return getattr(self._real(), function)(*args)

    def _real(self) -> ModuleType:
        _stand_back(self)
        return importlib.import_module(self.__name__)


def torchaudio_condition() -> Condition:
    """Makes `import torchaudio` safe for the whole process, and says what of it there is. Never raises.

    `whole`: as its makers meant it; `pure`: all that is written in torch, nothing compiled; `absent`: `import
    torchaudio` raises ImportError, and libraries for which it is optional see that it is not there.
    """
    with _lock:
        if "torchaudio" in sys.modules:
            if sys.modules["torchaudio"] is None:
                return "absent"
            return "pure" if isinstance(sys.modules.get(_EXTENSION), _StandIn) else "whole"
        spec = importlib.util.find_spec("torchaudio")
        if spec is None or spec.origin is None:
            return "absent"
        failure = _failure_of_import("torchaudio")
        if failure is None:
            return "whole"
        _forget("torchaudio")
        sys.modules[_EXTENSION] = _StandIn(Path(spec.origin).parent)
        second = _failure_of_import("torchaudio")
        if second is None:
            _log.info("torchaudio without its compiled part, which does not fit this torch: %s", failure)
            return "pure"
        _hide("torchaudio", second)
        return "absent"


def torchaudio() -> ModuleType:
    """The torchaudio package; its plain torch parts work whatever torch it was built for. UsageError if absent."""
    if torchaudio_condition() == "absent":
        raise UsageError(
            "torchaudio is not installed, or cannot be used beside this torch; try: pip install torchaudio==2.11.0"
        )
    return importlib.import_module("torchaudio")


def scheduler_class(name: str) -> Any:
    """A scheduler class of diffusers by its name, such as `DDIMScheduler`. UsageError if diffusers has none such."""
    with _lock:
        torchaudio_condition()
        # torchvision plays the same trick on diffusers. Nothing here uses it, so a broken one is simply hidden.
        if "torchvision" not in sys.modules and importlib.util.find_spec("torchvision") is not None:
            failure = _failure_of_import("torchvision")
            if failure is not None:
                _hide("torchvision", failure)
        with _put_off():
            found = getattr(importlib.import_module("diffusers"), name, None)
    if found is None or not name.endswith("Scheduler"):
        raise UsageError(f"diffusers has no scheduler {name!r}")
    return found


@contextmanager
def _put_off() -> Iterator[None]:
    """diffusers, imported inside, does without what its schedulers do without: a second of processor time."""
    # The one serves a schedule that is not used here, the other is told of its networks.
    later = [_Later("scipy.stats"), _Later("torch._dynamo", "allow_in_graph")]
    for module in later:
        sys.modules.setdefault(module.__name__, module)
    try:
        yield
    finally:
        for module in later:
            _stand_back(module)


def _stand_back(module: ModuleType) -> None:
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


def _failure_of_import(name: str) -> Exception | None:
    try:
        importlib.import_module(name)
    # OSError: a library is not found. RuntimeError: built for another CUDA, or operators that this torch lacks.
    except (ImportError, OSError, RuntimeError, AttributeError) as failure:
        return failure
    return None


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


def _hide(package: str, failure: Exception) -> None:
    # None is Python's own mark for "not importable", and find_spec, by which libraries ask, answers None too.
    _forget(package)
    sys.modules[package] = None  # type: ignore[assignment]
    _log.warning("%s is installed but cannot be used beside this torch, and is left out: %s", package, failure)
