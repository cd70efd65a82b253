"""The log of a training: one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mediadiff.io.files import append_line, write_text


class Log:
    """Appends events to a .jsonl file. A resumed training takes up the log where its checkpoint was written."""

    def __init__(self, path: Path, clips: int):
        self.path = path
        kept = [line for line in read(path) if line.get("clips", 0) <= clips] if clips else []
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, event: dict[str, Any]) -> None:
        """Adds a line for `event`. DiskFullError where there is no room."""
        append_line(self.path, json.dumps(event))


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a log; a last line that a kill cut short is left out. No file: no events."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            events.append(json.loads(line))
        except ValueError:
            break
    return events
