"""A static page that plays every clip of a folder and shows what it looks like: no server, no script, no network."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from mediadiff.clip import Clip
from mediadiff.errors import MediaError
from mediadiff.evaluation import plots
from mediadiff.io.files import write_text

_SOUND = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a")
_VIDEO = (".mp4", ".m4v", ".webm", ".mov")
_IMAGE = (".png", ".gif", ".jpg", ".jpeg", ".webp", ".avif")
_PICTURES = "pictures"


@dataclass(frozen=True)
class Entry:
    """One clip on the page: its file, the label it was asked for, and the settings that are shown beside it."""

    file: Path
    label: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    clip: Clip | None = None
    """The clip itself, when it is at hand; else the file is read."""


def write_report(
    folder: str | Path,
    entries: Sequence[Entry],
    title: str = "Rendered clips",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes `index.html` into the folder, and a picture of each clip into `pictures/`; returns the page's path.

    Sound is shown as a spectrogram, picture as a contact sheet. Files are linked relative to the folder, which may be
    moved or zipped as it is. A file that cannot be read is listed with the reason.
    """
    folder = Path(folder)
    cards = []
    for place, entry in enumerate(entries):
        cards.append(_card(folder, place, entry))
        if progress:
            progress(place + 1, len(entries))
    return write_text(folder / "index.html", _page(title, entries, cards))


def _card(folder: Path, place: int, entry: Entry) -> str:
    link = _link(entry.file, folder)
    name = _text(entry.file.name)
    try:
        pictures = "".join(_picture(path, folder, what, name) for path, what in _draw(folder, place, entry))
    except MediaError as error:
        pictures = f'<p class="fault">{_text(error.cause)}</p>'
    facts = "".join(f"<dt>{_text(key)}</dt><dd>{_text(value)}</dd>" for key, value in entry.settings.items())
    heading = f"<h2>{_text(entry.label)}</h2>" if entry.label else ""
    return (
        f'<figure id="clip-{place}">{heading}{_player(link, entry.file.suffix.lower(), name)}{pictures}'
        f'<figcaption><a href="{link}">{name}</a>{f"<dl>{facts}</dl>" if facts else ""}</figcaption></figure>'
    )


def _draw(folder: Path, place: int, entry: Entry) -> list[tuple[Path, str]]:
    """Draws the clip; the pictures' paths, each with what it shows."""
    clip = entry.clip or _read(entry.file)
    drawn = []
    if clip.picture is not None and not clip.picture.is_still:
        path = plots.contact_sheet(clip.picture, folder / _PICTURES / f"{place:06d}-frames.png", columns=4, most=12)
        drawn.append((path, "contact sheet"))
    if clip.sound is not None:
        path = plots.spectrogram(clip.sound, folder / _PICTURES / f"{place:06d}-sound.png")
        drawn.append((path, "waveform and spectrogram"))
    return drawn


def _read(file: Path) -> Clip:
    from mediadiff.io.probe import probe
    from mediadiff.io.read import read

    info = probe(file)
    return read(file, sound=info.sound is not None, picture=info.picture is not None, max_seconds=60)


def _player(link: str, ending: str, name: str) -> str:
    if ending in _SOUND:
        return f'<audio controls preload="metadata" src="{link}"></audio>'
    if ending in _VIDEO:
        return f'<video controls loop playsinline preload="metadata" src="{link}"></video>'
    if ending in _IMAGE:
        return f'<img class="still" loading="lazy" src="{link}" alt="{name}">'
    return f'<p class="fault">Browsers do not play {_text(ending)}; open the file below in a player.</p>'


def _picture(path: Path, folder: Path, what: str, name: str) -> str:
    return f'<img loading="lazy" src="{_link(path, folder)}" alt="{what} of {name}">'


def _link(path: Path, folder: Path) -> str:
    """The path relative to the folder as a link that any name survives, bytes that are no text included."""
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(folder))
    return html.escape(quote(os.fsencode(relative.replace(os.sep, "/"))))


def _text(value: object) -> str:
    """HTML text; bytes of a name that are not text become the replacement character."""
    return html.escape(os.fsencode(str(value)).decode("utf-8", "replace"))


def _page(title: str, entries: Sequence[Entry], cards: Sequence[str]) -> str:
    first: dict[str, int] = {}
    for place, entry in enumerate(entries):
        first.setdefault(entry.label or "no label", place)
    menu = "".join(f'<a href="#clip-{place}">{_text(label)}</a>' for label, place in first.items())
    count = f"{len(cards)} clip{'' if len(cards) == 1 else 's'}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src 'self' file:; media-src 'self' file:; style-src 'unsafe-inline'">
<title>{_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{_text(title)}</h1><p>{count}</p><nav>{menu if len(first) > 1 else ""}</nav></header>
<main>{"".join(cards)}</main>
</body>
</html>
"""


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1d22; --paper: #fafaf8; --card: #fff; --line: #dcdcd6; --soft: #6a6d75; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e4; --paper: #16171a; --card: #1f2125; --line: #34363c; --soft: #9a9da5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
header { margin-bottom: 1.2rem; }
header p { margin: .2rem 0 .6rem; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .3rem .9rem; }
a { color: inherit; text-underline-offset: .15em; overflow-wrap: anywhere; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; align-items: start; }
figure { margin: 0; padding: .7rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
figure > * { display: block; width: 100%; margin-bottom: .5rem; }
figure > :last-child { margin-bottom: 0; }
video, .still { max-height: 20rem; object-fit: contain; background: #000; }
.still { image-rendering: pixelated; }
figcaption { font-size: .85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .7rem; margin: .4rem 0 0; color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.fault { margin-top: 0; color: #b3402e; font-size: .85rem; }
"""
