"""A static page of clips, however many: it plays them, shows what they look like, and says what failed and why.

It works from the disk: no server, and nothing from outside. A small script filters, and plays in place; without it all
clips are listed, and linked.
"""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from urllib.parse import quote

from mediadiff.errors import UsageError
from mediadiff.io.files import whole_file
from mediadiff.rendering import page_look

PICTURES = "pictures"
"""The folder, beside the page, of what clips look like."""
STATUSES = ("done", "failed", "waiting")
_PLAYERS = {
    "audio": (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a"),
    "video": (".mp4", ".m4v", ".webm", ".mov"),
    "img": (".png", ".gif", ".jpg", ".jpeg", ".webp", ".avif"),
}
_PLAYER = {ending: player for player, endings in _PLAYERS.items() for ending in endings}
_LONGEST = 1000  # characters of a text that others wrote


@dataclass(frozen=True)
class Entry:
    """One clip on the page. Paths are relative to the page's folder, and stay inside it; UsageError otherwise."""

    file: str | None
    """The clip's file, whether it is there yet or not; it is played when the status is `done`."""
    label: str | None = None
    status: str = "done"
    """`done`, `failed` or `waiting`."""
    reason: str = ""
    """Why it failed, in words."""
    kind: str = ""
    """The class of the failure, such as `timeout`; failures are counted by it."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What is shown beside the clip, in this order: seed, length, time taken."""
    pictures: tuple[str, ...] = ()
    """Pictures of the clip, see `mediadiff.rendering.thumbnail.draw`."""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise UsageError(f"an entry's status is one of {', '.join(STATUSES)}; got {self.status!r}")
        for path in (self.file, *self.pictures):
            if path is not None and not _is_inside(path):
                raise UsageError(f"an entry's paths are relative to the page's folder, and inside it; got {path!r}")


def write_page(
    folder: str | Path,
    entries: Iterable[Entry],
    title: str = "Rendered clips",
    retry: str = "",
    name: str = "index.html",
) -> Path:
    """Writes the page `name` into the folder, whole or not at all, and returns its path.

    The entries are read once, and none is kept: memory does not grow with their number. `retry` is the command that
    tries the failed clips again. The folder may be moved or zipped as it is; the same entries give the same bytes.
    """
    path = Path(folder) / name
    with ExitStack() as open_files:
        temp = open_files.enter_context(whole_file(path))
        # What stands above the cards is known after the last of them.
        cards = open_files.enter_context(TemporaryFile(dir=path.parent))
        page = open_files.enter_context(open(temp, "wb"))
        statuses, labels, kinds = _Tally(len(STATUSES)), _Tally(200), _Tally(20)
        for place, entry in enumerate(entries):
            statuses.add(entry.status, place)
            if entry.status == "failed":
                kinds.add(entry.kind, place)
            cards.write(_card(place, labels.add(entry.label or "", place), entry).encode())
        page.write(_head(title, retry, statuses, labels, kinds).encode())
        cards.seek(0)
        shutil.copyfileobj(cards, page)
        page.write(f"</main>\n<script>{page_look.SCRIPT}</script>\n</body>\n</html>\n".encode())
    return path


class _Tally:
    """Names in the order of their first use, each with its count and the place where it was met first.

    After the first `most` names the others are counted as one, under None.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.numbers: dict[str | None, int] = {}
        self.counts: list[int] = []
        self.firsts: list[int] = []

    def add(self, name: str, place: int) -> int:
        """The name's number."""
        key = name if name in self.numbers or len(self.numbers) < self.most else None
        if key not in self.numbers:
            self.numbers[key] = len(self.numbers)
            self.counts.append(0)
            self.firsts.append(place)
        self.counts[self.numbers[key]] += 1
        return self.numbers[key]

    def count(self, name: str) -> int:
        return self.counts[self.numbers[name]] if name in self.numbers else 0


def _card(place: int, label: int, entry: Entry) -> str:
    name = _text(entry.file or "no file yet")
    heading = f"<h2>{_text(entry.label)}</h2>" if entry.label else ""
    if entry.status == "done" and entry.file is not None:
        body = _shown(entry, name)
    elif entry.status == "failed":
        kind = f"<strong>{_text(entry.kind)}</strong> " if entry.kind else ""
        body = f'<p class="fault">{kind}{_text(entry.reason or "no reason was given")}</p><p class="name">{name}</p>'
    else:
        body = f'<p class="soft">waiting</p><p class="name">{name}</p>'
    facts = "".join(f"<dt>{_text(key)}</dt><dd>{_text(value)}</dd>" for key, value in entry.settings.items())
    facts = f"<dl>{facts}</dl>" if facts else ""
    return f'<article id="clip-{place}" class="{entry.status}" data-label="{label}">{heading}{body}{facts}</article>\n'


def _shown(entry: Entry, name: str) -> str:
    """The pictures, within a link that plays the clip: in place with the script, by the browser without it."""
    assert entry.file is not None
    link = _link(entry.file)
    player = _PLAYER.get(PurePosixPath(entry.file).suffix.lower())
    pictures = "".join(f'<img loading="lazy" src="{_link(path)}" alt="">' for path in entry.pictures)
    named = f'<p class="name"><a href="{link}">{name}</a></p>'
    if player == "img":
        return f'<img class="still" loading="lazy" src="{link}" alt="{name}">{pictures}{named}'
    if player:
        return f'<a class="play" data-player="{player}" href="{link}" aria-label="Play {name}">{pictures}</a>{named}'
    return f'{pictures}{named}<p class="soft">Browsers do not play this format: open the file in a player.</p>'


def _head(title: str, retry: str, statuses: _Tally, labels: _Tally, kinds: _Tally) -> str:
    total = sum(statuses.counts)
    counts = {status: statuses.count(status) for status in STATUSES}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    choices = "".join(
        f'<label><input type="radio" name="status" value="{value}"{" checked" if not value else ""}>'
        f"<span>{value or 'all'} {count}</span></label>"
        for value, count in {"": total, **counts}.items()
    )
    options = "".join(
        f'<option value="{number}">{_label(name)} ({labels.counts[number]})</option>'
        for name, number in sorted(labels.numbers.items(), key=lambda one: (one[0] is None, one[0] or ""))
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{page_look.POLICY}">
<title>{_text(title)}</title>
<style>{page_look.STYLE}</style>
</head>
<body>
<header>
<h1>{_text(title)}</h1>
<p>{total} clip{"" if total == 1 else "s"}{f": {said}" if said else ""}</p>
{_failures(retry, kinds)}</header>
<form id="filters" role="search" hidden>
<fieldset><legend>Status</legend>{choices}</fieldset>
<label>Label <select id="label"><option value="">all</option>{options}</select></label>
<label>File name <input id="name" type="search" autocomplete="off" placeholder="part of a name"></label>
<output id="shown"></output>
</form>
<main>
"""


def _failures(retry: str, kinds: _Tally) -> str:
    if not kinds.numbers:
        return ""
    rows = "".join(
        f"<li>{kinds.counts[number]} × <strong>{_text('other kinds' if name is None else name or 'failed')}</strong>, "
        f'<a href="#clip-{kinds.firsts[number]}">the first of them</a></li>'
        for name, number in kinds.numbers.items()
    )
    again = f"<p>Try them again with</p><pre><code>{_text(retry)}</code></pre>" if retry else ""
    total = sum(kinds.counts)
    return f'<section id="failures"><h2>{total} failed</h2><ul>{rows}</ul>{again}</section>\n'


def _label(name: str | None) -> str:
    return "other labels" if name is None else _text(name, 80) or "no label"


def _is_inside(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    place = PurePosixPath(path)
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts and "\0" not in path


def _link(path: str) -> str:
    """A path inside the folder as a link that any name survives, bytes that are no text included."""
    return html.escape(quote(os.fsencode(PurePosixPath(path))))


def _text(value: object, most: int = _LONGEST) -> str:
    """HTML text, cut after `most` characters; bytes of a name that are not text become a question mark."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= most else text[:most] + "…"
    return html.escape(text.encode("utf-8", "replace").decode())
