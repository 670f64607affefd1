"""What the viewer's pages cost over a whole fleet: what each sends to the browser, and whose processor works for it.

A generated installation of so many sites of 16 cameras, by region and tier, each camera with some recordings; one site
in twenty-five is silent, one in twenty falls behind, one in sixteen has files that can't be archived, one in a hundred
does not reach its store. Over it the viewer as it is served, and a Chromium that opens every page and has it drawn
once more (the language is changed, which sends all of it again).

    .venv/bin/python benchmarks/viewer_fleet.py --sites 3,1000
    .venv/bin/python benchmarks/viewer_fleet.py --sites 1000 --only operations --pictures DIR
    .venv/bin/python benchmarks/viewer_fleet.py --sites 1000 --serve      # and leave it running, to look at
    .venv/bin/python benchmarks/viewer_fleet.py --sites 1000 --over FOLDER/fleet    # measure what that one has made

Bytes are those of the page's websocket as they go over the line, processor times those of the viewer's and of Postgres'
processes: both are the same on a busy machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / one) for one in ("", "include", "tests", "tests/integration", "tests/integration/stores")]

import psutil  # noqa: E402
from catalogue_rates import a_catalogue  # noqa: E402
from catalogue_rows import Scale, fill  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402
from rich.box import MARKDOWN  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from viewer_archive import served  # noqa: E402

from viewer_world import sign_in  # noqa: E402
from vms.catalogue.connection import Connection, fetch_all  # noqa: E402
from vms.home import Home, from_environment  # noqa: E402

PAGES = {
    "find": "/",
    "watch": "/watch?camera=site000/cam01",
    "sites": "/sites",
    "coverage": "/coverage",
    "bookmarks": "/bookmarks",
    "exports": "/exports",
    "holds": "/holds",
    "operations": "/operations",
    "alerts": "/alerts",
    "log": "/log",
    "account": "/account",
}
REGIONS = (
    "Jabodetabek",
    "Jawa Barat",
    "Jawa Tengah",
    "Jawa Timur",
    "Sumatra",
    "Kalimantan",
    "Sulawesi",
    "Bali",
    "Papua",
)
TIERS = ("flagship", "branch", "kiosk")
FILES_S = 6 * 3600
QUIET_S = 0.8

_STATES = """
    UPDATE site SET name = 'Cabang ' || (ARRAY['Kemang', 'Dago', 'Simpang Lima', 'Darmo', 'Medan', 'Pontianak',
        'Makassar', 'Denpasar', 'Jayapura'])[1 + site_id %% 9] || ' ' || lpad(site_id::text, 4, '0'), every_s = 900;
    UPDATE site SET last_sensed = %(now)s - interval '2 days' WHERE site_id %% 25 = 7;
    UPDATE store_state SET state = 'unreachable', message = 'The share is gone.', remedy = 'Mount it.',
        since = %(now)s - interval '3 hours' WHERE store_id = 1 AND site_id %% 100 = 9;
    UPDATE recording SET custody = 0, archived_at = NULL
    WHERE site_id %% 20 = 5 AND custody = 1 AND start_at > %(now)s - interval '40 hours';
    DELETE FROM camera_day d USING camera c
    WHERE d.camera_id = c.camera_id AND c.site_id %% 20 = 5 AND day > (%(now)s - interval '40 hours')::date;
    DELETE FROM copy k USING recording r
    WHERE k.recording_id = r.recording_id AND k.start_at = r.start_at AND r.custody = 0;
    DELETE FROM recording WHERE custody = 4 AND site_id %% 16 <> 3;
    UPDATE recording SET custody = 4 WHERE custody IN (1, 2) AND site_id %% 16 = 3 AND camera_id %% 16 = 1
        AND start_at > %(now)s - interval '12 hours';
    INSERT INTO quarantine (recording_id, start_at, stage, reason, message, remedy, path, first_at, last_at)
    SELECT recording_id, start_at, 'sense', 'no_moov', 'No moov atom.', 'Export it again.', source_name, end_at, end_at
    FROM recording WHERE custody = 4 ON CONFLICT DO NOTHING;
    DELETE FROM alert;
    INSERT INTO alert (kind, site, subject, detail, opened_at, seen_at)
    SELECT 'site_unreachable', slug, '', jsonb_build_object('since', %(now)s - interval '2 days'),
        %(now)s - interval '2 days', %(now)s
    FROM site WHERE site_id %% 25 = 7
    UNION ALL SELECT 'quarantine', slug, '', '{"count": 2}', %(now)s - interval '12 hours', %(now)s
    FROM site WHERE site_id %% 16 = 3
    UNION ALL SELECT 'backlog', slug, '', '{"count": 90, "hours": 40}', %(now)s - interval '15 hours', %(now)s
    FROM site WHERE site_id %% 20 = 5;
"""


@dataclass
class Cost:
    """Of one drawing of a page. bytes: over its websocket."""

    bytes: int
    viewer_ms: float
    postgres_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", default="3,1000", help="sizes, comma-separated")
    parser.add_argument("--only", default=",".join(PAGES), help="pages, comma-separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work (1,000 sites: 2 GB)")
    parser.add_argument("--pictures", type=Path, help="for a picture of each page")
    parser.add_argument("--over", type=Path, help="folder of an installation that another --serve keeps running")
    parser.add_argument("--serve", action="store_true", help="say where it is and wait, instead of measuring")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for size in (int(one) for one in options.sites.split(",")):
        with tempfile.TemporaryDirectory(prefix="vms-fleet-", dir=options.folder) as text:
            folder = Path(text)
            folder.chmod(0o755)
            made = contextlib.nullcontext(_home(options.over)) if options.over else installation(folder / "fleet", size)
            with made as home, served(home, folder / "viewer.log") as (url, process):
                token = sign_in(home, f"sari{os.getpid()}").token
                if options.serve:
                    sys.stderr.write(f"{url}\nvms_{url.rpartition(':')[2]}={token}\n")
                    process.wait()
                found[str(size)] = measure(url, token, process.pid, home, options)
    result = {"load": os.getloadavg(), "sizes": found}
    print(json.dumps(result, indent=1)) if options.json else _show(result)


def _home(folder: Path) -> Home:
    return from_environment({"VMS_HOME": str(folder / "home"), "VMS_SITES": str(folder / "sites.yaml")})


@contextlib.contextmanager
def installation(folder: Path, sites: int) -> Iterator[Home]:
    """A catalogue and a sites.yaml of so many sites; there are no files."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with a_catalogue(folder, undone=True) as (home, owner):
        fill(owner, Scale(sites, 0, 4, now, FILES_S, marks=1), lambda what, _: sys.stderr.write(f"{what}\n"))
        with owner, owner.cursor() as cursor:
            cursor.execute(_STATES, {"now": datetime.now(UTC)})
            cursor.execute("UPDATE site SET last_sensed = now() WHERE last_sensed > now() - interval '1 day'")
        write_sites(home, owner, folder)
        yield home


def write_sites(home: Home, owner: Connection, folder: Path) -> None:
    """sites.yaml as the catalogue says, with regions and tiers."""
    footage = folder / "footage"
    footage.mkdir()
    lines = ["company: PT Uji", f"stores: {{nas: {{url: 'file://{folder}/nas'}}, cloud: {{url: 'file://{folder}/c'}}}}"]
    lines += ["defaults: {stores: [nas], every: 15m}", "sites:"]
    rows = fetch_all(
        owner,
        "SELECT s.site_id, s.slug, s.name, s.tz, array_agg(c.slug ORDER BY c.slug)"
        " FROM site s JOIN camera c USING (site_id) GROUP BY s.site_id ORDER BY s.site_id",
        [],
    )
    for number, slug, name, zone, cameras in rows:
        tier = TIERS[0] if number % 12 == 0 else TIERS[1 + number % 2]
        lines += [f"  - id: {slug}", f"    name: {name}", f"    time_zone: {zone}", f"    footage: {footage}"]
        lines += [f"    region: {REGIONS[number % len(REGIONS)]}", f"    tier: {tier}", "    cameras:"]
        lines += [f"      - {{id: {one}, name: Camera {int(one[3:])}}}" for one in cameras]
    home.sites_file.write_text("\n".join(lines) + "\n")


def measure(url: str, token: str, pid: int, home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Every page: opened, then drawn again some times."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("There is no Chromium on this machine.")
    found: dict[str, Any] = {}
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in options.only.split(","):
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            context.add_cookies(
                [{"name": f"vms_{url.rpartition(':')[2]}", "value": token, "url": url, "httpOnly": True}]
            )
            page = context.new_page()
            page.set_default_timeout(120_000)
            line = Line(page)
            path = PAGES[name]
            address = f"{url}{path}{'&' if '?' in path else '?'}lang=en"
            opened = _cost(page, pid, home, line, partial(page.goto, address))
            again = []
            for number in range(options.rounds):
                button = page.locator(".st-key-language_choice button", has_text="ID" if number % 2 == 0 else "EN")
                again.append(_cost(page, pid, home, line, button.click))
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=options.pictures / f"{name}.png", full_page=True)
            found[name] = {
                "opened_kb": round(opened.bytes / 1000, 1),
                "again_kb": round(statistics.median(one.bytes for one in again) / 1000, 1),
                "viewer_ms": round(statistics.median(one.viewer_ms for one in again)),
                "postgres_ms": round(statistics.median(one.postgres_ms for one in again)),
                "elements": page.evaluate(_ELEMENTS),
            }
            context.close()
        browser.close()
    return found


_AT_WORK = "[data-testid=stApp][data-test-script-state=running]"
_ELEMENTS = """() => {
  const count = (root) => [...root.querySelectorAll('*')].reduce(
    (sum, one) => sum + 1 + (one.shadowRoot ? count(one.shadowRoot) : 0), 0);
  return count(document);
}"""


class Line:
    """What comes over the websockets of a page, as the browser is told by the line: packed, when it is packed."""

    def __init__(self, page: Page) -> None:
        self.bytes = 0
        self.last = time.monotonic()
        page.on("websocket", lambda socket: socket.on("framereceived", self._came))

    def _came(self, frame: str | bytes) -> None:
        self.bytes += len(frame)
        self.last = time.monotonic()


def _cost(page: Page, pid: int, home: Home, line: Line, do: Callable[[], object]) -> Cost:
    """Do it and wait until the page stands and nothing more comes."""
    before, viewer, postgres = line.bytes, _viewer_s(pid), _postgres_s(home)
    do()
    page.wait_for_selector(".st-key-language_choice")
    line.last = time.monotonic()
    end = time.monotonic() + 120
    while time.monotonic() < end and (time.monotonic() - line.last < QUIET_S or page.locator(_AT_WORK).count()):
        page.wait_for_timeout(100)
    return Cost(line.bytes - before, 1000 * (_viewer_s(pid) - viewer), 1000 * (_postgres_s(home) - postgres))


def _viewer_s(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


def _postgres_s(home: Home) -> float:
    total = 0.0
    for one in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if one.info["name"] == "postgres" and str(home.root) in " ".join(one.cmdline()):
                total += sum(one.cpu_times()[:4]) + sum(sum(each.cpu_times()[:2]) for each in one.children())
    return total


def _show(result: dict[str, Any]) -> None:
    for size, pages in result["sizes"].items():
        table = Table("page", "opened, kB", "again, kB", "viewer, ms", "Postgres, ms", "elements", box=MARKDOWN)
        for name, one in pages.items():
            table.add_row(name, *(f"{one[key]:,}" for key in one))
        Console(width=120).print(f"{size} sites:", table)
    load = ", ".join(f"{one:.1f}" for one in result["load"])
    Console(width=120).print(f"{os.cpu_count()} cores, load of the last 1, 5 and 15 minutes: {load}")


if __name__ == "__main__":
    main()
