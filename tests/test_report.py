"""The static page: every clip playable and shown, whatever the names."""

from __future__ import annotations

import os
from fractions import Fraction
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.rendering.report import Entry, write_report

SOUND = Sound((0.3 * np.sin(np.arange(4000) / 5)).astype(np.float32)[None], 8000)
PICTURE = Picture(np.random.default_rng(0).integers(0, 256, (12, 16, 24, 3), dtype=np.uint8), Fraction(12))


class Page(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def links(self, folder):
        """Every file that the page refers to."""
        found = [value for _, one in self.tags for key, value in one.items() if key in ("src", "href", "poster")]
        return {os.path.join(os.fsencode(folder), unquote_to_bytes(link)) for link in found if not link.startswith("#")}


def test_every_clip_is_played_and_shown(tmp_path):
    entries = []
    for name, clip in [
        ("3-000000.wav", Clip(SOUND)),
        ("car-000001.mp4", Clip(picture=PICTURE)),
        ("both-000002.mp4", Clip(SOUND, PICTURE)),
        ("still-000003.png", Clip(picture=Picture(PICTURE.frames[:1], Fraction(1)))),
    ]:
        clip.save(tmp_path / name)
        entries.append(Entry(tmp_path / name, name.split("-")[0], {"seed": 7, "steps": 12}))
    path = write_report(tmp_path, entries, "A page")
    page = Page(path)
    assert path == tmp_path / "index.html"
    assert [tag for tag, _ in page.tags if tag in ("audio", "video")] == ["audio", "video", "video"]
    assert page.text.count("seed") == 4 and "A page" in page.text and "4 clips" in page.text
    assert all(os.path.isfile(link) for link in page.links(tmp_path))
    pictures = sorted(file.name for file in (tmp_path / "pictures").iterdir())
    assert pictures == ["000000-sound.png", "000001-frames.png", "000002-frames.png", "000002-sound.png"]


def test_nothing_outside_is_asked_for(tmp_path):
    Clip(SOUND).save(tmp_path / "a.wav")
    page = Page(write_report(tmp_path, [Entry(tmp_path / "a.wav")]))
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object", "embed", "base")]
    assert "://" not in (tmp_path / "index.html").read_text()
    (policy,) = (one["content"] for tag, one in page.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert str(tmp_path) not in (tmp_path / "index.html").read_text()


ODD = [b"-dash.wav", b"new\nline.wav", b"%03d.wav", b"http:x.wav", b"a b#c?d&e.wav", b"\xff\xfe.wav", b"'\"<b>.wav"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_linked_and_escaped(tmp_path, name):
    file = os.path.join(os.fsencode(tmp_path), name)
    with open(file, "wb") as out:
        out.write(b"x")
    entry = Entry(tmp_path / os.fsdecode(name), "<script>alert(1)</script>", {"<b>": '"&'}, Clip(SOUND))
    page = Page(write_report(tmp_path, [entry], "<i>"))
    assert file in page.links(tmp_path) and all(os.path.isfile(link) for link in page.links(tmp_path))
    assert not [tag for tag, _ in page.tags if tag in ("script", "b", "i")]
    assert "<script>alert(1)</script>" in page.text and '"&' in page.text


def test_a_file_that_cannot_be_read_is_listed_with_the_reason(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    Clip(picture=PICTURE).save(tmp_path / "b.mkv")
    page = Page(write_report(tmp_path, [Entry(tmp_path / "a.wav"), Entry(tmp_path / "b.mkv")]))
    assert "no known format" in page.text
    assert "Browsers do not play .mkv" in page.text


def test_a_folder_of_nothing(tmp_path):
    assert "0 clips" in Page(write_report(tmp_path / "new", [])).text
