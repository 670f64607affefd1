"""The page Watch in a browser: opened, and what its player shows."""

from __future__ import annotations

from typing import Any

from browser_world import Viewer, new_page

FIRST = "/watch?camera=ho/lobby&at=2026-01-31T01:00:01Z"
AT = 1769821200000
MINUTES = f"""() => {{
  const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot?.querySelector(".root"));
  const app = roots.find((one) => one?.app).app;
  window.minutes = new Set();
  const look = () => {{ window.minutes.add(Math.floor((app.at - {AT}) / 60000)); requestAnimationFrame(look); }};
  look();
}}"""
"""From now on each minute after AT that is come to is noted."""


def opened(browser: Any, viewer: Viewer, address: str, **options: Any) -> Any:
    page = new_page(browser, viewer, **options)
    page.goto(viewer.url + address)
    page.wait_for_selector(".tile video", state="attached")  # it is hidden where there is a gap
    return page


def shows(page: Any, time: str, tile: int = 0) -> bool:
    video = page.locator(".tile video").nth(tile)
    there = video.evaluate(
        "video => video.readyState >= 2 && !video.seeking && video.videoWidth === 320"
        " && getComputedStyle(video).visibility === 'visible'"  # else a word stands in its place
    )
    return bool(there) and time in page.locator(".stamp").nth(tile).inner_text()
