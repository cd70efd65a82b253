"""The model that one ships: what rendering needs of a training's folder, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mediadiff.card import card
from mediadiff.errors import MediadiffError, UsageError
from mediadiff.io.files import check_folder, write_text
from mediadiff.model import describe, save_model

LARGE_MB = 16.0
"""Megabytes (10^6 bytes) above which a model is large for one that comes with a checkout."""
_OF_RENDERING = re.compile(r"name|sampling\..+|streams\.\w+\.iterations")
"""What of a recipe its weights do not depend on."""


@dataclass(frozen=True)
class Exported:
    """An exported model: its folder, its files with their bytes, and whether its card is a new one."""

    folder: Path
    files: dict[str, int]
    new_card: bool

    @property
    def megabytes(self) -> float:
        """The size of all its files, in 10^6 bytes."""
        return sum(self.files.values()) / 1e6

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"model": str(self.folder), "files": self.files, "megabytes": self.megabytes, "new_card": self.new_card}


def export(
    model: str | Path, out: Path, changes: Sequence[str] = (), snapshot: bool = False, eight_bits: bool = False
) -> Exported:
    """Writes a model's weights, its `model.json` and, where nobody has written one, its card README.md to `out`.

    The weights are in bfloat16, or with `eight_bits` in little more than half of that; what is in eight bits already
    stays so, and what is kept as asked keeps its bytes. `changes` are `name=NAME`, sampling settings such as
    `sampling.guidance=2`, and `streams.NAME.iterations=50` of a sound that finds its phase; all else is what the
    weights were trained by. The early snapshot for autoguidance comes along if `snapshot` asks for it. UsageError for
    what cannot be had, RecipeError for a wrong change, ModelError for a model that is damaged.
    """
    from mediadiff.diffusion.streams import Standard
    from mediadiff.io.eight_bits import is_eight_bits, to_floats
    from mediadiff.recipe import TrainRecipe, from_dict

    for change in changes:
        if not _OF_RENDERING.fullmatch(change.partition("=")[0]):
            raise UsageError(
                "export changes the name, sampling settings and the iterations that find a sound's phase (name=NAME, "
                f"sampling.guidance=2, streams.sound.iterations=50); got {change!r}: all else is what the weights were "
                "trained by"
            )
    known = describe(model)
    if out.resolve() == known.folder.resolve():
        raise UsageError(f"{out} is the model itself; name another folder: --out DIR")
    check_folder(out)
    if (out / "run.json").exists() or (out / "checkpoints").exists():
        raise UsageError(f"{out} holds a training, which an export would write over; name another folder: --out DIR")
    recipe = from_dict(known.recipe.to_dict(), str(known.folder), changes)
    assert isinstance(recipe, TrainRecipe)
    if snapshot and "snapshot" not in known.hashes:
        raise UsageError(f"{known.folder} has no early snapshot: leave --snapshot out")
    if recipe.sampling.autoguidance != 1 and not snapshot:
        said = f"sampling.autoguidance is {recipe.sampling.autoguidance:g}, which needs the early snapshot"
        raise UsageError(f"{said}: add --snapshot, or sampling.autoguidance=1")
    parts = ["model", "snapshot"] if snapshot else ["model"]
    tensors = {part: known.tensors(part) for part in parts}
    eight_bits = eight_bits or is_eight_bits(tensors["model"])
    standards, scalars = (
        {name: Standard(**values) for name, values in group.items()} for group in (known.standards, known.scalars)
    )
    whole = {part: to_floats(kept) for part, kept in tensors.items()}
    weights, weak = whole["model"], whole.get("snapshot")
    stale = _is_ours(out)
    save_model(out, recipe, known.labels, standards, scalars, weights, weak, known.trained, eight_bits)
    if not snapshot:
        # Of an earlier export into this folder.
        (out / "snapshot.safetensors").unlink(missing_ok=True)
    new_card = stale or not (out / "README.md").exists()
    names = [*(f"{part}.safetensors" for part in parts), "model.json", "README.md"]
    if new_card:
        write_text(out / "README.md", _card(out))
    return Exported(out, {name: (out / name).stat().st_size for name in names}, new_card)


def _card(folder: Path) -> str:
    """The card of the model in a folder."""
    from mediadiff.io.eight_bits import is_eight_bits, to_floats

    model = describe(folder)
    kept = model.tensors()
    megabytes = sum((folder / f"{part}.safetensors").stat().st_size for part in model.hashes) / 1e6
    count = sum(tensor.numel() for tensor in to_floats(kept).values())
    return card(model, count, megabytes, "eight bits" if is_eight_bits(kept) else "bfloat16")


def _is_ours(folder: Path) -> bool:
    """Whether the card in a folder is as an earlier export wrote it: nobody's words are lost with it."""
    try:
        return (folder / "README.md").read_text(encoding="utf-8") == _card(folder)
    except (OSError, ValueError, MediadiffError):
        return False
