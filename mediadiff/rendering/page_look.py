"""How a page of clips looks and behaves: its style, its script, and the policy that allows these two and no others."""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root { color-scheme: light dark; --ink: #1b1d22; --paper: #f6f6f3; --card: #fff; --line: #d9d9d3; --soft: #61646c;
  --bad: #b3301f; --mark: #2f6fb0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e4; --paper: #16171a; --card: #1f2125; --line: #3a3d44; --soft: #a3a6ae;
    --bad: #ff8d78; --mark: #7db6ee; }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0 auto; max-width: 100rem; padding: 0 1.5rem 3rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
header { padding: 1.5rem 0 .5rem; }
h1, h2, p, dl, dd, ul, pre { margin: 0; }
h1, h2, strong, p, li, dd, code, a { overflow-wrap: anywhere; unicode-bidi: isolate; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1rem; }
header > p, .soft, dl { color: var(--soft); }
a { color: inherit; text-underline-offset: .15em; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
#failures { margin-top: .9rem; padding: .8rem 1rem; border: 1px solid var(--line); border-left: 4px solid var(--bad);
  border-radius: .5rem; background: var(--card); }
#failures ul { margin: .3rem 0 .6rem; padding-left: 1.2rem; }
pre { margin-top: .3rem; padding: .5rem .7rem; border-radius: .3rem; background: var(--paper); white-space: pre-wrap;
  user-select: all; font: .9em/1.4 ui-monospace, monospace; }
#filters { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: center;
  margin: 0 -1.5rem 1rem; padding: .7rem 1.5rem; background: var(--paper); border-bottom: 1px solid var(--line); }
fieldset { display: flex; align-items: center; margin: 0; padding: 0; border: 0; }
legend { float: left; margin-right: .5rem; padding: 0; }
fieldset input { position: absolute; opacity: 0; }
fieldset span { display: block; padding: .3rem .7rem; border: 1px solid var(--line); margin-left: -1px; cursor: pointer;
  background: var(--card); white-space: nowrap; }
fieldset label:first-of-type span { border-radius: .4rem 0 0 .4rem; }
fieldset label:last-of-type span { border-radius: 0 .4rem .4rem 0; }
:checked + span { background: var(--ink); color: var(--paper); }
:focus-visible + span { outline: 2px solid var(--mark); outline-offset: 2px; }
select, input[type=search] { max-width: 16rem; padding: .3rem .5rem; border: 1px solid var(--line);
  border-radius: .4rem; background: var(--card); color: inherit; font: inherit; }
output { color: var(--soft); }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: 1rem;
  align-items: start; }
article { display: grid; gap: .5rem; padding: .7rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); scroll-margin-top: 8rem; content-visibility: auto; contain-intrinsic-size: auto 16rem; }
article:target { outline: 2px solid var(--mark); }
.failed { border-left: 4px solid var(--bad); }
.waiting { border-style: dashed; }
.fault { color: var(--bad); font-size: .9rem; white-space: pre-line; }
.name { font-size: .9rem; }
.play { position: relative; display: grid; gap: .4rem; min-height: 3rem; border-radius: .3rem; background: #0c0e18; }
.play::after { content: "▶"; position: absolute; right: .5rem; bottom: .5rem; width: 2rem; height: 2rem;
  border: 1px solid #fff6; border-radius: 50%; background: #0c0e18cc;
  color: #fff; font: 1rem/1.9rem system-ui, sans-serif; text-align: center; }
.play:hover::after { background: var(--mark); }
.playing::after { content: "❚❚"; font-size: .7rem; }
article img, audio, video { display: block; width: 100%; border-radius: .3rem; }
.play img { aspect-ratio: auto 16 / 7; }
video, .still { max-height: 20rem; object-fit: contain; background: #0c0e18; }
.still { aspect-ratio: auto 1; image-rendering: pixelated; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .7rem; font-size: .85rem; }
@media (max-width: 45rem) {
  body { padding: 0 .8rem 2rem; }
  #filters { position: static; margin: 0 -.8rem 1rem; padding: .7rem .8rem; }
  legend { float: none; }
  fieldset { flex-wrap: wrap; }
}
"""

SCRIPT = """
"use strict";
const filters = document.getElementById("filters");
const byLabel = document.getElementById("label");
const byName = document.getElementById("name");
const shown = document.getElementById("shown");
const main = document.querySelector("main");
const cards = Array.from(main.children, card => ({
  card, status: card.className, label: card.dataset.label,
  name: card.querySelector(".name").textContent.toLowerCase(),
}));
function filter() {
  const status = filters.elements.status.value, label = byLabel.value, name = byName.value.trim().toLowerCase();
  let count = 0;
  for (const one of cards) {
    const fits = (!status || one.status === status) && (!label || one.label === label) && one.name.includes(name);
    if (one.card.hidden === fits) one.card.hidden = !fits;
    count += fits;
  }
  shown.textContent = count === cards.length ? "all shown" : count ? `${count} of ${cards.length} shown` : "none fits";
}
filters.hidden = false;
filters.addEventListener("input", filter);
filters.addEventListener("submit", event => event.preventDefault());
addEventListener("pageshow", filter);
document.getElementById("failures")?.addEventListener("click", event => {
  if (event.target.closest("a")) { filters.reset(); filter(); }  // what the link leads to may be filtered out
});

// A player is made when it is asked for: a thousand at once would take long to open.
main.addEventListener("click", event => {
  const link = event.target.closest("[data-player]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  let player = link.previousElementSibling;
  if (!player || !player.matches("audio, video")) {
    player = document.createElement(link.dataset.player);
    player.controls = player.playsInline = true;
    player.loop = link.dataset.player === "video";
    player.src = link.href;
    player.addEventListener("play", () => link.classList.add("playing"));
    player.addEventListener("pause", () => link.classList.remove("playing"));
    player.addEventListener("error", () => {
      player.replaceWith("This browser cannot play the file.");
      link.removeAttribute("data-player");
    });
    link.before(player);
  }
  if (player.paused) player.play().catch(() => {}); else player.pause();
});
main.addEventListener("play", event => {
  for (const player of main.querySelectorAll("audio, video")) if (player !== event.target) player.pause();
}, true);
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; img-src 'self' file:; media-src 'self' file:; style-src {_hash(STYLE)}; "
    f"script-src {_hash(SCRIPT)}; base-uri 'none'; form-action 'none'"
)
