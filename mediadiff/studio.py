"""What a worker of a batch does with real models: `python -m mediadiff.studio FOLDER [STORE]` is such a worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff.errors import ModelError
from mediadiff.io.store import Store
from mediadiff.model import Model, load
from mediadiff.rendering import manifest
from mediadiff.rendering.worker import serve

if TYPE_CHECKING:
    from mediadiff.clip import Clip
    from mediadiff.rendering.request import Order


class Studio:
    """The craft of real models: one is kept loaded, and loaded once as long as tasks ask for the same.

    Clips are written into the folder `out`; with `store`, the address of a `Store`, they are put there and stay in
    `out` no longer.
    """

    def __init__(self, out: Path, store: str = ""):
        self.out = out
        self.store = Store.open(store) if store else None
        self._model: Model | None = None
        self._folder = ""

    def make(self, jobs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Clip, Order, Model] | Exception]:
        model = self._load(jobs[0]["model"], jobs[0]["weights"])
        orders = [model.order(job["asked"], job["files"]) for job in jobs]
        first = orders[0]
        clips = model.generator.attempts([order.request for order in orders], first.seconds, first.sampling)
        for clip, order in zip(clips, orders, strict=True):
            yield clip if isinstance(clip, Exception) else (clip, order, model)

    def finish(self, job: Mapping[str, Any], made: tuple[Clip, Order, Model], seconds: float) -> dict[str, Any]:
        from mediadiff.rendering import thumbnail
        from mediadiff.rendering.files import check_length

        clip, order, model = made
        check_length(clip, order)
        facts = manifest.facts(model.name, model.sha256, order, model.generator.bf16)
        pictures = thumbnail.draw(clip, self.out, job["file"])
        row = manifest.save(clip, self.out, job["file"], facts, seconds)
        if self.store is not None:
            # The clip itself comes last: where it is, all that belongs to it is.
            for name in (*pictures, manifest.sidecar(Path(job["file"])).name, job["file"]):
                if (self.out / name).exists():
                    self.store.put(self.out / name, name)
                    (self.out / name).unlink()
        return {"row": row, "pictures": pictures}

    def _load(self, folder: str, weights: str) -> Model:
        if self._model is None or (self._folder, self._model.sha256) != (folder, weights):
            self._model = load(folder)
            self._folder = folder
            if self._model.sha256 != weights:
                raise ModelError(f"{folder} has changed since this batch was begun; put the model back as it was")
        return self._model


if __name__ == "__main__":
    serve(Studio(Path(sys.argv[1]), *sys.argv[2:3]))
