"""Whether the installed torch and torchaudio were built for each other, told from their files, without an import."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path


def advice() -> str:
    """What to know and do when torchaudio was built for another torch; empty when the two fit or one is absent."""
    torch, torchaudio = version("torch"), version("torchaudio")
    if not torch or not torchaudio or built_for(torch) == built_for(torchaudio):
        return ""
    return (
        f"torchaudio {torchaudio} is not built for torch {torch}; mediadiff does without its compiled part, and "
        "nothing needs doing. For a pair that fits, install torchaudio's build for "
        f"{built_for(torch) or 'cpu'} from the index that PyTorch's own installation page names"
    )


def version(package: str) -> str:
    """The version that the package's own version.py states, such as `2.13.0+cpu`; empty if there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return ""
    file = Path(spec.origin).with_name("version.py")
    found = (
        re.search(r"^__version__\s*(?::[^=]*)?=\s*['\"]([^'\"]+)['\"]", file.read_text(), re.M)
        if file.is_file()
        else None
    )
    return found[1] if found else ""


def built_for(version: str) -> str:
    """What a build is for, by the local part of its version: `cpu`, `cu130`, or empty when it does not say."""
    return version.partition("+")[2]
