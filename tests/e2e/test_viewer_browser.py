"""The viewer in a real Chromium: found, played, downloaded; both languages, phone, hostile names, no catalogue."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from browser_world import NEEDS_BROWSER, PLAYED, Viewer, new_page
from viewer_world import ATTACK, eventually, fleet
from vms.catalogue.connection import connect
from vms.stack.postgres import role_url

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]


def test_found_played_and_downloaded(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, locale="id-ID")
    page.goto(viewer.url)
    page.wait_for_selector(".card")
    assert page.locator(".card").count() == 5
    assert "Sabtu, 31 Januari 2026" in page.locator(".day").first.inner_text()
    lobby = page.locator(".card", has_text="Lobi").first
    assert "08:10:00" in lobby.inner_text()
    assert "WIB" in lobby.inner_text()
    assert lobby.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 320

    lobby.click()
    video = page.locator("video")
    video.wait_for()
    assert "recording=" in page.url
    eventually(lambda: video.evaluate(PLAYED) > 0.3 and video.evaluate("video => video.videoWidth") == 320)
    assert "SHA-256" in page.locator(".custody").inner_text()
    assert page.locator(".hash code").first.inner_text().strip() != ""

    with page.expect_download() as download:
        page.locator("a.download").click()
    assert download.value.suggested_filename == "ho_lobby_2026-01-31_08-10-00_WIB.mp4"
    assert Path(download.value.path()).read_bytes() == viewer.world.clip.video.read_bytes()

    page.locator(".step-back").click()
    eventually(lambda: "08:05:00" in _text(page, "video", "aria-label"))
    page.go_back()
    eventually(lambda: "08:10:00" in _text(page, "video", "aria-label"))
    page.go_back()
    page.wait_for_selector(".card")
    assert page.errors == []


def test_english_sites_links_and_what_needs_a_person(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, locale="en-GB", color_scheme="dark")
    page.goto(f"{viewer.url}/sites")
    page.wait_for_selector(".site")
    ho = page.locator('[data-site="ho"]').inner_text()
    assert "Silent" in ho, "nobody has looked there for months, which is worse than a file"
    assert "lost power" in ho
    assert "sites.yaml: this site is left out" in page.locator(".site.bad").inner_text()
    page.locator('[data-site="makassar"] a.button').click()
    page.wait_for_selector(".card")
    assert page.locator(".card").count() == 1
    assert "WITA" in page.locator(".card").inner_text()
    assert "site=makassar" in page.url
    page.go_back()
    page.wait_for_selector('.site[data-site="makassar"]')
    assert page.url == f"{viewer.url}/sites", "one step leads back"

    page.goto(f"{viewer.url}/?run=footage_ho/scheduled__2026-02-01T03:00:00%2B00:00")
    page.wait_for_selector(".card")
    eventually(lambda: page.locator(".card").count() == 5)
    page.goto(f"{viewer.url}/?from=2020-01-01&to=2020-01-02&lang=id")
    page.get_by_text("Rekaman terbaru dari Sabtu, 31 Januari 2026").wait_for()
    page.get_by_role("button", name=re.compile("Buka 31 Jan")).click()
    page.wait_for_selector(".card")
    assert page.errors == []


def test_day_time_and_camera_are_chosen_and_shown_as_a_table(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, width=360, locale="id-ID")
    page.goto(f"{viewer.url}/?from=2026-01-31&to=2026-01-31")
    page.wait_for_selector(".card")
    page.get_by_role("button", name=re.compile("31 Jan 2026")).click()
    page.locator('[data-day="2026-01-31"][aria-selected=true][aria-label*="%"]').wait_for()
    page.locator('[data-day="2026-01-30"][aria-label*="tidak ada rekaman"]').wait_for()
    page.locator("input[type=time]").first.fill("08:05")
    page.locator("input[type=time]").first.press("Tab")
    page.wait_for_url(re.compile("from=2026-01-31T08%3A05"))
    page.locator("input[type=time]").first.wait_for()  # it stays open while the page is drawn anew
    page.keyboard.press("Escape")

    page.get_by_role("button", name=re.compile("Semua kamera")).click()
    page.get_by_role("searchbox").fill("lobi")
    assert page.locator(".site:not([hidden])").count() == 1
    page.locator("label", has_text="Lobi").locator("input").check()
    page.wait_for_url(re.compile("camera=ho%2Flobby"))
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="Tabel").click()
    page.wait_for_selector("tr.row")
    rows = page.locator("tr.row")
    eventually(lambda: all("Lobi" in rows.nth(at).inner_text() for at in range(rows.count())))
    page.locator("tr.row a").first.click()
    page.locator("video").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.errors == []


def test_hostile_names_are_only_text(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, locale="en-GB")
    for address in (
        "/",
        "/sites",
        "/?state=all&from=all",
        "/?run=footage_ho/%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E",
    ):
        page.goto(viewer.url + address)
        page.wait_for_selector(".card, .site, .statebox")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.hacked") is None, address
    page.goto(f"{viewer.url}/?state=quarantined")
    page.wait_for_selector(".card")
    assert "<img src=x" in page.locator(".card").inner_text()
    page.locator(".card").click()
    page.wait_for_selector(".remedy")
    assert "lost power" in page.locator(".notice").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.errors == []


def test_what_no_browser_plays_is_played_converted_and_taken_as_mp4(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, locale="id-ID")
    page.goto(f"{viewer.url}/?camera=ho/gate")
    page.wait_for_selector(".card")
    page.locator(".card").click()
    page.get_by_text("tidak dapat memutar rekaman ini").wait_for()
    assert page.locator("a.download").is_visible()
    page.get_by_role("link", name="MP4 untuk semua pemutar").click()
    page.wait_for_url(re.compile(r"/exports\?camera=ho"))
    page.get_by_text("sebagai H.264 untuk semua pemutar").wait_for()
    page.go_back()
    page.get_by_role("link", name="Putar hasil konversi").click()
    page.wait_for_url(re.compile(r"/watch\?camera=ho"))
    eventually(lambda: page.locator("video").evaluate("video => video.readyState >= 2 && !video.error"))
    assert page.errors == []


def test_a_phone_needs_no_sideways_scrolling(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, width=360, locale="id-ID", has_touch=True, is_mobile=True)

    def widths() -> list[int]:
        return list(page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]"))

    page.goto(f"{viewer.url}/sites")
    page.wait_for_selector(".site")
    assert widths() == [360, 360]
    page.goto(viewer.url)
    page.wait_for_selector(".card")
    assert widths() == [360, 360]
    page.locator(".card").first.tap()
    page.wait_for_selector("video")
    assert widths() == [360, 360]


def test_keyboard_alone(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, locale="id-ID")
    page.goto(viewer.url)
    page.wait_for_selector(".card")
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("video")
    first = page.url

    def goes_back() -> bool:
        page.keyboard.press("p")
        return bool(page.url != first)

    eventually(goes_back)


def test_coverage_by_mouse_keyboard_and_finger(viewer: Viewer, browser: Any) -> None:
    page = new_page(browser, viewer, locale="id-ID")
    page.goto(f"{viewer.url}/coverage?from=2026-01-30&to=2026-02-01")
    page.wait_for_selector(".site .cell")
    assert page.locator('[data-site="ho"] [role=row]').count() == 2
    cell = page.locator('[data-site="ho"] .line:has(a.camera:has-text("Lobi")) a.cell').nth(1)
    assert "Sabtu, 31 Januari 2026" in (cell.get_attribute("aria-label") or "")
    cell.hover()
    assert "kamera diam" in page.locator(".tip").inner_text()
    page.locator('[data-site="ho"] a.cell').first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip b").inner_text().endswith("%")
    page.keyboard.press("Enter")  # to where the footage of that day begins
    page.locator(".stamp", has_text="31 Jan 2026 08:00:00 WIB").wait_for()
    assert "camera=ho" in page.url
    page.go_back()
    page.wait_for_selector(".site .cell")
    assert "from=2026-01-30&to=2026-02-01" in page.url
    page.locator('[data-site="ho"] a.cell').first.click()  # nothing to watch, but to be told why
    page.wait_for_url(re.compile(r"from=2026-01-30&to=2026-01-30&state=all"))
    page.locator(".statebox").wait_for()
    page.go_back()
    page.wait_for_selector(".site .cell")
    page.goto(f"{viewer.url}/operations?embed=true")
    page.get_by_role("link", name="Makassar").click()
    page.locator(".card").wait_for()
    assert "site=makassar" in page.url
    assert page.locator(".brand").count() == 0, "Airflow's page stands around it"
    page.go_back()
    page.get_by_role("heading", name="Operasional").wait_for()
    assert page.errors == []

    phone = new_page(browser, viewer, width=360, locale="en-GB", has_touch=True, is_mobile=True)
    phone.goto(f"{viewer.url}/coverage?site=ho&from=2026-01-30&to=2026-02-01")
    phone.wait_for_selector(".site .cell")
    assert phone.evaluate("[document.documentElement.scrollWidth, window.innerWidth]") == [360, 360]
    phone.locator(".site a.cell").nth(1).tap()
    assert phone.locator(".tip").is_visible()
    assert "coverage" in phone.url, "the first touch tells"
    phone.locator(".site a.cell").nth(1).tap()
    phone.locator(".stamp", has_text="31 Jan 2026 08:00:00 WIB").wait_for()
    assert phone.errors == []


def test_many_sites_by_region_state_and_words_and_every_camera_on_some_page(viewer: Viewer, browser: Any) -> None:
    fleet(viewer.world, 14, 16)
    page = new_page(browser, viewer, locale="en-GB")
    hacked: list[str] = []
    page.on("request", lambda one: hacked.append(one.url) if one.url.endswith("/x") else None)
    page.goto(f"{viewer.url}/sites")
    page.get_by_text("3 of 16 sites need a person.").wait_for()
    sumatra = page.locator(".region", has_text=f"Sumatra {ATTACK}")
    eventually(lambda: page.locator(".region").count() == 3)  # those of the world before have none
    assert sumatra.locator(".tiles .tile").count() == 7
    worst = sumatra.locator(".tiles .tile").first
    assert worst.get_attribute("aria-label") == f"Cabang 03 {ATTACK}: Silent"
    assert worst.inner_text() == "?", "not by colour alone"
    panels = page.locator(".sites .site:not(.bad)")
    eventually(lambda: panels.count() == 6)
    assert [panels.nth(at).get_attribute("data-site") for at in range(3)] == ["s03", "makassar", "ho"]
    page.get_by_role("button", name="Show more (10)").click()
    eventually(lambda: panels.count() == 12)
    worst.focus()
    page.keyboard.press("ArrowRight")
    assert worst.get_attribute("tabindex") == "-1", "a region is one stop"
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("site=s13"))
    page.locator('.site[data-site="s13"]').wait_for()
    page.get_by_role("button", name="All sites").click()
    sumatra.get_by_role("link", name="Sumatra").click()
    page.wait_for_url(re.compile("region=Sumatra"))
    eventually(lambda: page.locator(".region").count() == 1)
    page.get_by_label("Search sites").fill("kios")
    page.get_by_label("Search sites").press("Enter")
    page.wait_for_url(re.compile("q=kios"))
    eventually(lambda: page.locator(".tiles .tile").count() == 2)
    page.goto(f"{viewer.url}/sites?state=bad&q=cabang")
    eventually(lambda: page.locator(".tiles .tile").count() == 2)

    page.goto(f"{viewer.url}/?from=all")  # of so many cameras the tree asks for those that it does not have
    page.locator(".card").first.wait_for()
    page.get_by_role("button", name="All cameras").click()
    tree, asked = page.locator("[data-testid=stPopoverBody]"), page.get_by_role("searchbox")
    assert tree.locator(".site.open").count() == 0
    asked.fill("sumatra kamera 16")
    eventually(lambda: tree.locator(".site.open").count() == 7)
    third = tree.locator('.site[data-id="s03"]')
    assert third.locator("strong").inner_text() == f"Cabang 03 {ATTACK}"
    third.get_by_role("checkbox", name="Kamera 16").click()
    page.wait_for_url(re.compile("camera=s03%2Fc16"))
    page.locator(".statebox").wait_for()  # no footage, and the search goes on
    eventually(lambda: tree.locator(".site.open").count() == 7)
    assert asked.input_value() == "sumatra kamera 16"
    third.get_by_role("checkbox", name="Cabang 03").click()
    page.wait_for_url(re.compile("site=s03"))
    eventually(lambda: page.locator(".card").count() == 1)
    asked.fill("mars")
    tree.get_by_text("No site and no camera has such a name.").wait_for()
    page.keyboard.press("Escape")

    page.goto(f"{viewer.url}/coverage?from=2025-02-01&to=2026-01-31")  # room for 16 cameras
    pages = page.locator(".pages")
    pages.get_by_text("Cameras 1 to 16 of 227").first.wait_for()
    first = page.locator(".site").first.get_attribute("data-site")
    pages.last.get_by_role("link", name="Next 16").click()
    page.wait_for_url(re.compile("page=2"))
    pages.get_by_text("Cameras 17 to 32 of 227").first.wait_for()
    assert page.locator(".site").first.get_attribute("data-site") != first
    assert "from=2025-02-01" in page.url
    page.goto(f"{page.url.partition('page=')[0]}page=99")
    pages.get_by_text("Cameras 225 to 227 of 227").first.wait_for()
    assert pages.first.get_by_role("link").all_inner_texts() == ["16 before these"]
    assert (hacked, page.errors) == ([], [])

    phone = new_page(browser, viewer, width=360, locale="id-ID", has_touch=True, is_mobile=True)
    for path in ("/sites", "/operations", "/coverage?from=2025-02-01&to=2026-01-31"):
        phone.goto(viewer.url + path)
        phone.locator(".region, .pages").first.wait_for()
        assert phone.evaluate("[document.documentElement.scrollWidth, window.innerWidth]") == [360, 360], path
    assert phone.errors == []


def test_the_pages_say_that_the_catalogue_is_away_and_come_back(viewer: Viewer, browser: Any) -> None:
    first = new_page(browser, viewer, locale="id-ID")
    first.goto(viewer.url)
    first.wait_for_selector(".card")
    first.close()
    address = viewer.world.home.run / "postgres.json"
    with closing(connect(role_url(viewer.world.home, "vms_viewer", "catalogue"))) as conn, conn.cursor() as cursor:
        aside = address.rename(address.with_suffix(".aside"))
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_user AND pid <> pg_backend_pid() AND datname = current_database()"
        )
    pages = [new_page(browser, viewer, locale="id-ID") for _ in range(3)]
    for page, path in zip(pages, ("/", "/sites", "/coverage"), strict=True):
        page.goto(viewer.url + path)
        page.get_by_text("Katalog tidak menjawab").wait_for()
    aside.rename(address)
    for page in pages:
        page.wait_for_selector(".card, .site, .statebox:not(.away)")
        page.get_by_text("Katalog tidak menjawab").wait_for(state="hidden")


def _text(page: Any, selector: str, attribute: str) -> str:
    found = page.locator(selector)
    return found.first.get_attribute(attribute) or "" if found.count() else ""
