"""Signing in with a real Chromium: by the form, refused, rate-limited, thrown out; nothing shows without."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from browser_world import NEEDS_BROWSER, Viewer, new_page
from oidc_provider import CLIENT, SECRET, served_provider
from viewer.sign_in import AHEAD
from viewer_world import PASSWORD, add_user, eventually, owner, sign_in
from vms.catalogue import sessions, users

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]


def _fill(page: Any, name: str, password: str) -> None:
    page.locator("#name").fill(name)
    page.locator("#password").fill(password)
    page.locator("button").click()


def test_in_by_the_form_to_where_one_wanted_to_go_and_out_again(viewer: Viewer, browser: Any) -> None:
    add_user(viewer.world.home, "budi", "viewer")
    page = new_page(browser, viewer, width=360, signed_in=False, locale="id-ID")
    page.goto(f"{viewer.url}/?site=makassar&from=2026-01-31")
    page.wait_for_url(re.compile("/sign-in"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("h1").inner_text() == "Masuk"
    _fill(page, "budi", "salah salah salah")
    page.get_by_role("alert").wait_for()
    assert "Nama pengguna atau kata sandi salah" in page.get_by_role("alert").inner_text()
    _fill(page, "budi", PASSWORD)
    page.wait_for_url(re.compile("site=makassar"))
    page.wait_for_selector(".card")
    assert page.locator(".card").count() == 1
    page.locator(".card").click()
    page.wait_for_selector("video")
    assert page.locator("a.download").count() == 0, "who may only watch is not offered to take away"
    page.locator(".account .out").click()
    page.wait_for_url(re.compile("/sign-in"))
    page.go_back()
    page.wait_for_url(re.compile("/sign-in"))
    assert page.errors == []


def test_what_a_page_begins_with_has_come_while_the_form_was_filled_in(viewer: Viewer, browser: Any) -> None:
    add_user(viewer.world.home, "budi", "viewer")
    page = new_page(browser, viewer, signed_in=False, locale="id-ID")
    page.goto(viewer.url)
    eventually(lambda: set(_sizes(page)) >= set(AHEAD))
    assert page.request.get(f"{viewer.url}/static/js/../../index.html", max_redirects=0).status in (401, 303)
    _fill(page, "budi", PASSWORD)
    page.wait_for_selector(".card")
    used = {path: size for path, size in _sizes(page).items() if path in AHEAD}
    assert len(used) > 50
    assert {path: size for path, size in used.items() if size} == {}, "came over the line a second time"
    assert page.errors == []


def _sizes(page: Any) -> dict[str, int]:
    """What the page has fetched, by its address, and the bytes that came over the line for it."""
    told = page.evaluate("performance.getEntriesByType('resource').map((one) => [one.name, one.transferSize])")
    return {urlsplit(name).path: size for name, size in told}


def test_too_many_failures_are_told_to_wait(viewer: Viewer, browser: Any) -> None:
    add_user(viewer.world.home, "budi", "viewer")
    page = new_page(browser, viewer, signed_in=False, locale="en-GB")
    page.goto(f"{viewer.url}/sign-in")
    for _ in range(sessions.MOST_FROM_ONE_PLACE):
        _fill(page, "budi", "wrong wrong wrong")
        page.get_by_text("is wrong").wait_for()
        page.goto(f"{viewer.url}/sign-in")
    _fill(page, "budi", PASSWORD)
    page.get_by_text(re.compile("Too many failed tries. Try again in 1[0-5] min")).wait_for()


@pytest.mark.parametrize("path", ["/", "/sites", "/coverage?from=2026-01-30&to=2026-02-01"])
def test_an_open_page_goes_away_when_its_session_ends(viewer: Viewer, browser: Any, path: str) -> None:
    home = viewer.world.home
    budi = sign_in(home, "budi", "investigator")
    page = new_page(browser, viewer, person=budi, locale="en-GB")
    page.goto(viewer.url + path)
    page.wait_for_selector(".card, .site, .cell")
    with closing(owner(home)) as conn:
        users.set_disabled(conn, "budi", datetime.now(UTC), "test")
    page.wait_for_url(re.compile("/sign-in"))
    assert page.locator(".card, .site, .cell").count() == 0


def test_a_page_that_never_came_to_life_goes_away_too(viewer: Viewer, browser: Any) -> None:
    """The session ends after the page has come and before it could draw anything, or ask for it."""
    home = viewer.world.home
    page = new_page(browser, viewer, person=sign_in(home, "budi", "investigator"), locale="en-GB")

    def end_first(route: Any) -> None:
        with closing(owner(home)) as conn:
            users.set_disabled(conn, "budi", datetime.now(UTC), "test")
        route.continue_()

    page.route(re.compile(r"/static/js/"), end_first)
    page.goto(f"{viewer.url}/holds?lang=en", wait_until="commit")
    page.wait_for_url(re.compile("/sign-in"))
    page.get_by_role("heading", name="Sign in").wait_for()


def test_a_stream_ends_with_its_session(viewer: Viewer, browser: Any) -> None:
    home = viewer.world.home
    budi = sign_in(home, "budi", "investigator")
    page = new_page(browser, viewer, person=budi, locale="en-GB")
    page.goto(viewer.url)
    page.locator(".card").first.click()
    link = page.locator("video").first.evaluate(
        "video => video.currentSrc || video.src || video.querySelector('source').src"
    )
    other = new_page(browser, viewer)
    assert other.request.get(link).status == 403, "the link of another session"
    assert new_page(browser, viewer, signed_in=False).request.get(link).status == 401
    assert page.request.get(link).status == 200
    with closing(owner(home)) as conn:
        users.set_password(conn, "budi", "another", "test")
    eventually(lambda: page.request.get(link).status == 401)


def test_a_person_changes_their_own_password_and_signs_out_everywhere(viewer: Viewer, browser: Any) -> None:
    add_user(viewer.world.home, "budi", "viewer", [("makassar", "")])
    phone, desk = (new_page(browser, viewer, width, signed_in=False, locale="id-ID") for width in (360, 1280))
    for page in (phone, desk):
        page.goto(viewer.url)
        _fill(page, "budi", PASSWORD)
        page.wait_for_selector(".card")
    phone.locator(".account .who").click()
    phone.get_by_role("heading", name="Akun saya").wait_for()
    eventually(lambda: phone.locator("[data-session]").count() == 2)
    assert phone.locator("[data-session]", has_text="perangkat ini").count() == 1
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    eventually(lambda: phone.get_by_role("button", name="Tampilkan kata sandi").count() == 3)
    phone.get_by_label("Kata sandi sekarang").fill(PASSWORD)
    phone.get_by_text("Enter untuk mengirim").wait_for()
    phone.get_by_label("Kata sandi baru", exact=True).fill("merah sepatu di atap")
    phone.get_by_label("Ulangi kata sandi baru").fill("merah sepatu di atap")
    phone.get_by_role("button", name="Ganti kata sandi").click()
    phone.get_by_text("Kata sandi Anda sudah diganti.").wait_for()
    desk.wait_for_url(re.compile("/sign-in"))
    _fill(desk, "budi", PASSWORD)
    desk.get_by_role("alert").wait_for()
    _fill(desk, "budi", "merah sepatu di atap")
    desk.locator(".account .who").click()
    desk.get_by_text("English", exact=True).click()
    desk.get_by_role("heading", name="My account").wait_for()
    eventually(lambda: desk.get_by_role("button", name="Show password").count() == 3)
    desk.get_by_role("button", name="Sign out everywhere").click()
    desk.get_by_test_id("stPopoverBody").get_by_role("button", name="Sign out everywhere").click()
    for page in (desk, phone):
        page.wait_for_url(re.compile("/sign-in"))
        assert page.errors == []


def test_in_by_the_company_and_out_of_both(viewer: Viewer, browser: Any) -> None:
    """The provider is another site to the browser, so cookies must survive the way there and back."""
    home = viewer.world.home
    with served_provider() as provider:
        provider.backs.add(f"{viewer.url}/sign-in/back")
        provider.people["b-1"] = {"preferred_username": "budi", "groups": ["security"]}
        entry = {"company_login": {"conn_type": "oidc", "login": CLIENT, "password": SECRET}}
        home.connections.write_text(json.dumps(entry))
        home.connections.chmod(0o600)
        home.sites_file.write_text(
            f"{home.sites_file.read_text()}sign_in:\n  issuer: {provider.issuer}\n  conn_id: company_login\n"
            "  label: PT Uji\n  create: true\n  roles: {investigator: [security]}\n  sees: [makassar]\n"
        )
        page = new_page(browser, viewer, width=360, signed_in=False, locale="id-ID")
        page.goto(f"{viewer.url}/?site=makassar&from=2026-01-31")
        page.get_by_role("link", name="Masuk dengan PT Uji").click()
        page.get_by_role("link", name="b-1").click()
        page.wait_for_url(re.compile("site=makassar"))
        page.wait_for_selector(".card")
        assert page.locator(".card").count() == 1
        page.locator(".account .who").click()
        page.get_by_text("tidak ada kata sandi yang diganti di sini").wait_for()
        page.locator(".account .out").click()
        page.get_by_role("link", name="Keluar juga dari PT Uji").click()
        page.get_by_role("heading", name="Signed out of the company").wait_for()
        page.get_by_role("link", name="back").click()
        page.get_by_role("link", name="Masuk dengan PT Uji").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360

        with closing(owner(home)) as conn:
            users.set_disabled(conn, "budi", datetime.now(UTC), "test")
        page.get_by_role("link", name="Masuk dengan PT Uji").click()
        page.get_by_role("link", name="b-1").click()
        page.get_by_role("alert").get_by_text("belum punya akses di sini").wait_for()
        add_user(home, "rina", "viewer")
        page.get_by_text("Pakai kata sandi").click()
        _fill(page, "rina", PASSWORD)
        page.wait_for_selector(".card")
        assert page.errors == []
