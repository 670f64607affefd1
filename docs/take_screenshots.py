"""Takes pictures of every page of the viewer and what opens on it: Indonesian and English, desktop and phone, light and
dark.

    ./vms up --demo --detach                       # and some minutes of footage
    .venv/bin/python docs/take_screenshots.py --to DIR
    .venv/bin/python docs/take_screenshots.py --to DIR --readme   # also renews the pictures of the README

Pages are found by the links of the page's own header, so that none is forgotten. Needs the packages of
requirements-dev.txt and a Chromium. Exit status 1 when a page is wider than its screen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "include"))

from vms.home import from_environment  # noqa: E402
from vms.stack.addresses import viewer_url  # noqa: E402

SCREENS = {"desktop": (1280, 860), "phone": (360, 740)}
IMAGES = ROOT / "docs" / "images"
README = ("find", "recording", "sites", "watch", "coverage")
SETTLED_MS = 1500
REFUSED = "?state=quarantined&from=all"
"""Files that could not be archived, with their reasons."""

OPENED = {
    "find": {"calendar": ".st-key-w-period button", "cameras": ".st-key-w-cameras button"},
    "watch": {"bookmark": ".group.picks button >> nth=-1", "keys": ".group.more button >> nth=-1"},
    "holds": {"new": "[data-testid=stExpander] summary >> nth=0"},
}
"""What opens on a page: a name for its picture, and what to click."""

PATIENCE_MS = 60_000
AT_REST = """() => !document.querySelector("[data-testid=stSkeleton], .stSkeleton")
    && document.querySelector("[data-testid=stApp]")?.dataset.testScriptState !== "running"
    && document.fonts.status === "loaded\""""


@dataclass(frozen=True)
class Look:
    """One way to look at the pages."""

    lang: str
    screen: str
    scheme: str

    def __str__(self) -> str:
        return f"{self.lang}-{self.screen}-{self.scheme}"


LOOKS = tuple(Look(*words) for words in (
    ("id", "desktop", "light"), ("en", "desktop", "light"), ("id", "phone", "light"), ("en", "phone", "light"),
    ("id", "desktop", "dark"), ("en", "desktop", "dark"), ("id", "phone", "dark"), ("en", "phone", "dark"),
))  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Pictures of every page of the running viewer.")
    parser.add_argument("--to", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--readme", action="store_true", help="renew the pictures in docs/images, too")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    home = from_environment()
    password = (home.secrets / "viewer_admin").read_text().strip()
    too_wide = []
    with sync_playwright() as playwright:
        program = os.environ.get("VMS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for look in LOOKS:
            for name, page in _pages(browser, look, viewer_url(home), password):
                target = options.to / f"{look}-{name}.png"
                page.screenshot(path=target)
                width = page.evaluate("document.documentElement.scrollWidth")
                if width > SCREENS[look.screen][0]:
                    too_wide.append(f"{target.name} is {width} pixels wide")
                if options.readme and str(look) == "en-desktop-light" and name in README:
                    shutil.copyfile(target, IMAGES / f"{name}.png")
                sys.stdout.write(f"{target}\n")
        browser.close()
    sys.stdout.writelines(f"{line}\n" for line in too_wide)
    return 1 if too_wide else 0


def _pages(browser: Browser, look: Look, address: str, password: str) -> Iterator[tuple[str, Page]]:
    width, height = SCREENS[look.screen]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale={"id": "id-ID", "en": "en-GB"}[look.lang],
        color_scheme="dark" if look.scheme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(address, timeout=PATIENCE_MS)
    page.wait_for_selector("input[type=password]")
    yield "sign-in", page
    page.fill("input[name=name]", "admin")
    page.fill("input[type=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_selector("header a, nav a, [data-testid=stPageLink] a", timeout=PATIENCE_MS)
    _rest(page)
    yield "find", page
    links = page.eval_on_selector_all(
        "[data-testid=stPageLink] a, header a, nav a", "all => all.map(one => one.getAttribute('href'))"
    )
    recordings = page.eval_on_selector_all("a[href*='recording=']", "all => all.slice(0, 1).map(one => one.href)")
    names = dict.fromkeys(link.split("?")[0].strip("/") for link in links if link)
    targets = [(name, f"{address}/{name}") for name in names if name not in ("", "find")]
    targets.append(("account", f"{address}/account"))  # behind the name of who has signed in
    yield from _opened("find", page)
    for name, target in (*targets, *(("recording", one) for one in recordings), ("refused", f"{address}/{REFUSED}")):
        page.goto(target, timeout=PATIENCE_MS)
        _rest(page)
        yield name, page
        yield from _opened(name, page)
    context.close()


def _opened(name: str, page: Page) -> Iterator[tuple[str, Page]]:
    for part, what in OPENED.get(name, {}).items():
        page.click(what)
        _rest(page)
        yield f"{name}-{part}", page
        page.keyboard.press("Escape")


def _rest(page: Page) -> None:
    """Until the page is drawn, its pictures included."""
    page.wait_for_selector(".st-key-account .account", timeout=PATIENCE_MS)
    page.wait_for_timeout(500)  # what a click sets going has begun then
    page.wait_for_function(AT_REST, timeout=PATIENCE_MS)
    page.wait_for_timeout(SETTLED_MS)


if __name__ == "__main__":
    sys.exit(main())
