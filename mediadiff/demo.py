"""The demonstration: a few clips of every shipped model, and a page that plays them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff import build
from mediadiff.console import Event, Report
from mediadiff.errors import UsageError
from mediadiff.model import DEFAULT, Model

if TYPE_CHECKING:
    from mediadiff.data.settings import BounceSettings
    from mediadiff.recipe import TrainRecipe
    from mediadiff.rendering.page import Entry

_MOST = 12
"""Clips of a model of one stream, at most."""
_PAIRS = 4


def demo(out: Path, report: Report) -> tuple[Path, int]:
    """Renders clips with each shipped model into `out`; returns the page and how many clips failed.

    The model that is taken where none is named comes first. Raises UsageError when no model is shipped.
    """
    from mediadiff.rendering.page import write_page

    names = sorted(build.shipped(), key=lambda name: (name != DEFAULT, name))
    if not names:
        raise UsageError(
            "no models are shipped with this copy of mediadiff; train one: mediadiff train recipes/NAME.yaml"
        )
    rendered: list[tuple[str, Event]] = []
    failed = 0
    for name in names:
        model = build.load(name)

        def listen(event: Event, name: str = name) -> None:
            if event["event"] in ("clip", "failed"):
                rendered.append((name, event))
            report(event)

        first = 0
        for text, num, task in showings(model, out):
            report({"event": "note", "text": f"model {name}: {text}"})
            labels = list(model.labels[:num]) or None
            failed += build.render(model, out / name, num, labels, first=first, report=listen, task=task)["failed"]
            first += num
    return write_page(out, entries(out, rendered, report), "mediadiff"), failed


def showings(model: Model, out: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """What to show of a model: in words, how many clips, and what they are given, see `Model.requests`.

    Each label once, up to 12 of them; of a model of sound and picture a few pairs, a loop, and the sound for a clip
    that it never saw, if it was trained on clips that can be generated.
    """
    if len(model.recipe.streams) < 2:
        yield "a clip of each label" if model.labels else "clips", min(len(model.labels), _MOST) or 4, {}
        return
    yield "pairs of sound and picture", _PAIRS, {}
    if model.recipe.data.bounce is not None:
        yield "the sound for a picture", 1, {"given_video": _unseen(model.recipe, model.recipe.data.bounce, out)}
    yield "a loop", 1, {"loop": True}


def _unseen(recipe: TrainRecipe, bounce: BounceSettings, out: Path) -> Path:
    """A generated clip that is none of the training's, in a file."""
    from fractions import Fraction

    from mediadiff.data.bounce import clip

    domain: Any = next(domain for domain in recipe.streams.values() if domain.medium == "picture")
    size, rate = (domain.height, domain.width), Fraction(domain.frame_rate)
    # The first with one ball, as the first label has it.
    index = -(-bounce.clips // bounce.balls) * bounce.balls
    return clip(bounce, index, recipe.seconds, size, rate, channels=2).save(out / "given.mkv")


def entries(out: Path, rendered: list[tuple[str, Event]], report: Report) -> Iterator[Entry]:
    """What the page shows of each clip, its pictures drawn from its file.

    `rendered` holds the events `clip` and `failed` of renderings into `out/MODEL`, each with the model's name.
    """
    from mediadiff.io.read import read
    from mediadiff.rendering import manifest, thumbnail
    from mediadiff.rendering.page import Entry

    rows: dict[str, dict[str, Any]] = {}
    for model in {model for model, _ in rendered}:
        rows |= {f"{model}/{row['file']}": row for row in manifest.read(out / model)[0]}
    for done, (model, event) in enumerate(rendered, 1):
        file = f"{model}/{Path(event['file']).name}"
        if event["event"] == "failed":
            yield Entry(file, None, "failed", event["reason"], settings={"model": model})
        else:
            clip = read(out / file, max_seconds=60)
            settings = {
                "model": model,
                "seed": rows[file]["recipe"]["seed"],
                "length": f"{float(clip.seconds):.3g} s",
                "time taken": f"{rows[file]['seconds']:.3g} s",
            }
            given = [stream for one in rows[file]["recipe"].get("given", ()) for stream in one["keep"]]
            if given:
                settings["given"] = ", ".join(given)
            if rows[file]["recipe"].get("loop"):
                settings["loop"] = "yes"
            pictures = thumbnail.draw(clip, out, f"{model}-{Path(file).stem}")
            yield Entry(file, event["label"], settings=settings, pictures=tuple(pictures))
        report({"event": "page", "done": done, "of": len(rendered)})
