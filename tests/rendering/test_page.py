"""The static page: every clip listed and playable, whatever the names and however many."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tracemalloc
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import pytest

from mediadiff.errors import UsageError
from mediadiff.rendering.page import Entry, write_page


class Page(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.cards = [], "", []
        self.source = path.read_text("utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "article":
            self.cards.append(dict(attributes) | {"text": ""})

    def handle_data(self, data):
        self.text += data
        if self.cards:
            self.cards[-1]["text"] += data + " "

    def named(self, tag):
        return [one for name, one in self.tags if name == tag]

    def links(self, folder):
        """Every file that the page refers to."""
        found = [value for _, one in self.tags for key, value in one.items() if key in ("src", "href", "poster")]
        return {os.path.join(os.fsencode(folder), unquote_to_bytes(link)) for link in found if not link.startswith("#")}


FACTS = {"seed": 7, "length": "2 s", "time taken": 0.1234567}
ENTRIES = [
    Entry("a/7-000000.wav", "7", settings=FACTS, pictures=("pictures/7-000000-sound.png",)),
    Entry("car-000001.mp4", "car", pictures=("pictures/c-frames.png", "pictures/c-sound.png")),
    Entry("still-000002.png"),
    Entry("raw-000003.mkv", "7"),
    Entry("7-000004.wav", "7", "failed", "it took over 60 s", "timeout"),
    Entry("7-000005.wav", "7", "failed"),
    Entry(None, "car", "waiting"),
]


def test_every_clip_is_listed_with_its_facts_and_how_it_is_played(tmp_path):
    path = write_page(tmp_path / "new", ENTRIES, "A page", "mediadiff batch jobs.csv --retry")
    page = Page(path)
    assert path == tmp_path / "new" / "index.html" and os.listdir(tmp_path / "new") == ["index.html"]
    assert [card["class"] for card in page.cards] == ["done"] * 4 + ["failed"] * 2 + ["waiting"]
    assert [card["data-label"] for card in page.cards] == ["0", "1", "2", "0", "0", "0", "1"]
    assert [one["data-player"] for one in page.named("a") if one.get("class") == "play"] == ["audio", "video"]
    assert [one["loading"] for one in page.named("img")] == ["lazy"] * 4
    assert not page.named("audio") + page.named("video")
    assert page.cards[0]["text"].split() == "7 a/7-000000.wav seed 7 length 2 s time taken 0.1235".split()
    assert page.named("article")[0]["id"] == "clip-0" and "Browsers do not play this" in page.cards[3]["text"]
    assert page.links("") == {
        b"a/7-000000.wav", b"pictures/7-000000-sound.png", b"car-000001.mp4", b"pictures/c-frames.png",
        b"pictures/c-sound.png", b"still-000002.png", b"raw-000003.mkv",
    }  # fmt: skip


def test_counts_failures_and_what_tries_them_again(tmp_path):
    page = Page(write_page(tmp_path, ENTRIES, "A page", "mediadiff batch 'my jobs.csv' --retry"))
    assert "7 clips: 4 done, 2 failed, 1 waiting" in page.text
    for said in ("all 7", "done 4", "failed 2", "waiting 1", "7 (4)", "car (2)", "no label (1)"):
        assert said in page.text
    assert "1 × timeout" in page.text and "mediadiff batch 'my jobs.csv' --retry" in page.text
    assert [one["href"] for one in page.named("a") if one["href"].startswith("#")] == ["#clip-4", "#clip-5"]
    assert page.cards[4]["text"].split() == "7 timeout it took over 60 s 7-000004.wav".split()
    assert "no reason was given" in page.cards[5]["text"]
    well = Page(write_page(tmp_path, ENTRIES[:1], retry="mediadiff batch jobs.csv --retry"))
    assert "1 clip: 1 done" in well.text and "Try them again" not in well.text


def test_a_folder_of_nothing(tmp_path):
    assert "0 clips" in Page(write_page(tmp_path / "new", [])).text


def test_one_script_and_one_style_are_allowed_and_nothing_outside(tmp_path):
    page = Page(write_page(tmp_path, ENTRIES))
    (policy,) = (one["content"] for one in page.named("meta") if "http-equiv" in one)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and "unsafe" not in policy
    for tag in ("script", "style"):
        (found,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.source, re.S)
        assert rules[f"{tag}-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()}'"
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "embed", "base")]
    assert not [key for _, one in page.tags for key in one if key == "style" or key.startswith("on")]
    assert "://" not in page.source and str(tmp_path) not in page.source


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"' & \ud800 \u202e"


def test_what_others_wrote_is_only_text(tmp_path):
    plain = Page(write_page(tmp_path, [Entry("a", "b", "done"), Entry("c", "b", "failed", "d", "e", {"f": "g"})]))
    entries = [Entry("a", HOSTILE), Entry("c", HOSTILE, "failed", HOSTILE, HOSTILE, {HOSTILE: HOSTILE})]
    page = Page(write_page(tmp_path, entries, HOSTILE, HOSTILE))
    assert [tag for tag, _ in page.tags if tag not in ("pre", "code", "p")] == [
        tag for tag, _ in plain.tags if tag not in ("pre", "code", "p")
    ]
    assert page.text.count("<script>alert(1)</script><img src=x onerror=alert(1)>\"' & ? \u202e") == 11
    long = Page(write_page(tmp_path, [Entry("c", None, "failed", "x" * 10**6)]))
    assert len(long.source) < 20_000 and "x" * 1000 + "…" in long.text


ODD = [b"-dash.wav", b"new\nline.wav", b"%03d.wav", b"http:x.wav", b"a b#c?d&e.wav", b"\xff\xfe.wav", b"'\"<b>.wav"]


@pytest.mark.parametrize("name", [*ODD, b"back\\slash.wav", b"javascript:alert(1).wav", b"&amp;.wav"])
def test_odd_names_are_linked_and_shown(tmp_path, name):
    file = os.path.join(os.fsencode(tmp_path), name)
    with open(file, "wb") as out:
        out.write(b"x")
    page = Page(write_page(tmp_path, [Entry(os.fsdecode(name), pictures=(os.fsdecode(name),))]))
    assert page.links(tmp_path) == {file} and os.path.isfile(file)
    assert all(re.fullmatch(r"[\w%/.~-]+", one["href"]) for one in page.named("a"))
    assert name.decode("ascii", "replace").replace("�", "?").strip() in page.cards[0]["text"]


@pytest.mark.parametrize("path", ["/etc/passwd", "//host/a.wav", "../a.wav", "a/../../b.wav", "", "a\0.wav", "\ud800"])
def test_no_link_leads_out_of_the_folder(path):
    with pytest.raises(UsageError, match="inside it"):
        Entry(path)
    with pytest.raises(UsageError, match="inside it"):
        Entry("a.wav", pictures=(path,))


def test_a_status_is_one_of_three():
    with pytest.raises(UsageError, match="done, failed, waiting; got 'maybe'"):
        Entry("a.wav", status="maybe")


def test_the_same_entries_give_the_same_bytes(tmp_path):
    first = write_page(tmp_path / "a", iter(ENTRIES)).read_bytes()
    assert first == write_page(tmp_path / "b", ENTRIES).read_bytes()


def test_memory_does_not_grow_with_the_number_of_entries(tmp_path):
    def peak(count):
        tracemalloc.start()
        write_page(tmp_path, (Entry(f"{i}.wav", f"caption {i}", "failed", f"reason {i}", f"{i}") for i in range(count)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(1000), peak(3000)
    assert many < few + 100_000
    page = Page(tmp_path / "index.html")
    assert len(page.cards) == 3000 and len(page.named("option")) == 202
    assert "other labels (2800)" in page.text and "2980 × other kinds" in page.text


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    before = write_page(tmp_path, ENTRIES).read_bytes()

    def broken():
        yield ENTRIES[0]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_page(tmp_path, broken())
    assert os.listdir(tmp_path) == ["index.html"] and (tmp_path / "index.html").read_bytes() == before
