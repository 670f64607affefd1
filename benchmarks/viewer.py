"""What the viewer costs when many people use it at once.

A real catalogue (catalogue_rows.py), real files, the viewer as it is served, and people with sessions of their own
(viewer_people.py), half of whom see some sites or cameras only: they search, open recordings, watch a day of cameras
and play some of it, look at coverage, sites and exports, and think in between. Then one recording of 2 GB is sent whole
to several at once while the viewer's memory is watched. --browser: one real Chromium beside the people, which opens the
page Watch (viewer_browser.py).

    .venv/bin/python benchmarks/viewer.py                     # 30 people for two minutes
    .venv/bin/python benchmarks/viewer.py --people 5 --seconds 20 --sites 2 --days 4
    .venv/bin/python benchmarks/viewer.py --browser

Figures are shown and go to --out, unless answers were errors: then those are shown, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / one) for one in ("", "include", "tests", "tests/integration", "tests/integration/stores")]

import httpx  # noqa: E402
import psutil  # noqa: E402
from catalogue_rows import CAMERAS  # noqa: E402
from rich.box import MARKDOWN  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from viewer_archive import BIG_BYTES, DENSE_SITE, Archive, served_archive  # noqa: E402
from viewer_people import Person, Seen, Who  # noqa: E402

from viewer import tokens  # noqa: E402

AIM_MS = 1000.0
BIG_AT_ONCE = 4


@dataclass
class Watched:
    """The viewer's process over time. rss_mb: each second."""

    rss_mb: list[float] = field(default_factory=list)
    viewer_cpu_s: float = 0.0
    postgres_cpu_s: float = 0.0
    people_cpu_s: float = 0.0


def main() -> None:
    options = _options()
    console = Console(width=140)
    with tempfile.TemporaryDirectory(prefix="vms-viewer-", dir=options.folder) as text:
        folder = Path(text)
        folder.chmod(0o755)
        tell = lambda what, _: console.print(f"[dim]{what}[/dim]") if options.verbose else None  # noqa: E731
        with served_archive(folder / "archive", options.sites, options.days, tell) as archive:
            people = _people(archive, options.people)
            seen, watched, browser = Seen(), Watched(), {}
            with _watching(archive, watched):
                if options.browser:
                    browser["alone"] = _browse(archive, options.rounds)
                asyncio.run(_use(archive, people, seen, options, browser))
                settled = watched.rss_mb[-1]
            if not seen.errors:
                big = asyncio.run(_send_big(archive, seen))
            if seen.errors:
                console.print(f"{len(seen.errors)} answers were errors; there are no figures.", style="bold red")
                console.print("\n".join(seen.errors[:20]), markup=False)
                console.print(archive.log.read_text()[-3000:], markup=False)
                raise SystemExit(1)
    result = _result(archive, options, seen, watched, settled, big, browser)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "viewer.json").write_text(json.dumps(result, indent=1))
    _show(console, result)
    if result["page_p95_ms"] > AIM_MS:
        raise SystemExit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=120, help="how long they use it")
    parser.add_argument("--think", type=float, default=8, help="seconds between two deeds of a person, on average")
    parser.add_argument("--sites", type=int, default=6, help="of 16 cameras")
    parser.add_argument("--days", type=int, default=20, help="of recordings in the catalogue")
    parser.add_argument("--browser", action="store_true", help="also a real Chromium")
    parser.add_argument("--rounds", type=int, default=5, help="how often the browser does it")
    parser.add_argument("--folder", type=Path, help="where to work (about 300 MB)")
    parser.add_argument("--out", type=Path, default=Path("viewer-benchmark"), help="for the figures")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if options.people > 200 or options.seconds > 1800:
        parser.error("at most 200 people and half an hour")
    return options


def _people(archive: Archive, count: int) -> list[Who]:
    """A third sees everything, a third one or two sites, a third four cameras of the site with short files."""
    every = tuple(f"cam{number:02d}" for number in range(1, CAMERAS + 1))
    made = []
    for number in range(count):
        role = "investigator" if number % 2 else "viewer"
        sites, cameras, sees = archive.sites, every, None
        if number % 3 == 1:
            sites = (DENSE_SITE, archive.sites[1 + number % (len(archive.sites) - 1)])
            sees = [(site, "") for site in sites]
        elif number % 3 == 2:
            sites, cameras = (DENSE_SITE,), every[number % 4 * 4 : number % 4 * 4 + 4]
            sees = [(DENSE_SITE, camera) for camera in cameras]
        name = f"person{number:03d}"
        person = archive.person(name, role, sees)
        cookie = f"{archive.cookie}={person.token}"
        made.append(Who(name, cookie, sites, cameras, role == "investigator"))
    return made


async def _use(
    archive: Archive, people: list[Who], seen: Seen, options: argparse.Namespace, browser: dict[str, Any]
) -> None:
    begin_s = min(20.0, options.seconds / 4)
    end = time.monotonic() + begin_s + options.seconds
    crowd = [
        Person(archive.url, who, archive.now, seen, options.think, number).live(begin_s * number / len(people), end)
        for number, who in enumerate(people)
    ]
    if not options.browser:
        await asyncio.gather(*crowd)
        return
    beside = asyncio.to_thread(_browse, archive, options.rounds, begin_s)
    *_, browser["among the people"] = await asyncio.gather(*crowd, beside)


def _browse(archive: Archive, rounds: int, wait_s: float = 0) -> dict[str, Any]:
    from viewer_browser import browse

    time.sleep(wait_s)
    return browse(archive, rounds)


async def _send_big(archive: Archive, seen: Seen) -> dict[str, float]:
    """The recording of 2 GB, whole, to several at once."""
    person = archive.person("big", "administrator", None)
    path, _ = tokens.issue(archive.home, person.mark, *archive.big, "rendition")
    process = psutil.Process(archive.process.pid)
    before = process.memory_info().rss / 1e6
    most = before
    done = False

    async def take() -> int:
        size = 0
        headers = {"Cookie": f"{archive.cookie}={person.token}"}
        async with (
            httpx.AsyncClient(base_url=archive.url, headers=headers, timeout=120) as http,
            http.stream("GET", path) as answer,
        ):
            if answer.status_code != 200:
                seen.errors.append(f"{answer.status_code} for the recording of 2 GB.")
            async for chunk in answer.aiter_raw(1 << 20):
                size += len(chunk)
        return size

    async def look() -> None:
        nonlocal most
        while not done:
            most = max(most, process.memory_info().rss / 1e6)
            await asyncio.sleep(0.05)

    began = time.perf_counter()
    looking = asyncio.create_task(look())
    sizes = await asyncio.gather(*(take() for _ in range(BIG_AT_ONCE)))
    done = True
    await looking
    if set(sizes) != {BIG_BYTES}:
        seen.errors.append(f"Of 2 GB came {sizes}.")
    return {
        "before_mb": before, "most_mb": most, "after_mb": process.memory_info().rss / 1e6,
        "mb_per_s": sum(sizes) / 1e6 / (time.perf_counter() - began),
    }  # fmt: skip


@contextlib.contextmanager
def _watching(archive: Archive, watched: Watched) -> Iterator[None]:
    viewer = psutil.Process(archive.process.pid)
    over = threading.Event()

    def postgres_cpu_s() -> float:
        """Of this archive's server. What its ended processes have used is counted by the first of them."""
        total = 0.0
        for one in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error):
                if one.info["name"] == "postgres" and str(archive.home.root) in " ".join(one.cmdline()):
                    total += sum(one.cpu_times()[:4])
                    total += sum(sum(each.cpu_times()[:2]) for each in one.children())
        return total

    def look() -> None:
        while not over.wait(1):
            watched.rss_mb.append(viewer.memory_info().rss / 1e6)

    watched.rss_mb.append(viewer.memory_info().rss / 1e6)
    began, own, server = sum(viewer.cpu_times()[:2]), time.process_time(), postgres_cpu_s()
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        watched.rss_mb.append(viewer.memory_info().rss / 1e6)
        watched.viewer_cpu_s = sum(viewer.cpu_times()[:2]) - began
        watched.people_cpu_s = time.process_time() - own
        watched.postgres_cpu_s = postgres_cpu_s() - server


def _result(
    archive: Archive, options: argparse.Namespace, seen: Seen, watched: Watched, settled: float,
    big: dict[str, float], browser: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    pages = [one for name, some in seen.times.items() if name.startswith("page") for one in some]
    memory = watched.rss_mb
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "people": options.people,
        "seconds": options.seconds,
        "think_s": options.think,
        "recordings": archive.recordings,
        "actions": {
            name: {
                "times": len(some), "p50_ms": round(statistics.median(some)), "p95_ms": round(_p95(some)),
                "max_ms": round(max(some)),
            }
            for name, some in sorted(seen.times.items())
        },
        "page_p50_ms": round(statistics.median(pages)),
        "page_p95_ms": round(_p95(pages)),
        "pages": len(pages),
        "requests": seen.requests,
        "megabytes": round(seen.bytes / 1e6),
        "rss_mb": {
            "start": round(memory[0]), "after a third": round(memory[len(memory) // 3]),
            "after two thirds": round(memory[2 * len(memory) // 3]), "most": round(max(memory)), "end": round(settled),
        },
        "cpu_s": {name: round(value, 1) for name, value in asdict(watched).items() if name.endswith("cpu_s")},
        "big": {name: round(value, 1) for name, value in big.items()},
        "browser": browser,
    }  # fmt: skip


def _p95(some: list[float]) -> float:
    return sorted(some)[max(0, math.ceil(0.95 * len(some)) - 1)]


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table("action", "times", "p50 ms", "p95 ms", "max ms", box=MARKDOWN)
    for name, one in result["actions"].items():
        table.add_row(name, *(f"{one[key]:,}" for key in ("times", "p50_ms", "p95_ms", "max_ms")))
    every = [f"{result[key]:,}" for key in ("pages", "page_p50_ms", "page_p95_ms")]
    table.add_row("all pages", *every, "", style="bold")
    console.print(table)
    console.print(
        f"{result['people']} people for {result['seconds']:.0f} s, {result['recordings']:,} recordings;"
        f" {result['requests']:,} requests, {result['megabytes']:,} MB; CPU seconds: {result['cpu_s']}"
    )
    each = result["cpu_s"]["viewer_cpu_s"] / max(1, result["pages"]) * 1000
    console.print(f"The viewer's processor time per page, with all that belongs to it: {each:.0f} ms")
    console.print(f"The viewer's memory (RSS, MB): {result['rss_mb']}")
    console.print(f"A recording of 2 GB to {BIG_AT_ONCE} at once: {result['big']}")
    for when, figures in result["browser"].items():
        console.print(f"Chromium, {when}: {figures}")
    load = ", ".join(f"{one:.1f}" for one in result["load"])
    console.print(f"{result['cores']} cores, load of the last 1, 5 and 15 minutes: {load}")


if __name__ == "__main__":
    main()
