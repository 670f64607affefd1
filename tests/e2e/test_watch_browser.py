"""The page Watch in a real Chromium: playing over files and gaps, seeking, the timeline by mouse, keys and finger."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest

from browser_world import NEEDS_BROWSER, Viewer, new_page
from viewer_world import ATTACK, START, archive_more, eventually, many_files, owner
from watch_page import FIRST, MINUTES, opened, shows

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]


def test_played_over_files_and_gaps_by_one_player(viewer: Viewer, browser: Any) -> None:
    page = opened(browser, viewer, FIRST, locale="id-ID")
    eventually(lambda: shows(page, "31 Jan 2026 08:00:01 WIB"))
    video = page.locator(".tile video")
    video.evaluate("video => { video.first = true; }")
    page.evaluate(MINUTES)
    page.keyboard.press(" ")
    eventually(lambda: "08:10:0" in page.locator(".stamp").inner_text())
    assert set(page.evaluate("[...window.minutes]")) == {0, 5, 10}, "gaps are passed over, files are not"
    assert video.evaluate("video => video.first && video.currentTime > 8"), "it is the same stream all the way"
    page.wait_for_url(re.compile(r"at=2026-01-31T01%3A10"))
    page.get_by_role("button", name="Putar (spasi)").wait_for()  # at the end of all footage it stops

    def told() -> list[tuple[datetime, datetime]]:
        with closing(owner(viewer.world.home)) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT detail->>'from', detail->>'to' FROM view_log WHERE action = 'watched' ORDER BY 1")
            return [(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in cursor.fetchall()]

    eventually(told)
    first, last = told()[0][0], told()[-1][1]
    assert START + timedelta(seconds=1) <= first < START + timedelta(seconds=4), "what was played, not what was loaded"
    assert START + timedelta(minutes=10) < last < START + timedelta(minutes=11)
    assert page.errors == []


def test_a_gap_is_told_with_its_reason_and_left_by_going_on(viewer: Viewer, browser: Any) -> None:
    page = opened(browser, viewer, "/watch?camera=ho/lobby&at=2026-01-31T08:02:00", locale="en-GB")
    page.locator(".note").get_by_text("camera silent").wait_for()
    page.locator(".note button").click()
    eventually(lambda: shows(page, "08:05:00 WIB"))
    page.keyboard.press("n")
    eventually(lambda: shows(page, "08:10:00 WIB"))
    page.keyboard.press("p")
    eventually(lambda: shows(page, "08:05:00 WIB"))
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.get_by_text("There is no later recording of this camera.").wait_for()
    moment = page.get_by_label("Date and time to show")
    for written, shown in (
        ("31 Jan 2026 08:00:02", "08:00:02"),
        ("08.05", "08:05:00"),
        ("31/1/2026 8:00:01", "08:00:01"),
    ):
        moment.fill(written)
        moment.press("Enter")
        eventually(lambda shown=shown: shows(page, f"31 Jan 2026 {shown} WIB"))
        assert moment.input_value() == f"31 Jan 2026 {shown}"
    moment.fill("31 Feb 2026 08:00")
    moment.press("Enter")
    page.get_by_role("alert").get_by_text("Write a date and a time").wait_for()
    assert "08:00:01" in page.locator(".stamp").inner_text(), "what can't be understood goes nowhere"
    moment.press("Escape")
    eventually(lambda: moment.input_value() == "31 Jan 2026 08:00:01")
    assert page.errors == []


def test_the_timeline_is_zoomed_dragged_clicked_and_hovered(viewer: Viewer, browser: Any) -> None:
    page = opened(browser, viewer, FIRST, locale="en-GB", color_scheme="dark")
    eventually(lambda: shows(page, "08:00:01"))
    line = page.locator(".line")
    assert line.get_attribute("aria-valuetext").endswith("footage, in all its stores")
    box = line.bounding_box()
    left, wide = box["x"] + 128, box["width"] - 128

    def at(seconds: float) -> float:
        """Where on the page this second after 08:00:00 is drawn."""
        first, last = (int(line.get_attribute(f"aria-value{name}")) for name in ("min", "max"))
        return float(left + (START.timestamp() + seconds - first) / (last - first) * wide)

    page.mouse.move(left + wide / 2, box["y"] + 40)
    for _ in range(6):
        page.mouse.wheel(0, -200)
    for _ in range(6):
        page.keyboard.press("+")
    eventually(lambda: at(10) - at(0) > wide / 6)
    page.mouse.move(at(2.5), box["y"] + 40)
    page.locator(".tip b", has_text="31 Jan 2026 08:00:0").wait_for()
    sheet = page.locator(".tip .picture")
    eventually(lambda: "/m/" in sheet.evaluate("node => node.style.backgroundImage"))
    page.mouse.click(at(3), box["y"] + 40)
    eventually(lambda: shows(page, "08:00:02") or shows(page, "08:00:03"))
    before = line.get_attribute("aria-valuemin")
    page.mouse.down()
    page.mouse.move(at(3) - 200, box["y"] + 40, steps=4)
    page.mouse.up()
    page.keyboard.press("ArrowRight")
    eventually(lambda: line.get_attribute("aria-valuemin") != before)
    page.get_by_text("What the timeline shows, as a list").click()
    page.locator(".list tr", has_text="camera silent").first.wait_for()
    assert page.errors == []


def test_a_range_is_chosen_and_taken_to_an_export_and_a_hold_and_back(viewer: Viewer, browser: Any) -> None:
    page = opened(browser, viewer, f"{FIRST.replace('lobby', 'lobby,ho/gate')}", locale="en-GB")
    line, chosen = page.locator(".line"), page.locator(".pick .said")
    eventually(lambda: shows(page, "08:00:01"))
    page.keyboard.press("o")
    page.get_by_text("End: 08:00:01. Go to the start").wait_for()
    page.keyboard.press("i")  # not an end any more: the range would end as it begins
    page.get_by_text("Start: 08:00:01. Go to the end").wait_for()
    page.get_by_label("Date and time to show").fill("31 Jan 2026 08:10:03")
    page.keyboard.press("Enter")
    eventually(lambda: shows(page, "08:10:03"))
    page.get_by_role("button", name="End of the range here (O)").click()
    told = "31 Jan 08:00:01 \N{EN DASH} 08:10:03 WIB 10 min 2 s · 2 cameras"
    eventually(lambda: " ".join(chosen.inner_text().split()) == told)
    link = page.url
    assert "from=2026-01-31T01%3A00%3A01Z&to=2026-01-31T01%3A10%3A03Z" in link
    page.locator(".pick").get_by_role("link", name="Export").click()
    page.get_by_text(re.compile("4 recordings, ")).wait_for()
    eventually(lambda: page.get_by_label("From (time)").input_value() == "08:00:01")
    eventually(lambda: page.get_by_label("To (time)").input_value() == "08:10:03")
    page.go_back()
    eventually(lambda: shows(page, "08:10:03"))
    eventually(lambda: " ".join(chosen.inner_text().split()) == told)
    page.locator(".pick").get_by_role("link", name="Hold").click()
    page.wait_for_url(
        re.compile(r"/holds\?camera=ho%2Flobby%2Cho%2Fgate&from=2026-01-31T08%3A00&to=2026-01-31T08%3A11")
    )
    page.get_by_role("button", name="Hold", exact=True).wait_for()

    page.goto(link)
    eventually(lambda: " ".join(chosen.inner_text().split()) == told)
    eventually(lambda: shows(page, "08:10:03"))

    def at(name: str) -> float:
        state = page.evaluate(PICK)
        return float(line.bounding_box()["x"] + state[name])

    y = line.bounding_box()["y"] + 45
    page.mouse.move(at("to"), y)  # its end is dragged on, and seen on the way
    page.mouse.down()
    page.mouse.move(at("to") + 60, y, steps=4)
    page.locator(".tip b", has_text="31 Jan 2026 08:").wait_for()
    page.mouse.up()
    eventually(lambda: "08:00:01 \N{EN DASH} 08:10:03" not in chosen.inner_text())
    assert "08:00:01 \N{EN DASH} 08:" in chosen.inner_text()
    _bookmarked_and_found_again(page, chosen.inner_text().split(" WIB")[0])
    page.keyboard.press("Escape")
    page.locator(".pick").wait_for(state="hidden")
    assert "from=" not in page.url
    y = line.bounding_box()["y"] + 45
    page.keyboard.down("Shift")
    page.mouse.move(at("head") - 100, y)
    page.mouse.down()
    page.mouse.move(at("head") + 2, y, steps=4)  # ends at the playhead, to which it is drawn
    page.mouse.up()
    page.keyboard.up("Shift")
    eventually(lambda: "\N{EN DASH} 08:00:01 WIB" in chosen.inner_text())
    assert page.errors == []


def _bookmarked_and_found_again(page: Any, when: str) -> None:
    """The range chosen is bookmarked; told under the pointer, found by its words on a page, and opened from there."""
    page.locator(".stage").click()
    page.keyboard.press("b")
    form = page.locator("dialog.form")
    assert when.replace("\n", " ") in form.inner_text()
    form.get_by_role("button", name="Save").click()
    form.get_by_text("Write a note or a tag.").wait_for()
    form.get_by_label("Note").fill(f"Motor merah {ATTACK}")
    form.get_by_label("Tags").fill("curi, Gerbang")
    form.get_by_role("button", name="Save").click()
    page.get_by_text("Bookmarks on the timeline (1)").click()
    page.locator(".marks li", has_text=ATTACK).locator(".tag", has_text="gerbang").wait_for()
    box, state = page.locator(".line").bounding_box(), page.evaluate(PICK)
    page.mouse.move(box["x"] + state["from"] + 2, box["y"] + 40)
    page.locator(".tip .told", has_text=ATTACK).wait_for()
    page.get_by_role("link", name="All bookmarks").click()
    page.get_by_label("Words in the note").fill("merah")
    page.get_by_label("Words in the note").press("Enter")
    page.wait_for_url(re.compile(r"/bookmarks\?q=merah"))
    page.locator(".bookmark", has_text=ATTACK).wait_for()
    page.get_by_role("link", name="Watch", exact=True).last.click()
    eventually(lambda: shows(page, "08:00:01", tile=1))
    assert page.locator(".pick .said").inner_text().startswith(when)
    assert page.evaluate("window.hacked") is None


def test_footage_that_comes_while_the_page_is_open_and_more_files_than_one_answer_holds(
    viewer: Viewer, browser: Any
) -> None:
    page = opened(browser, viewer, FIRST.replace("01:00:01", "01:10:02"), locale="en-GB")
    eventually(lambda: shows(page, "08:10:02"))
    page.keyboard.press(" ")
    page.get_by_role("button", name="Play (space)").wait_for()
    archive_more(viewer.world, "lobby", START + timedelta(minutes=15))
    page.keyboard.press("n")
    eventually(lambda: shows(page, "08:15:00"))
    moment = page.get_by_label("Date and time to show")
    moment.fill("31 Jan 2026 08:20:01")
    moment.press("Enter")
    page.locator(".note").get_by_text("no footage").or_(page.locator(".note").get_by_text("camera silent")).wait_for()
    archive_more(viewer.world, "lobby", START + timedelta(minutes=20))
    page.evaluate(AN_HOUR_LATER)
    eventually(lambda: shows(page, "08:20:01"))  # without a hand on it
    archive_more(viewer.world, "lobby", START + timedelta(minutes=25))
    page.keyboard.press(" ")
    eventually(lambda: shows(page, "08:25:0"))
    page.get_by_role("button", name="Play (space)").wait_for()

    many_files(viewer.world, "cashier", 450)
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url.rpartition("/watch/")[2].partition("?")[0]))
    page.goto(f"{viewer.url}/watch?camera=makassar/cashier&at=2026-01-31T01:00:01Z")
    eventually(lambda: shows(page, "09:00:01"))
    moment.fill("31 Jan 2026 09:26:33")
    moment.press("Enter")
    eventually(lambda: shows(page, "09:26:33"))
    page.keyboard.press(" ")
    behind = re.compile("09:2(6:[45]|7:)")  # the 400th file ends at 09:26:40
    eventually(lambda: behind.search(page.locator(".stamp").inner_text()))
    page.keyboard.press(" ")
    moment.fill("31 Jan 2026 09:28:01")
    moment.press("Enter")
    eventually(lambda: shows(page, "09:28:01"))
    assert asked.count("step") == 0
    assert asked.count("playlist") == 2
    assert page.errors == []


AN_HOUR_LATER = """() => {
  const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot?.querySelector(".root"));
  roots.find((one) => one?.app).app.data.loaded.at -= 3600_000;
}"""
"""What the timeline knows is old now."""


PICK = """() => {
  const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot?.querySelector(".root"));
  const app = roots.find((one) => one?.app).app, line = app.line;
  return { from: line.x(app.pick.from), to: line.x(app.pick.to), head: line.x(app.at) };
}"""
"""Where the ends of the range and the playhead are drawn."""


def test_from_a_search_and_from_a_recording_to_the_timeline(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, locale="en-GB")
    page.goto(f"{viewer.url}/?camera=ho/lobby&from=2026-01-31T08:00&to=2026-01-31T08:12")
    page.wait_for_selector(".card")
    found = page.url
    page.get_by_role("link", name="Show on the timeline").click()
    page.wait_for_selector(".tile video")
    eventually(lambda: shows(page, "08:10:00"))
    page.go_back()
    page.wait_for_selector(".card")
    assert page.url == found
    page.locator(".card").last.click()
    page.locator("a.watch").click()
    page.wait_for_selector(".tile video")
    eventually(lambda: shows(page, "08:00:00"))
    assert "camera=ho%2Flobby" in page.url
    assert page.errors == []


def test_a_phone_and_hostile_names(viewer: Viewer, browser: Any) -> None:
    page = opened(browser, viewer, FIRST, width=360, locale="id-ID", has_touch=True, is_mobile=True)
    eventually(lambda: shows(page, "08:00:01"))
    assert page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]") == [360, 360]
    assert "<img src=x" in page.locator(".stamp b").inner_text()
    assert page.evaluate("window.hacked") is None
    page.get_by_role("button", name="Rekaman berikutnya").tap()
    eventually(lambda: shows(page, "08:05:00"))
    small = page.locator(".tools button").evaluate_all(
        "all => all.filter(one => one.offsetWidth && (one.offsetHeight < 44 || one.offsetWidth < 30)).length"
    )
    assert small == 0
    line = page.locator(".line")

    def seen() -> int:
        first, last = (int(line.get_attribute(f"aria-value{name}")) for name in ("min", "max"))
        return last - first

    before, at = seen(), page.locator(".stamp").inner_text()
    _pinch(page, ".line")
    eventually(lambda: seen() < before / 2)
    _pinch(page, ".tile")
    eventually(lambda: "scale(" in page.locator(".tile video").evaluate("video => video.style.transform"))
    assert page.locator(".stamp").inner_text() == at, "two fingers on the timeline go nowhere"
    assert page.errors == []


def _pinch(page: Any, what: str) -> None:
    """Two fingers on it go apart."""
    box = page.locator(what).bounding_box()
    middle, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers = page.context.new_cdp_session(page)
    for apart in (20, 35, 50, 65, 80, 100):
        points = [{"x": middle - apart, "y": y, "id": 0}, {"x": middle + apart, "y": y, "id": 1}]
        kind = "touchStart" if apart == 20 else "touchMove"
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
