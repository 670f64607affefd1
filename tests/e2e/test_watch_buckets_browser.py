"""The page Watch over footage in a bucket: played by the browser itself, and restored from cold storage."""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import weed
from browser_world import NEEDS_BROWSER, new_page, served
from cold_server import run_cold
from viewer_world import eventually, move_to_bucket, owner
from vms.alerts.round import run_round
from vms.config import load_config
from vms.config_alerts import AlertPolicy
from vms.home import Home
from watch_page import FIRST, shows

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]


def test_from_a_bucket_the_browser_plays_itself_and_through_the_viewer_when_it_may_not(
    catalogue: tuple[Home, str],
    tmp_path: Path,
    s3_server: weed.S3Server,
    browser: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The viewer's own answers carry no footage, until the bucket has no rule that lets its pages in."""
    text = weed.connection_text(s3_server.endpoint)
    monkeypatch.setenv("AIRFLOW_CONN_CLOUD", text)
    bucket = f"b{secrets.token_hex(6)}"
    s3_server.client().create_bucket(Bucket=bucket)

    def let_in(origin: str) -> None:
        rule = {"AllowedOrigins": [origin], "AllowedMethods": ["GET"], "AllowedHeaders": ["Range"]}
        s3_server.client().put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})

    with served(
        catalogue[0], tmp_path, change=lambda world: move_to_bucket(world, f"s3://{bucket}/x", "cloud")
    ) as viewer:
        let_in(viewer.url)
        page = new_page(browser, viewer, locale="en-GB")
        answers: list[tuple[str, int]] = []
        page.on("response", lambda one: answers.append((one.url, one.status)))

        def footage(base: str) -> set[int]:
            return {status for url, status in answers if url.startswith(base) and (base != viewer.url or "/m/" in url)}

        assert s3_server.endpoint in page.goto(viewer.url).all_headers()["content-security-policy"]
        page.goto(viewer.url + FIRST)
        page.wait_for_selector(".tile video", state="attached")
        eventually(lambda: shows(page, "08:00:01"))
        page.keyboard.press(" ")
        eventually(lambda: "08:00:0" not in page.locator(".stamp").inner_text())
        assert footage(s3_server.endpoint) == {206}
        through = [one for one in answers if "/m/" in one[0] and one[0].startswith(viewer.url) and one[1] == 206]
        assert through == [], "the viewer sent footage itself"

        page.goto(f"{viewer.url}/?camera=ho/lobby")
        page.locator(".card").last.click()
        eventually(lambda: page.locator("video").evaluate("video => video.readyState >= 2 && !video.error"))
        with page.expect_download() as download:
            page.locator("a.download").click()
        assert Path(download.value.path()).read_bytes() == viewer.world.clip.video.read_bytes()
        assert download.value.suggested_filename.startswith("ho_lobby_2026-01-31_08-00-00")
        assert [one for one in answers if one[0].startswith(viewer.url) and "/m/" in one[0] and one[1] == 206] == []

        let_in("https://other.example")
        answers.clear()
        page.goto(viewer.url + FIRST)
        page.wait_for_selector(".tile video", state="attached")
        eventually(lambda: shows(page, "08:00:01"))
        assert 206 in footage(viewer.url)
        assert page.errors == []


def test_cold_storage_is_said_asked_and_waited_for(
    catalogue: tuple[Home, str],
    tmp_path: Path,
    s3_server: weed.S3Server,
    browser: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with run_cold(s3_server.port) as server:
        monkeypatch.setenv("AIRFLOW_CONN_CLOUD", weed.connection_text(server.endpoint))
        url = f"s3://{weed.BUCKET}/{secrets.token_hex(8)}"
        with served(
            catalogue[0], tmp_path, change=lambda world: move_to_bucket(world, url, "cloud", "through", "GLACIER")
        ) as viewer:
            page = new_page(browser, viewer, width=360, locale="id-ID")
            page.goto(viewer.url + FIRST)
            page.locator(".legend .cold").wait_for()
            page.locator(".note").get_by_text("penyimpanan dingin").wait_for()
            page.locator(".note button").click()
            page.get_by_text("biasanya paling lama 5 jam").wait_for()
            page.get_by_role("button", name="Minta pemulihan").click()
            page.get_by_text("sudah diminta").wait_for()
            assert len(server.asked) == 1
            with closing(owner(viewer.world.home)) as conn, conn.cursor() as cursor:
                cursor.execute("SELECT who FROM view_log WHERE action = 'restore_asked'")
                assert cursor.fetchall() == [("sari",)]
            server.all_ready("Fri, 21 Dec 2040 00:00:00 GMT")
            with closing(owner(viewer.world.home)) as conn:
                home = viewer.world.home
                run_round(
                    conn, home, replace(load_config(home.sites_file), alerts=AlertPolicy()), datetime.now(UTC), print
                )
            page.goto(f"{viewer.url}/sites")  # whatever page is opened next tells of it
            page.locator(".restored a").click()
            page.get_by_text("dapat diputar sampai 21 Des 2040").first.wait_for()
            eventually(lambda: page.locator("video").evaluate("video => video.readyState >= 2"))
            page.goto(f"{viewer.url}/sites")
            page.locator(".site").first.wait_for()
            assert page.locator(".restored").count() == 0, "it has been seen"
            assert page.errors == []
