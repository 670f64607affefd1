"""Several cameras in one clock, speed, single pictures, gaps, snapshot and keyboard map, in a real Chromium."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from browser_world import NEEDS_BROWSER, Viewer, new_page, served
from viewer_world import START, archive_more, eventually, many_files, more_cameras, owner, sign_in
from vms.home import Home
from watch_page import AT, MINUTES

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]

TWO = "/watch?camera=ho/lobby,makassar/cashier&at=2026-01-31T01:00:00Z"
STATE = """() => {
  const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot?.querySelector(".root"));
  const app = roots.find((one) => one?.app).app;
  return { at: app.at, tiles: app.tiles.map((one) => ({ wall: one.wall, paused: one.video.paused,
    ready: one.video.readyState, rate: one.video.playbackRate, said: one.said || "" })) };
}"""
PICTURE = """async () => {
  const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot?.querySelector(".root"));
  const video = roots.find((one) => one?.app).app.tile.video;
  while (video.seeking || video.readyState < 2) await new Promise((done) => setTimeout(done, 20));
  await new Promise((done) => setTimeout(done, 100));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.toDataURL();
}"""
"""The picture that is shown, once it is there."""


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
    for camera in ("lobby", "cashier"):
        many_files(viewer.world, camera, 20)  # to 08:01:20
    page = _opened(browser, viewer, TWO, locale="id-ID")
    assert page.locator(".tile").count() == 2
    times = page.locator(".stamp span:not(.made)")
    eventually(lambda: times.all_inner_texts() == ["31 Jan 2026 08:00:00 WIB", "31 Jan 2026 09:00:00 WITA"])
    box = page.locator(".line").bounding_box()
    for row, zone in enumerate(("WIB", "WITA")):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 26 + 34 * row + 17)
        page.locator(".tip b", has_text=re.compile(f" {zone}$")).wait_for()
    page.keyboard.press("k")
    apart: list[float] = []

    def in_step() -> bool:
        state = page.evaluate(STATE)
        walls = [one["wall"] for one in state["tiles"] if not one["paused"]]
        if len(walls) == 2:
            apart.append(abs(walls[0] - walls[1]))
        return state["at"] > AT + 2500 and len(apart) >= 9 and sorted(apart[-9:])[4] < 250

    eventually(in_step)
    page.get_by_label("Tanggal dan jam yang ditampilkan").fill("31 Jan 2026 08:01:18")
    page.keyboard.press("Enter")

    # the lobby goes on five minutes later, the cashier never: it says so meanwhile
    def lobby_alone() -> bool:
        state = page.evaluate(STATE)
        said = [bool(one["said"]) for one in state["tiles"]]
        return state["at"] > AT + 300_500 and said == [False, True]

    eventually(lobby_alone)
    page.keyboard.press("1")
    eventually(lambda: page.locator(".tile").count() == 1)
    page.keyboard.press("ArrowDown")
    eventually(lambda: "Kasir" in page.locator(".stamp").inner_text())

    archive_more(viewer.world, "gate", START + timedelta(minutes=7))  # between two files of the lobby
    page.goto(f"{viewer.url}/watch?camera=ho/lobby,ho/gate&at=2026-01-31T01:05:01Z")
    eventually(lambda: page.locator(".tile").count() == 2 and page.evaluate(STATE)["tiles"][0]["ready"] >= 2)
    page.evaluate(MINUTES)
    page.keyboard.press("k")
    eventually(lambda: page.evaluate(STATE)["at"] > AT + 600_500)
    assert 7 in page.evaluate("[...window.minutes]"), "who leads did not leave out what the other has"
    assert page.errors == []


def test_nine_cameras_in_step_each_speed_and_a_timeline_on_every_screen(viewer: Viewer, browser: Any) -> None:
    many_files(viewer.world, "lobby", 40)
    more_cameras(viewer.world, 8)
    nine = ",".join(["ho/lobby", *(f"ho/c{number}" for number in range(1, 9))])
    page = _opened(browser, viewer, f"/watch?camera={nine}&show=9&at=2026-01-31T01:00:00Z", locale="en-GB")
    assert page.locator(".tile").count() == 9
    page.keyboard.press("k")

    def in_step() -> bool:
        state = page.evaluate(STATE)
        walls = [one["wall"] for one in state["tiles"] if not one["paused"]]
        return len(walls) == 9 and state["at"] > AT + 5_000 and max(walls) - min(walls) < 250

    eventually(in_step)
    page.keyboard.press("k")
    page.keyboard.press("1")
    eventually(lambda: page.locator(".tile").count() == 1)
    moment, speed = page.get_by_label("Date and time to show"), page.get_by_label("Speed")
    for rate, until in ((0.25, 1_000), (8, 40_000), (16, 100_000)):
        moment.fill("31 Jan 2026 08:00:00")
        moment.press("Enter")
        eventually(lambda: page.evaluate(STATE)["at"] == AT)
        speed.select_option(str(rate))
        page.locator(".stage").click()
        page.keyboard.press("k")
        eventually(lambda until=until: page.evaluate(STATE)["at"] > AT + until)
        assert page.evaluate(STATE)["tiles"][0]["rate"] == rate
        page.keyboard.press("k")
    page.wait_for_url(re.compile(r"speed=16"))

    for camera in ("ho/lobby", "ho/lobby,ho/c1,ho/c2,ho/c3"):  # the whole of it in an office's and in a guard's browser
        page.goto(f"{viewer.url}/watch?camera={camera}&at=2026-01-31T01:00:00Z")
        page.locator(".tile video").first.wait_for()
        for wide, high in ((1366, 650), (1280, 720), (1920, 940)):
            page.set_viewport_size({"width": wide, "height": high})
            eventually(lambda high=high: 300 < _end(page, ".line") <= high)
            eventually(lambda: min(one["height"] for one in _boxes(page, ".tile video")) >= 110)
    assert page.errors == []


def _boxes(page: Any, what: str) -> list[dict[str, float]]:
    return [one.bounding_box() or {"y": 0, "height": 0} for one in page.locator(what).all()]


def _end(page: Any, what: str) -> float:
    (box,) = _boxes(page, what)
    return box["y"] + box["height"]


def test_a_link_shows_what_was_seen(viewer: Viewer, browser: Any) -> None:
    """View of the timeline and speed, also when the moment lies outside of what is seen."""
    page = _opened(browser, viewer, "/watch?camera=ho/lobby&at=2026-01-31T01:00:01Z", locale="en-GB")
    line = page.locator(".line")
    page.keyboard.press("+")
    page.keyboard.press("PageUp")
    page.keyboard.press(">")
    page.wait_for_url(re.compile(r"seen=2026-01-\d\dT\d\d%3A\d\d%3A\d\dZ%2C5400.*&speed=2"))
    seen = [line.get_attribute(f"aria-value{name}") for name in ("min", "max")]
    other = _opened(browser, viewer, page.url.removeprefix(viewer.url), locale="en-GB")
    eventually(lambda: [other.locator(".line").get_attribute(f"aria-value{name}") for name in ("min", "max")] == seen)
    assert other.get_by_label("Speed").input_value() == "2"
    assert other.evaluate(STATE)["at"] == AT + 1000
    assert page.errors == other.errors == []


def test_single_pictures_of_a_fast_camera_one_with_each_press(
    catalogue: tuple[Home, str], tmp_path: Path, browser: Any
) -> None:
    with served(catalogue[0], tmp_path, rate=30) as viewer:
        page = _opened(browser, viewer, "/watch?camera=ho/lobby&at=2026-01-31T01:00:01Z", locale="en-GB")

        def pictures(key: str, count: int) -> list[str]:
            made = [page.evaluate(PICTURE)]
            for _ in range(count):
                page.keyboard.press(key)
                made.append(page.evaluate(PICTURE))
            return made

        on = pictures(".", 5)
        assert len(set(on)) == 6
        assert pictures(",", 5) == on[::-1]
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
