"""The page Watch in a real Chromium: when its timeline stands, when its first picture, and what a click costs.

Each round is a fresh browser with nothing kept (cold), then the same page again (warm); and one that was never here and
signs in by the form, as every person does before the first picture (new: counted from pressing the button, so that the
look at the password is in it). The page tells the moments itself: a small script, there before anything else, looks at
each frame whether the timeline and a picture are there.
"""

from __future__ import annotations

import shutil
import statistics
import time
from datetime import timedelta
from typing import Any

from viewer_archive import DENSE_SITE, Archive

from viewer_world import PASSWORD

_PATIENCE_S = 60
_KEY_MS = 100
"""Between two keys of somebody who writes quickly: 120 words in two minutes."""
_LOOKING = """
window.bench = { marks: {} };
const mark = (name) => { if (!(name in bench.marks)) bench.marks[name] = performance.now(); };
function find(selector) {
  if (bench.app) return bench.app.root.querySelector(selector);
  const within = [document, ...[...document.querySelectorAll('*')].map((one) => one.shadowRoot).filter(Boolean)];
  return within.flatMap((one) => [...one.querySelectorAll(selector)]).find((one) => one.app && one.app.line);
}
function look() {
  const root = bench.app ? bench.app.root : find('.root');
  if (root) {
    mark('component');
    bench.app = root.app;
    if (root.app.cameras.length && root.app.data.of(root.app.cameras[0].key)) mark('timeline');
    if (root.app.tiles.some((one) => one.hls)) mark('player');
  }
  const video = find('.tile video');
  if (video && video.readyState >= 2 && !video.seeking) { mark('picture'); if (bench.marks.timeline) return; }
  requestAnimationFrame(look);
}
look();
"""
_DRAW = """() => {
  const times = [];
  for (let step = 0; step < 20; step += 1) {
    const began = performance.now();
    bench.app.line._draw();
    times.push(performance.now() - began);
  }
  times.sort((one, other) => one - other);
  return times[10];
}"""
_CLICK = """(ms) => new Promise((done) => {
  const app = bench.app, tile = app.tiles[0], video = tile.video, began = performance.now();
  const told = { answered: 0, seen: 0 };
  app.seek(ms);
  requestAnimationFrame(() => requestAnimationFrame(() => { told.answered = performance.now() - began; }));
  const look = () => {
    if (video.readyState >= 2 && !video.seeking && tile.wall && Math.abs(tile.wall - ms) < 700 && told.answered) {
      told.seen = performance.now() - began;
      done(told);
    } else if (performance.now() - began > 20000) done(told);
    else requestAnimationFrame(look);
  };
  look();
})"""
_SIZES = "performance.getEntriesByType('resource').map((one) => one.transferSize)"


def browse(archive: Archive, rounds: int) -> dict[str, Any]:
    """Medians in ms. draw: the canvas with 16 cameras x a day; click: until the page answers, until the picture."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("There is no Chromium on this machine.")
    person = archive.person(f"browser{rounds}{archive.process.pid}{len(_done)}", "administrator", None)
    _done.append(1)
    at = archive.now - timedelta(hours=5)
    cameras = ",".join(f"{DENSE_SITE}/cam{number:02d}" for number in range(1, 17))
    address = f"{archive.url}/watch?camera={cameras}&show=1&at={at:%Y-%m-%dT%H:%M:%SZ}"
    found: dict[str, list[float]] = {}
    requests: list[int] = []
    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
            page = context.new_page()
            page.goto(address)
            page.get_by_label("User name").press_sequentially(person.name, delay=_KEY_MS)
            page.get_by_label("Password").press_sequentially(PASSWORD, delay=_KEY_MS)
            context.add_init_script(_LOOKING)
            page.get_by_role("button").click()
            _until(page, "window.bench && bench.marks.picture && bench.marks.timeline")
            for name, value in page.evaluate("bench.marks").items():
                found.setdefault(f"new, {name}", []).append(value)
            context.close()
            context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
            context.add_cookies([{"name": archive.cookie, "value": person.token, "url": archive.url, "httpOnly": True}])
            context.add_init_script(_LOOKING)
            page = context.new_page()
            page.set_default_timeout(60_000)
            for kind in ("cold", "warm"):
                page.goto(address)
                _until(page, "bench.marks.picture && bench.marks.timeline")
                for name, value in page.evaluate("bench.marks").items():
                    found.setdefault(f"{kind}, {name}", []).append(value)
                requests = requests or page.evaluate(_SIZES)
            page.evaluate("bench.app.line.show(bench.app.at - 43200000, bench.app.at + 43200000)")
            _until(page, "bench.app.data.loaded.from <= bench.app.line.from")
            found.setdefault("draw a day of 16 cameras", []).append(page.evaluate(_DRAW))
            moment = int(at.timestamp() * 1000)
            for minutes in (1, -3, 7, 12):
                told = page.evaluate(_CLICK, moment + minutes * 60_000)
                found.setdefault("click, answered", []).append(told["answered"])
                found.setdefault("click, picture", []).append(told["seen"])
            context.close()
        browser.close()
    return {
        **{name: round(statistics.median(some), 1) for name, some in found.items()},
        "requests, cold": len(requests),
        "kilobytes, cold": round(sum(requests) / 1000),
    }


_done: list[int] = []


def _until(page: Any, true: str) -> None:
    """Asked from outside: the page's own policy forbids the way that the tool has for it."""
    end = time.monotonic() + _PATIENCE_S
    while not page.evaluate(true):
        if time.monotonic() > end:
            raise SystemExit(
                f"In the browser this never became true: {true}; there are {page.evaluate('bench.marks')}."
            )
        time.sleep(0.05)
