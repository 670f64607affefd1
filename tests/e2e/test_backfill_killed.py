"""A day of three sites is backfilled by real Airflow: a worker is killed, the backfill cancelled, resumed, repeated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installation import Stack, free_port, wait_for, worker_of
from vms.video.binaries import binaries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SITES = {"ho": "WIB", "makassar": "WITA", "jayapura": "WIT"}
DAY = ("--from", "2026-01-31", "--to", "2026-01-31")
FILES = 3


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Three sites that look into their folders once a week, so that only the backfill archives what lands later."""
    sites = tmp_path / "sites.yaml"
    lines = [
        f"  - {{id: {site}, time_zone: {zone}, footage: {tmp_path}/nvr/{site}, every: 7d, stores: [nas]}}"
        for site, zone in SITES.items()
    ]
    text = [
        f"stores:\n  nas: {{url: 'file://{tmp_path}/nas'}}",
        "profiles:\n  slow: {codec: h264, preset: slower, crf: 30}",
    ]
    sites.write_text("\n".join([*text, "defaults: {profile: slow}", "sites:", *lines]) + "\n")
    for site in SITES:
        (tmp_path / "nvr" / site).mkdir(parents=True)
    (tmp_path / "nas").mkdir()
    running = Stack(tmp_path / "home", free_port(), free_port(), {"VMS_SITES": str(sites)})
    try:
        running.vms("up", "--detach", timeout_s=300)
        yield running
    finally:
        running.vms("down", check=False, timeout_s=60)


def record(folder: Path) -> list[Path]:
    """A day's footage at each site, some of it longer to compress, left an hour ago."""
    clips = []
    for number in range(FILES):
        clip = folder / f"clip{number}.mp4"
        picture = f"testsrc2=size=1280x720:rate=15:duration=8,hue=h={number * 40}"
        how = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p"]
        subprocess.run([binaries().ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, *how, str(clip)], check=True)
        clips.append(clip)
    made = []
    for site in SITES:
        for number, clip in enumerate(clips):
            path = folder / "nvr" / site / "lobby" / f"20260131_1000{number * 8:02}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, path)
            with path.open("ab") as file:  # the sites' cameras have not seen the very same
                file.write(b"\0\0\0\x0cfree" + site.encode()[:4].ljust(4))
            os.utime(path, (time.time() - 3600, time.time() - 3600))
            made.append(path)
    return made


def backfill(stack: Stack, *words: str, check: bool = True) -> Any:
    return json.loads(stack.vms("backfill", *words, "--json", check=check).stdout)


def active_runs(stack: Stack, dag: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = stack.airflow("GET", f"/dags/{dag}/dagRuns?state=queued&state=running")["dag_runs"]
    return runs


def test_a_killed_and_cancelled_backfill_of_three_sites_is_resumed_and_archives_every_file_once(
    stack: Stack, tmp_path: Path
) -> None:
    for site in SITES:
        ended = f"/dags/footage_{site}/dagRuns?state=success"
        wait_for(f"the first look at {site}", lambda: stack.airflow("GET", ended)["dag_runs"], 180)  # noqa: B023
    sources = record(tmp_path)
    planned = backfill(stack, "--all", *DAY, "--dry-run")["plan"]
    assert {one["site"]: one["files"] for one in planned} == dict.fromkeys(SITES, FILES)
    assert sum(one["bytes"] for one in planned) == sum(path.stat().st_size for path in sources)
    assert stack.recordings() == []

    started = backfill(stack, "--all", *DAY)
    number = str(started["backfill"])
    assert {one["state"] for one in started["sites"]} == {"running"}
    refused = stack.vms("backfill", "ho", *DAY, check=False)
    assert refused.returncode == 1
    assert f"vms backfill cancel {number}" in refused.stderr

    os.kill(worker_of(stack, "backfill", "batch.compress"), signal.SIGKILL)
    backfill(stack, "cancel", number)
    wait_for("the end of its runs", lambda: not active_runs(stack, "backfill"), 60)
    assert {one["state"] for one in backfill(stack, "list")[0]["sites"]} == {"cancelled"}
    assert len(stack.recordings("--state", "archived")) < len(sources)

    ended = backfill(stack, "resume", number, "--wait")

    assert ended["state"] == "done", ended
    assert sum(end["archived"] for one in ended["sites"] for end in one["result"]) == len(sources)
    rows = stack.recordings()
    assert {row["state"] for row in rows} == {"archived"}
    assert sorted((row["site"], row["source_name"]) for row in rows) == sorted(
        (path.parts[-3], "/".join(path.parts[-2:])) for path in sources
    )
    keys = [copy["key"] for row in rows for copy in row["copies"]]
    assert sorted(keys) == sorted(str(path.relative_to(tmp_path / "nas")) for path in (tmp_path / "nas").rglob("*.mp4"))
    assert all(path.exists() for path in sources)

    again = backfill(stack, "--all", *DAY)
    assert again["backfill"] is None
    assert {line["why"] for one in again["plan"] for line in one["lines"]} == {
        "already archived in every store of the site"
    }
