"""Rights in a real Chromium: what is granted and nothing else, whatever address is tried; holds by role; the log."""

from __future__ import annotations

import http.client
import re
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from browser_world import NEEDS_BROWSER, Viewer, new_page
from viewer import query, tokens
from viewer_world import ATTACK, eventually, owner, sign_in
from vms.catalogue import holds, users

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]


def test_whatever_address_is_tried_only_what_was_granted_is_seen(viewer: Viewer, browser: Any) -> None:
    home = viewer.world.home
    budi = sign_in(home, "budi", "investigator", [("makassar", "")])
    page = new_page(browser, viewer, person=budi, locale="en-GB")
    lobby = next(row for row in viewer.world.rows() if row.camera == "lobby" and row.copies)
    opened = query.recording_text(lobby.id, lobby.start_utc)
    for path in (
        "/",
        "/?state=all&from=all",
        "/?site=ho,makassar&from=all",
        "/?camera=ho/lobby,makassar/cashier&from=all",
    ):
        page.goto(viewer.url + path)
        page.wait_for_selector(".card")
        assert page.locator(".card").count() == 1, path
        assert "Kasir" in page.locator(".card").inner_text()
    for path in (f"/?recording={opened}", "/?site=ho&from=all", "/?camera=ho/gate&from=all", "/watch?camera=ho/lobby"):
        page.goto(viewer.url + path)
        page.wait_for_selector(".statebox, .tile")
        page.wait_for_load_state("networkidle")
        assert "Lobi" not in page.locator("body").inner_text(), path
    for path in ("/sites", "/coverage?from=2026-01-30&to=2026-02-01", "/holds", "/alerts", "/log"):
        page.goto(viewer.url + path)
        page.wait_for_selector(".site, .cell, .statebox, .allwell")
        page.wait_for_load_state("networkidle")
        body = page.locator("body").inner_text()
        assert "Lobi" not in body, path
        assert "Mars/Olympus" not in body, "mistakes of sites.yaml are for who sees everything"
    link, _ = tokens.issue(home, budi.mark, lobby.id, lobby.start_utc, "rendition")
    assert page.request.get(viewer.url + link).status == 404, "even a link that is signed for the person"
    forged = link[:-4] + ("AAAA" if link[-4:] != "AAAA" else "BBBB")
    assert page.request.get(viewer.url + forged).status == 403
    assert page.request.get(f"{viewer.url}/log.csv").status == 403
    assert page.errors == []


def test_a_grant_that_is_taken_back_closes_the_page(viewer: Viewer, browser: Any) -> None:
    home = viewer.world.home
    page = new_page(browser, viewer, person=sign_in(home, "budi", "viewer", [("ho", ""), ("makassar", "")]))
    page.goto(viewer.url)
    page.wait_for_selector(".card")
    with closing(owner(home)) as conn:
        users.revoke(conn, "budi", [("ho", "")], "test")
    page.wait_for_url(re.compile("/sign-in"))


def test_a_right_that_ends_while_footage_plays_ends_the_footage(viewer: Viewer, browser: Any) -> None:
    home = viewer.world.home
    page = new_page(browser, viewer, person=sign_in(home, "budi", "viewer", [("ho", "lobby")]), locale="en-GB")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/m/" in request.url else None)
    page.goto(f"{viewer.url}/watch?camera=ho/lobby&at=2026-01-31T08:00:01")
    video = page.locator(".tile video")
    eventually(lambda: video.evaluate("video => video.videoWidth === 320"))
    page.keyboard.press(" ")
    eventually(lambda: video.evaluate("video => video.currentTime > 1.5"))
    link = asked[-1]
    assert page.request.get(link).status in (200, 206)
    with closing(owner(home)) as conn:
        users.revoke(conn, "budi", [("ho", "lobby")], "test")
    page.wait_for_url(re.compile("/sign-in"))
    assert page.locator("video").count() == 0
    assert page.request.get(link).status == 401


def test_nothing_that_is_put_into_a_page_runs(viewer: Viewer, browser: Any) -> None:
    """Texts are escaped; and should one ever not be, the page's policy lets no script run that it did not bring."""
    page = new_page(browser, viewer, locale="en-GB")
    refused: list[str] = []
    page.on("console", lambda told: refused.append(told.text) if "Content Security Policy" in told.text else None)
    for path in ("find", "watch", "sites", "coverage", "exports", "holds", "alerts", "log", "account"):
        answer = page.goto(f"{viewer.url}/{path}")
        policy = answer.header_value("content-security-policy")
        (scripts,) = [one for one in policy.split("; ") if one.startswith("script-src")]
        assert "'unsafe-inline'" not in scripts
        assert "'unsafe-eval'" not in scripts
        page.wait_for_selector(".account .who")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.hacked") is None, path
    assert refused == [], "what the pages themselves need is allowed"
    page.evaluate(
        """() => new Promise(done => {
            document.addEventListener('securitypolicyviolation', done, { once: true });
            document.body.insertAdjacentHTML('beforeend', '<img src="/none" onerror="window.hacked = 1">');
        })"""
    )
    assert page.evaluate("window.hacked") is None


def test_paths_lead_nowhere_else_and_other_sites_do_nothing(viewer: Viewer, browser: Any) -> None:
    home, person = viewer.world.home, viewer.person
    secret = home.secret("viewer_form")
    host = viewer.url.removeprefix("http://")
    cookie = f"vms_{host.rpartition(':')[2]}={person.token}"
    climbs = ("../" * 12 + "etc/passwd", "..%2f" * 12 + "etc%2fpasswd", "%2e%2e/" * 12 + "etc/passwd")
    climbs += (
        f"..{home.secrets}/viewer_form",
        f"/{home.secrets}/viewer_form",
        "..\\..\\etc\\passwd",
        "%00",
        "a%0d%0aX:y",
    )
    rooms = (
        "",
        "m/",
        "m/export/",
        "share/",
        "static/",
        "media/",
        "component/",
        "api/watch/",
        "_stcore/",
        "app/static/",
    )
    with closing(http.client.HTTPConnection(host, timeout=60)) as line:
        for room in rooms:
            for climb in climbs:
                line.putrequest("GET", f"/{room}{climb}", skip_host=True)
                for name, value in (("Host", host), ("Cookie", cookie), ("Accept", "*/*")):
                    line.putheader(name, value)
                line.endheaders()
                answer = line.getresponse()
                body = answer.read().decode("utf-8", "replace")
                assert "root:" not in body, (room, climb)
                assert secret not in body, (room, climb)
                assert answer.status < 500, (room, climb)
        for headers in ({}, {"Cookie": cookie, "Origin": "http://evil.example"}):
            up = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            line.request(
                "GET", "/_stcore/stream", headers=up | {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} | headers
            )
            answer = line.getresponse()
            assert (answer.status, answer.read()) == (403, b""), headers
    page = new_page(browser, viewer, locale="en-GB")
    page.goto(viewer.url)
    page.wait_for_selector(".card")
    evil = page.context.new_page()
    evil.route("http://evil.example/**", lambda route: route.fulfill(body=EVIL, content_type="text/html"))
    for path in ("/sign-out", "/sign-in", "/api/watch/snapshot?camera=ho/lobby&at=1", "/_stcore/upload_file/a/b"):
        evil.goto(f"http://evil.example/?{quote(viewer.url + path, safe='')}", wait_until="commit")
        evil.wait_for_url(re.compile(re.escape(host)))
    page.reload()
    page.wait_for_selector(".card")
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM view_log WHERE action IN ('sign_out', 'sign_in', 'snapshot')")
        assert cursor.fetchone() == (0,)


EVIL = """<form method="post"><input name="name" value="admin"></form><script>
document.forms[0].action = decodeURIComponent(location.search.slice(1)); document.forms[0].submit();</script>"""


def test_held_by_one_and_released_by_another(viewer: Viewer, browser: Any) -> None:
    home = viewer.world.home
    budi = sign_in(home, "budi", "investigator", [("ho", "lobby")])
    page = new_page(browser, viewer, width=360, person=budi, locale="id-ID")
    page.goto(viewer.url)
    page.locator(".card").first.click()
    page.get_by_role("link", name="Tahan rekaman ini").click()
    page.wait_for_url(re.compile("/holds"))
    page.get_by_role("textbox", name="Alasan").fill(f"pencurian {ATTACK}")
    page.get_by_role("button", name="Tahan", exact=True).click()
    page.get_by_text("Penahanan 1 berlaku mulai sekarang.").wait_for()
    page.locator(".hold").get_by_text("pencurian").wait_for()
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.get_by_role("button", name="Lepas").count() == 0
    with closing(owner(home)) as conn:
        assert [(one.who, one.cameras) for one in holds.list_holds(conn)] == [("budi", (("ho", "lobby"),))]

    chief = new_page(browser, viewer, locale="en-GB")
    chief.goto(f"{viewer.url}/holds")
    chief.get_by_role("button", name="Release").click()
    chief.get_by_role("textbox", name="Why, and on whose decision").fill("case closed")
    chief.get_by_role("button", name="Release this hold").click()
    chief.get_by_text("Hold 1 is released.").wait_for()
    with closing(owner(home)) as conn:
        assert holds.list_holds(conn) == []
    chief.goto(f"{viewer.url}/log")
    chief.get_by_role("cell", name="released a hold").wait_for()
    with chief.expect_download() as download:
        chief.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename == "log.csv"
    eventually(lambda: page.errors == [] and chief.errors == [])


@pytest.mark.parametrize("width", [1280, 900, 360])
def test_the_way_out_is_in_sight_at_every_width(viewer: Viewer, browser: Any, width: int) -> None:
    page = new_page(browser, viewer, width=width, locale="id-ID")
    page.goto(viewer.url)
    page.wait_for_selector(".card")
    box = page.locator(".account .out").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    name = page.locator(".account .who").bounding_box()
    assert name["width"] > 10


def test_an_auditor_sees_the_log_and_no_footage(viewer: Viewer, browser: Any) -> None:
    rina = sign_in(viewer.world.home, "rina", "auditor")
    page = new_page(browser, viewer, person=rina, locale="en-GB")
    for path in ("/", "/log"):
        page.goto(viewer.url + path)
        page.get_by_role("heading", name="Who did what").wait_for()
    for path in ("/find", "/sites", "/coverage", "/watch", "/holds"):
        page.goto(viewer.url + path)
        page.get_by_text("This page is not for your role").wait_for()
    lobby = next(row for row in viewer.world.rows() if row.copies)
    link, _ = tokens.issue(viewer.world.home, rina.mark, lobby.id, lobby.start_utc, "poster")
    assert page.request.get(viewer.url + link).status == 403
