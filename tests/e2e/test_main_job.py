"""The main job as a user sees it: footage lands, real Airflow archives it, a browser plays it, a kill loses nothing."""

from __future__ import annotations

import collections
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from browser_world import BROWSER, NEEDS_BROWSER
from installation import ROOT, Stack, sha256, wait_for
from vms.video.binaries import binaries

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DEMO_SITES = {"ho", "makassar", "jayapura"}


def counts(stack: Stack, *args: str) -> dict[str, collections.Counter[str]]:
    by_site: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in stack.recordings(*args):
        by_site[row["site"]][row["state"]] += 1
    return by_site


def test_all_three_sites_are_archived_and_the_broken_file_is_explained(stack: Stack) -> None:
    def arrived() -> bool:
        by_site = counts(stack)
        return {site for site in by_site if by_site[site]["archived"]} == DEMO_SITES and any(
            by_site[site]["quarantined"] for site in by_site
        )

    wait_for("an archived recording of each site, and the broken file", arrived, 240, every_s=3)
    broken = stack.recordings("--state", "quarantined")
    assert all(row["reason"] for row in broken)


def test_every_service_runs(stack: Stack) -> None:
    states = {service["name"]: service["state"] for service in stack.status()["services"]}
    assert states.keys() >= {"postgres", "airflow-api", "airflow-scheduler", "airflow-dag-processor", "viewer"}
    assert set(states.values()) == {"ready"}


def test_what_is_told_to_machines_and_helpers_is_whole_and_holds_no_secret(stack: Stack, tmp_path: Path) -> None:
    secrets = {path.name: path.read_text().strip() for path in (stack.home / "secrets").iterdir() if path.is_file()}
    asked = stack.vms("support-bundle", "--to", str(tmp_path / "bundle.zip"))
    assert "Not in it" not in asked.stderr, asked.stderr
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        parts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    told = json.loads(parts["airflow.json"])
    assert {"footage_ho", "retention"} <= {one["dag_id"] for one in told["dags"]}
    assert "footage_ho" in {one["dag_id"] for one in told["runs"]}
    assert {"logs/viewer.log", "logs/airflow-scheduler.log", "doctor.json", "sites.yaml"} <= parts.keys()
    text = "\n".join(parts.values())
    assert not [name for name, secret in secrets.items() if len(secret) > 3 and secret in text]

    assert httpx.get(f"{stack.viewer_url}/readyz").status_code == 200
    assert httpx.get(f"{stack.viewer_url}/metrics").status_code == 401
    token = (stack.home / "secrets" / "metrics_token").read_text()
    figures = httpx.get(f"{stack.viewer_url}/metrics", headers={"Authorization": f"Bearer {token}"}).text
    assert 'vms_service_up{service="airflow-scheduler"} 1.0' in figures
    assert 'vms_site_stage_seconds{site="ho",stage="compress"}' in figures
    known = {one["id"] for one in stack.recordings()}
    logs = (stack.home / "logs" / "airflow").rglob("*compress*/**/*.log")
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert {one["recording"] for one in lines if "recording" in one} & known


def test_the_hash_chain_holds_from_source_to_copy(stack: Stack) -> None:
    archived = stack.recordings("--state", "archived", "--limit", "12")
    assert archived
    on_disk = {sha256(path) for path in (stack.home / "demo").rglob("*") if path.is_file()}
    for row in archived:
        assert row["source_sha256"] in on_disk, f"{row['source_name']} is archived, kept, and gone from disk"
        (copy,) = row["copies"]
        assert copy["checksum"] == f"sha256:{sha256(stack.home / 'nas' / copy['key'])}"
        assert copy["size_bytes"] == row["rendition_bytes"] <= row["source_bytes"]


def make_clip(path: Path, seconds: float, size: str = "640x360", rate: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    picture = f"testsrc2=size={size}:rate={rate}:duration={seconds},noise=alls=12:allf=t"
    codec = f"-c:v libx264 -preset ultrafast -b:v 4M -g {2 * rate} -bf 0 -pix_fmt yuv420p -f mp4".split()
    subprocess.run(
        [
            binaries().ffmpeg,
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            picture,
            *codec,
            f"file:{unfinished}",
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    os.utime(unfinished, (time.time() - 600, time.time() - 600))
    unfinished.rename(path)


@pytest.fixture(scope="module")
def warehouse(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of one's own, added to the running installation; its clips are named as two recorders would name them."""
    footage = tmp_path_factory.mktemp("warehouse")
    for number, clip in enumerate(sorted((ROOT.parent / "shared" / "footage").glob("*.[am][vp][i4]"))[:2]):
        target = footage / "lobby" / f"2026010{number + 1}_080000{clip.suffix}"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(clip, target)
        os.utime(target, (time.time() - 600, time.time() - 600))
    make_clip(footage / "gate" / "2026-01-03_09-30-00.mp4", 6)
    text = footage / "gate" / "2026-01-03_09-40-00.mp4"
    text.write_bytes(b"this is no video at all, whatever its name says\n")
    os.utime(text, (time.time() - 600, time.time() - 600))
    sites_file = stack.home / "demo-sites.yaml"
    content = yaml.safe_load(sites_file.read_text())
    content["sites"].append(
        {"id": "gudang", "name": "Gudang", "time_zone": "WITA", "footage": str(footage), "every": "1h"}
    )
    sites_file.write_text(yaml.safe_dump(content, allow_unicode=True))
    return footage


def test_a_site_of_ones_own_is_archived_without_a_restart(stack: Stack, warehouse: Path) -> None:
    stack.vms("sites", "check")
    files = [path for path in warehouse.rglob("*") if path.is_file()]
    stack.vms("run", "gudang", "--wait", timeout_s=400)
    rows = stack.recordings("--site", "gudang")
    assert len(rows) == len(files)
    refused = [row for row in rows if row["state"] == "quarantined"]
    assert [row["source_name"] for row in refused] == ["gate/2026-01-03_09-40-00.mp4"]
    gate = next(row for row in rows if row["camera"] == "gate" and row["state"] == "archived")
    assert gate["start_utc"].startswith("2026-01-03T01:30:00")


@NEEDS_BROWSER
@pytest.mark.usefixtures("warehouse")
def test_a_recording_plays_in_a_browser_and_downloads_whole(stack: Stack, tmp_path: Path) -> None:
    row = next(row for row in stack.recordings("--site", "gudang", "--camera", "gate") if row["state"] == "archived")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(locale="id-ID")
        page.set_default_timeout(60_000)
        stack.sign_in(page)
        page.goto(f"{stack.viewer_url}/?site=gudang&camera=gudang/gate&from=2026-01-03&to=2026-01-03")
        page.locator(".card").first.click()
        video = page.locator("video")
        video.evaluate("element => { element.muted = true; return element.play(); }")
        wait_for("a moving picture", lambda: video.evaluate("element => element.currentTime > 1"), 60, every_s=0.2)
        assert video.evaluate("element => element.videoWidth") == 640
        with page.expect_download() as download:
            page.locator("a.download").click()
        saved = tmp_path / "saved"
        download.value.save_as(saved)
        browser.close()
    assert f"sha256:{sha256(saved)}" == row["copies"][0]["checksum"]


@NEEDS_BROWSER
def test_operations_is_a_page_within_airflow_from_where_a_file_is_tried_again(stack: Stack) -> None:
    bad = wait_for("a quarantined file", lambda: stack.recordings("--state", "quarantined"), 240, every_s=3)[-1]
    airflow = f"http://127.0.0.1:{stack.airflow_port}"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB")
        page.set_default_timeout(120_000)
        page.goto(airflow)
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill((stack.home / "secrets" / "airflow_admin").read_text().strip())
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Operations").click()
        page.wait_for_url(f"{airflow}/plugin/operations")
        frame = page.frame_locator("iframe")
        frame.locator("#name").fill("admin")  # a browser keeps the cookie of a frame of the same host
        frame.locator("#password").fill((stack.home / "secrets" / "viewer_admin").read_text().strip())
        frame.locator("button").click()
        frame.get_by_role("table", name="Runs").get_by_text("Footage of").first.wait_for()
        assert frame.locator("a[target=_blank]").count() == 0, "the frame may open no tabs"

        page.goto(f"{airflow}/dags/footage_{bad['site']}/plugin/dag-operations")
        frame = page.frame_locator("iframe")
        sites = frame.get_by_role("table", name="Sites and cameras").locator("tbody")
        sites.first.wait_for()
        assert sites.count() == 1
        frame.get_by_role("button", name=f"Try {bad['source_name']} again").click()
        frame.get_by_text("Asked for").first.wait_for()

        page.goto(f"{stack.viewer_url}/operations")
        page.locator("a[target=_blank]").first.wait_for()
        back = page.locator("a[target=_blank]").first.get_attribute("href")
        assert back.startswith(f"{airflow}/dags/")
        page.goto(back)
        page.get_by_role("link", name="Recordings").first.wait_for()
        browser.close()
    told = json.loads(stack.vms("recordings", "--id", str(bad["id"]), "--json").stdout)
    asked = [one["detail"] for one in told["lineage"] if one["event"] == "retry_asked"]
    assert asked == [{"who": "admin"}]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def archived_once(stack: Stack, source: Path, warehouse: Path) -> None:
    """Wait for the recording of this source; then: one row, one object, the hash of the source."""
    name = str(source.relative_to(warehouse))

    def rows() -> list[dict[str, Any]]:
        return [row for row in stack.recordings("--site", "gudang") if row["source_name"] == name]

    wait_for(f"{name} in the archive", lambda: any(row["state"] == "archived" for row in rows()), 300, every_s=3)
    (row,) = rows()
    assert row["source_sha256"] == sha256(source)
    key = Path(row["copies"][0]["key"])
    assert [path.name for path in (stack.home / "nas" / key.parent).glob(f"{key.stem}*.mp4")] == [key.name]


def being_encoded(stack: Stack, warehouse: Path, day: int) -> tuple[Path, int]:
    """A new source of this day of January, and the FFmpeg that works on it."""
    source = warehouse / "gate" / f"2026-01-{day:02}_10-00-00.mp4"
    make_clip(source, 60, size="1280x720", rate=15)
    stack.vms("run", "gudang")
    wanted = ("libsvtav1", f"gate_202601{day:02}T020000Z")

    def working() -> int | None:
        return next((pid for pid in stack.processes() if all(word in command_line(pid) for word in wanted)), None)

    return source, wait_for("FFmpeg at work on it", working, 120, every_s=0.1)


def test_a_task_killed_while_it_compresses_loses_and_doubles_nothing(stack: Stack, warehouse: Path) -> None:
    source, ffmpeg = being_encoded(stack, warehouse, 4)
    os.kill(parent_of(ffmpeg), signal.SIGKILL)
    wait_for("the end of the orphaned FFmpeg", lambda: not Path(f"/proc/{ffmpeg}").exists(), 10, every_s=0.2)
    archived_once(stack, source, warehouse)


def test_a_task_killed_while_it_uploads_loses_and_doubles_nothing(stack: Stack, warehouse: Path) -> None:
    source = warehouse / "gate" / "2026-01-05_10-00-00.mp4"
    make_clip(source, 40, size="1280x720", rate=15)
    stack.vms("run", "gudang")

    def coming() -> str | None:
        """The upload task's id is known while its batch is still being compressed."""
        path = "/dags/footage_gudang/dagRuns/~/taskInstances?task_id=batch.upload&order_by=-run_after&limit=20"
        tasks = stack.airflow("GET", path)["task_instances"]
        return next((task["id"] for task in tasks if task["map_index"] >= 0 and task["start_date"] is None), None)

    title = f"airflow worker -- {wait_for('the upload task of the batch', coming, 120, every_s=0.5)}"
    unfinished = stack.home / "nas" / ".tmp"

    def writer() -> int | None:
        """A file that is being written to the store has its writer's process id in its name: host.pid.number."""
        files = unfinished.iterdir() if unfinished.exists() else ()
        writers = (int(file.name.split(".")[-2]) for file in files)
        return next((pid for pid in writers if command_line(pid).strip() == title), None)

    os.kill(wait_for("a file that the upload writes to the store", writer, 300, every_s=0.0005), signal.SIGKILL)
    archived_once(stack, source, warehouse)


def test_clearing_a_task_of_a_finished_run_changes_nothing(stack: Stack, warehouse: Path) -> None:
    wait_for("the end of what runs", lambda: not unfinished_runs(stack), 300, every_s=3)
    runs = stack.airflow("GET", "/dags/footage_gudang/dagRuns?order_by=-run_after&limit=50")["dag_runs"]
    finished = next(run["dag_run_id"] for run in runs if run["state"] == "success")
    before = sorted(path for path in (stack.home / "nas" / "gudang").rglob("*") if path.is_file())
    order = {"dry_run": False, "only_failed": False, "dag_run_id": finished, "task_ids": ["batch.upload"]}
    stack.airflow("POST", "/dags/footage_gudang/clearTaskInstances", order | {"include_downstream": True})

    def over() -> bool:
        return stack.airflow("GET", f"/dags/footage_gudang/dagRuns/{finished}")["state"] == "success"

    wait_for("the end of the cleared run", over, 200, every_s=2)
    assert sorted(path for path in (stack.home / "nas" / "gudang").rglob("*") if path.is_file()) == before
    archived_once(stack, warehouse / "gate" / "2026-01-05_10-00-00.mp4", warehouse)


def unfinished_runs(stack: Stack) -> list[dict[str, Any]]:
    """Runs of the site of one's own that still may bring files into the archive."""
    told = stack.airflow("GET", "/dags/footage_gudang/dagRuns?state=queued&state=running")
    runs: list[dict[str, Any]] = told["dag_runs"]
    return runs


def test_a_scheduler_killed_while_its_task_compresses_loses_and_doubles_nothing(stack: Stack, warehouse: Path) -> None:
    source, ffmpeg = being_encoded(stack, warehouse, 7)
    (scheduler,) = (one["pid"] for one in stack.status()["services"] if one["name"] == "airflow-scheduler")
    os.kill(scheduler, signal.SIGKILL)
    wait_for("the end of what it had begun", lambda: not Path(f"/proc/{ffmpeg}").exists(), 20, every_s=0.2)
    archived_once(stack, source, warehouse)


def test_a_stop_in_the_middle_of_the_work_loses_nothing(stack: Stack, warehouse: Path) -> None:
    source, _ = being_encoded(stack, warehouse, 6)
    stack.vms("down", timeout_s=30)
    assert not list(stack.processes())
    assert stack.vms("status", check=False).returncode == 1
    stack.vms("up", "--demo", "--detach", timeout_s=200)
    archived_once(stack, source, warehouse)
