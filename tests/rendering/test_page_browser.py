"""The page in a real browser, from the disk: it plays, filters, asks for nothing outside, and opens quickly."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.rendering.page import Entry, write_page
from mediadiff.rendering.thumbnail import draw

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
RETRY = "mediadiff batch 'jobs & more.csv' --out . --retry"
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
    if not CHROMIUM.exists():
        pytest.skip(f"needs a browser at {CHROMIUM}; on Debian: apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a file in the browser; at the end nothing but files was asked for, and nothing was complained of."""
    asked, said, contexts = [], [], []

    def visit(path, **settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert asked and not [url for url in asked if not url.startswith("file:")]
    assert not said


def sound(number):
    times = np.arange(16000) / 8000
    tone = np.sin(2 * np.pi * (200 + 60 * number) * times * (1 + times / 4)) * np.exp(-2 * (times % 0.5))
    return Sound((0.6 * tone).astype(np.float32)[None], 8000)


def film(number):
    rows, columns = np.mgrid[:64, :64]
    frames = np.zeros((32, 64, 64, 3), np.uint8)
    for place, frame in enumerate(frames):
        frame[...] = (40 + 4 * number, 60, 90)
        frame[(rows - 32) ** 2 + (columns - 2 * place) ** 2 < 100] = (240, 200, 80)
    return Picture(frames, Fraction(16))


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """40 clips: 31 sounds, film with and without sound, a still; of these 4 failed, and one waits."""
    folder = tmp_path_factory.mktemp("a batch #1 100%")
    entries = []
    for i in range(40):
        label, ending = ("tone", "glide", "film", HOSTILE)[i % 4], ("wav", "flac", "mp4", "wav")[i % 4]
        file, facts = f"{'abcd'[i % 4]}-{i:06d}.{ending}", {"seed": 7, "length": "2 s", "time taken": "0.41 s"}
        if i == 39:
            entries.append(Entry(file, label, "waiting", settings={"seed": 7}))
        elif i % 11 == 5:
            kind, reason = (("timeout", f"it took over 60 s {HOSTILE}"), ("not finite", "NaN in the sound"))[i % 2]
            entries.append(Entry(file, label, "failed", reason, kind, {"seed": 7}))
        else:
            clip = Clip(sound(i) if i % 4 != 2 or i % 8 == 2 else None, film(i) if i % 4 == 2 else None)
            clip.save(folder / file)
            entries.append(Entry(file, label, settings=facts, pictures=tuple(draw(clip, folder, file))))
    Clip(picture=Picture(film(0).frames[:1], Fraction(1))).save(folder / "still #1?.png")
    entries[0] = Entry("still #1?.png", "still", settings={"seed": 7})
    return write_page(folder, iter(entries), "Forty clips", RETRY)


def until(page, true):
    """Waits until a line of script gives true. The page's own policy forbids playwright's wait_for_function."""
    end = time.monotonic() + 30
    while not page.evaluate(true):
        assert time.monotonic() < end, f"30 s, and still not {true}"
        page.wait_for_timeout(20)


def playing(page, player):
    until(page, f"document.querySelector('{player}')?.currentTime > 0.2")


def test_sound_plays_where_it_is_shown_one_at_a_time(visit, batch):
    page = visit(batch)
    page.click("#clip-4 .play")
    playing(page, "#clip-4 audio")
    page.focus("#clip-9 .play")
    page.keyboard.press("Enter")
    playing(page, "#clip-9 audio")
    assert page.evaluate("document.querySelector('#clip-4 audio').paused")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#clip-9 audio').paused")
    assert page.locator("audio").count() == 2


def test_film_plays_where_it_is_shown(visit, batch):
    page = visit(batch)
    if not page.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.42E01E\"')"):
        pytest.skip("this browser has no H.264")
    page.click("#clip-2 .play")
    playing(page, "#clip-2 video")
    assert page.evaluate("document.querySelector('#clip-2 video').videoWidth") == 64


def test_filters_show_what_fits(visit, batch):
    page = visit(batch)
    shown = page.locator("article:visible")
    assert shown.count() == 40 and page.inner_text("#shown") == "all shown"
    page.get_by_text("failed 4").click()
    assert [card.get_attribute("id") for card in shown.all()] == ["clip-5", "clip-16", "clip-27", "clip-38"]
    page.get_by_label("Label").select_option(label="glide (10)")
    assert [card.get_attribute("id") for card in shown.all()] == ["clip-5"]
    page.get_by_text("all 40").click()
    assert shown.count() == 10 and page.inner_text("#shown") == "10 of 40 shown"
    page.get_by_label("File name").fill(" B-00002 ")
    assert [card.get_attribute("id") for card in shown.all()] == ["clip-21", "clip-25", "clip-29"]
    page.get_by_label("File name").fill("b-000038")
    assert shown.count() == 0 and page.inner_text("#shown") == "none fits"
    page.locator("#failures a").first.click()
    assert shown.count() == 40 and page.url.endswith("#clip-5")
    page.get_by_text("waiting 1").click()
    assert [card.get_attribute("id") for card in shown.all()] == ["clip-39"]


def test_the_keyboard_reaches_everything(visit, batch):
    page = visit(batch)
    page.keyboard.press("Tab")  # to the first failure's link
    page.focus("input[name=status]")
    page.keyboard.press("ArrowRight")
    assert page.locator("article:visible").count() == 35
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached == ["label", "name", "", "play", "", "play"]  # the first card is a still, with its name's link


def test_failures_and_what_tries_them_again_are_read_first(visit, batch):
    page = visit(batch)
    section = page.locator("#failures")
    assert section.is_visible() and section.locator("code").inner_text() == RETRY
    assert section.locator("li").all_inner_texts() == [
        "2 × not finite, the first of them",
        "2 × timeout, the first of them",
    ]
    page.get_by_text("failed 4").click()
    for clip in ("#clip-16", "#clip-5"):
        page.locator(clip).scroll_into_view_if_needed()  # what is not near the window is not laid out
    assert f"timeout it took over 60 s {HOSTILE}" in page.inner_text("#clip-16")
    assert "not finite NaN in the sound" in page.inner_text("#clip-5")
    assert page.title() == "Forty clips"


def test_pictures_come_when_they_are_looked_at(visit, batch):
    page = visit(batch)
    loaded = "Array.from(document.images, image => image.complete && image.naturalWidth > 0)"
    until(page, "document.images[0].naturalWidth > 0")
    page.locator("#clip-37").scroll_into_view_if_needed()
    until(page, "document.querySelector('#clip-37 img').naturalWidth > 0")
    assert page.evaluate(f"{loaded}.filter(Boolean).length") > 1


def test_without_script_all_clips_are_listed_and_linked(visit, batch):
    page = visit(batch, java_script_enabled=False)
    assert page.locator("article:visible").count() == 40 and not page.locator("#filters").is_visible()
    with page.expect_navigation():
        page.click("#clip-4 .play")
    assert page.url.endswith("/a-000004.wav")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_in_dark(visit, batch, scheme):
    page = visit(batch, color_scheme=scheme)
    colours = page.evaluate("""Array.from(["body", ".fault", ".soft", "dl", "legend"], name => {
      const style = getComputedStyle(document.querySelector(name)), of = text => text.match(/[\\d.]+/g).map(Number);
      return [of(style.color), of(getComputedStyle(document.querySelector("article")).backgroundColor)];
    })""")

    def luminance(colour):
        parts = np.array(colour[:3]) / 255
        return np.where(parts <= 0.04, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    for ink, paper in colours:
        low, high = sorted([luminance(ink), luminance(paper)])
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_a_thousand_clips_open_in_seconds(visit, tmp_path):
    clip = Clip(Sound(sound(0).samples[:, :800], 8000))
    clip.save(tmp_path / "0.wav")
    (picture,) = draw(clip, tmp_path, "0")
    for i in range(1, 1000):
        (tmp_path / f"{i}.wav").hardlink_to(tmp_path / "0.wav")
        (tmp_path / picture.replace("0-", f"{i}-")).hardlink_to(tmp_path / picture)
    entries = (
        Entry(f"{i}.wav", str(i % 10), settings={"seed": i}, pictures=(f"pictures/{i}-sound.png",)) for i in range(1000)
    )
    path = write_page(tmp_path, entries)
    page = visit(path)
    until(page, "document.querySelector('#clip-0 img').naturalWidth > 0 && shown.textContent === 'all shown'")
    # Time of the processor, not of the clock: other work on the machine does not count. It opens once more, measured.
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.reload()
    spent = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    assert 0 < spent["TaskDuration"] < 2 and page.inner_text("#shown") == "all shown"
    loaded = page.evaluate("performance.getEntriesByType('resource').length")
    assert loaded < 300
    page.get_by_label("File name").fill("999")
    assert page.locator("article:visible").count() == 1
    page.click("#clip-999 .play")
    until(page, "document.querySelector('audio')?.duration > 0.09")
