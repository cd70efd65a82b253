"""Tensors in safetensors files: whole or not there, and checked by hash, since the format sees no flipped bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mediadiff.errors import ModelError
from mediadiff.io.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Writes the tensors; returns the file's sha256."""
    from safetensors.torch import save

    data = save({name: value.detach().contiguous() for name, value in tensors.items()})
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def load_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a file that has this hash. ModelError when the file is missing or has another."""
    from safetensors.torch import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); the model or checkpoint is not complete"
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(
            f"{path}: its content is not what was written (sha256 differs); take it from a copy or train again"
        )
    return load(data)
