"""The demonstration: a few clips of every shipped model, and a page that plays them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mediadiff import build
from mediadiff.console import Report
from mediadiff.errors import UsageError

_MOST = 20


def demo(out: Path, report: Report) -> tuple[Path, int]:
    """Renders clips with each shipped model into `out`; returns the page and how many clips failed.

    A model with labels renders each of them once, up to 20. Raises UsageError when no model is shipped.
    """
    from mediadiff.rendering.report import Entry, write_report

    if not build.shipped():
        raise UsageError(
            "no models are shipped with this copy of mediadiff; train one: mediadiff train recipes/NAME.yaml"
        )
    entries, failed = [], 0
    for name in build.shipped():
        report({"event": "note", "text": f"model {name}"})
        model = build.load(name)
        labels = list(model.labels[:_MOST])
        labelled: dict[str, str | None] = {}

        def listen(event: dict[str, Any], labelled: dict[str, str | None] = labelled) -> None:
            if event["event"] == "clip":
                labelled[event["file"]] = event["label"]
            report(event)

        made = build.render(model, out / name, num=len(labels) or 4, label=labels or None, report=listen)
        failed += made["failed"]
        entries += [Entry(Path(file), label, {"model": name, "seed": 0}) for file, label in labelled.items()]
    page = write_report(out, entries, "mediadiff", lambda done, of: report({"event": "page", "done": done, "of": of}))
    return page, failed
