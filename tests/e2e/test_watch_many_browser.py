"""Several cameras in one clock, speed, single pictures, gaps, snapshot and keyboard map, in a real Chromium."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from browser_world import NEEDS_BROWSER, Viewer, new_page
from viewer_world import eventually, owner, sign_in

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]

TWO = "/watch?camera=ho/lobby,makassar/cashier&at=2026-01-31T01:00:00Z"
STATE = """() => {
  const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot?.querySelector(".root"));
  const app = roots.find((one) => one?.app).app;
  return { at: app.at, tiles: app.tiles.map((one) => ({ wall: one.wall, paused: one.video.paused,
    ready: one.video.readyState, rate: one.video.playbackRate, said: one.said || "" })) };
}"""
AT = 1769821200000


WITHOUT_AV1 = """for (const source of [window.MediaSource, window.ManagedMediaSource].filter(Boolean)) {
  const real = source.isTypeSupported.bind(source);
  source.isTypeSupported = (type) => !type.includes("av01") && real(type);
}"""


def _opened(browser: Any, viewer: Viewer, address: str, **options: Any) -> Any:
    page = new_page(browser, viewer, **options)
    page.goto(viewer.url + address)
    page.locator(".tile video").first.wait_for()
    eventually(lambda: all(one["ready"] >= 2 for one in page.evaluate(STATE)["tiles"]))
    return page


def test_two_cameras_in_one_clock_each_with_its_own_gaps(viewer: Viewer, browser: Any) -> None:
    page = _opened(browser, viewer, TWO, locale="id-ID")
    assert page.locator(".tile").count() == 2
    page.keyboard.press("k")
    apart: list[float] = []

    def both_played() -> bool:
        state = page.evaluate(STATE)
        walls = [one["wall"] for one in state["tiles"] if not one["paused"]]
        if len(walls) == 2:
            apart.append(abs(walls[0] - walls[1]))
        return bool(state["at"] > AT + 2500)

    eventually(both_played)
    assert apart
    assert sorted(apart)[len(apart) // 2] < 250, apart
    # the lobby goes on five minutes later, the cashier never: it says so meanwhile
    eventually(lambda: page.evaluate(STATE)["at"] > AT + 300_500)
    assert page.evaluate(STATE)["tiles"][1]["said"]
    assert page.evaluate(STATE)["tiles"][0]["said"] == ""
    page.keyboard.press("1")
    eventually(lambda: page.locator(".tile").count() == 1)
    page.keyboard.press("ArrowDown")
    eventually(lambda: "Kasir" in page.locator(".stamp").inner_text())
    assert page.errors == []


def test_speed_single_pictures_gaps_and_the_keyboard_map(viewer: Viewer, browser: Any) -> None:
    page = _opened(browser, viewer, "/watch?camera=ho/lobby&at=2026-01-31T01:00:01Z", locale="en-GB")
    for _ in range(2):
        page.keyboard.press(">")
    page.keyboard.press("k")
    eventually(lambda: page.evaluate(STATE)["tiles"][0]["rate"] == 4)
    page.keyboard.press("k")
    page.keyboard.press("<")
    page.get_by_label("Date and time to show").fill("31 Jan 2026 08:00:01")
    page.keyboard.press("Enter")
    eventually(lambda: page.evaluate(STATE)["at"] == AT + 1000)
    page.locator(".stage").click()
    page.keyboard.press(".")
    eventually(lambda: abs(page.evaluate(STATE)["at"] - AT - 1100) < 60)
    page.keyboard.press(",")
    eventually(lambda: abs(page.evaluate(STATE)["at"] - AT - 1000) < 60)
    page.keyboard.press("g")
    page.locator(".note").get_by_text("camera silent (4 min 56 s)").wait_for()
    page.keyboard.press("g")
    eventually(lambda: page.evaluate(STATE)["at"] == AT + 304_000)
    page.keyboard.press("Shift+G")
    eventually(lambda: page.evaluate(STATE)["at"] == AT + 4_000)
    page.keyboard.press("?")
    assert page.locator("dialog.help:not(.form)").get_by_text("next and previous gap").is_visible()
    page.keyboard.press("?")
    page.locator("dialog.help:not(.form)").wait_for(state="hidden")
    page.keyboard.press("z")
    eventually(lambda: "scale(2)" in page.locator(".tile video").evaluate("video => video.style.transform"))
    assert page.errors == []


def test_a_picture_is_saved_by_whom_may_and_written_down(viewer: Viewer, browser: Any) -> None:
    page = _opened(browser, viewer, "/watch?camera=ho/lobby&at=2026-01-31T01:00:02Z", locale="id-ID")
    with page.expect_download() as download:
        page.keyboard.press("s")
    assert download.value.suggested_filename == "ho_lobby_2026-01-31_08-00-02_WIB.png"
    with closing(owner(viewer.world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT who, detail->>'camera' FROM view_log WHERE action = 'snapshot'")
        assert cursor.fetchall() == [("sari", "ho/lobby")]
    dewi = sign_in(viewer.world.home, "dewi", "viewer")
    other = _opened(browser, viewer, "/watch?camera=ho/lobby&at=2026-01-31T01:00:02Z", locale="id-ID", person=dewi)
    assert other.get_by_role("button", name="Simpan gambar (S)").count() == 0
    answer = other.request.post(
        f"{viewer.url}/api/watch/snapshot?camera=ho/lobby&at={AT + 1000}", headers={"X-Vms-Page": "watch"}
    )
    assert answer.status == 403
    assert page.errors == []


def test_a_browser_without_av1_is_given_h264_and_thin_lines_less(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, locale="en-GB")
    page.add_init_script(WITHOUT_AV1)
    page.goto(f"{viewer.url}/watch?camera=ho/lobby&at=2026-01-31T01:00:01Z")
    page.locator(".tile video").wait_for()
    eventually(lambda: page.evaluate(STATE)["tiles"][0]["ready"] >= 2)
    assert "converted" in page.locator(".stamp").inner_text()
    page.keyboard.press("k")
    eventually(lambda: page.evaluate(STATE)["at"] > AT + 300_500)
    assert page.locator(".tile video").evaluate("video => video.getVideoPlaybackQuality().totalVideoFrames > 15")
    page.keyboard.press("k")

    other = _opened(browser, viewer, "/watch?camera=ho/lobby&at=2026-01-31T01:00:01Z", locale="id-ID")
    other.get_by_role("button", name="Hemat data").click()
    eventually(lambda: "Hemat data" in other.locator(".stamp").inner_text())
    eventually(lambda: other.evaluate(STATE)["tiles"][0]["ready"] >= 2)
    other.keyboard.press("k")
    eventually(lambda: other.evaluate(STATE)["at"] > AT + 2_500)
    assert page.errors == other.errors == []
