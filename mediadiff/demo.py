"""The demonstration: a few clips of every shipped model, and a page that plays them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff import build
from mediadiff.console import Event, Report
from mediadiff.errors import UsageError

if TYPE_CHECKING:
    from mediadiff.rendering.page import Entry

_MOST = 20


def demo(out: Path, report: Report) -> tuple[Path, int]:
    """Renders clips with each shipped model into `out`; returns the page and how many clips failed.

    A model with labels renders each of them once, up to 20. Raises UsageError when no model is shipped.
    """
    from mediadiff.rendering.page import write_page

    if not build.shipped():
        raise UsageError(
            "no models are shipped with this copy of mediadiff; train one: mediadiff train recipes/NAME.yaml"
        )
    rendered: list[tuple[str, Event]] = []
    failed = 0
    for name in build.shipped():
        report({"event": "note", "text": f"model {name}"})
        model = build.load(name)
        labels = list(model.labels[:_MOST])

        def listen(event: Event, name: str = name) -> None:
            if event["event"] in ("clip", "failed"):
                rendered.append((name, event))
            report(event)

        made = build.render(model, out / name, num=len(labels) or 4, label=labels or None, report=listen)
        failed += made["failed"]
    return write_page(out, entries(out, rendered, report), "mediadiff"), failed


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
            pictures = thumbnail.draw(clip, out, f"{model}-{Path(file).stem}")
            yield Entry(file, event["label"], settings=settings, pictures=tuple(pictures))
        report({"event": "page", "done": done, "of": len(rendered)})
