"""Taking footage out with a real Chromium: ordered on a phone, downloaded, found whole, shared with a stranger."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pyzipper

from browser_world import NEEDS_BROWSER, Viewer, new_page
from viewer_world import add_user, owner, sign_in
from vms.catalogue import users
from vms.home import PROJECT_ROOT
from walk import walk

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]


@pytest.fixture
def exporting(viewer: Viewer) -> Iterator[Viewer]:
    """The viewer with the worker of exports beside it, as the stack runs them."""
    home = viewer.world.home
    environment = os.environ | {"VMS_HOME": str(home.root), "VMS_SITES": str(home.sites_file)}
    environment["PYTHONPATH"] = str(PROJECT_ROOT / "include")
    process = subprocess.Popen([sys.executable, "-m", "vms.exports.worker"], cwd=PROJECT_ROOT, env=environment)
    yield viewer
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def _order(page: Any, reason: str) -> None:
    page.get_by_role("textbox", name=re.compile("^Alasan")).fill(reason)
    page.get_by_role("textbox", name=re.compile("^Alasan")).press("Tab")
    page.get_by_role("button", name="Pesan", exact=True).click()
    page.get_by_text(re.compile("Ekspor 1 dipesan")).wait_for()


def test_a_phone_from_the_sign_in_to_a_verified_package_of_two_cameras_and_three_files(
    exporting: Viewer, browser: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    add_user(exporting.world.home, "budi", "investigator")
    page = new_page(browser, exporting, signed_in=False, locale="id-ID", has_touch=True, is_mobile=True)
    pictures = Path(os.environ.get("VMS_TEST_PICTURES") or tmp_path / "pictures")
    one, download = walk(page, exporting.url, pictures, "Motor merah <img src=x onerror=window.hacked=1>")
    record_property("walk", one.told)
    sys.stdout.write(f"\n{one.told}\n")
    small = {step: one.small.get(step) for step in ("masuk", "tonton", "awal", "akhir")}
    assert set(small.values()) == {None}, f"too small for a finger: {small}"
    assert re.fullmatch(r"export_1_2026-01-31_08-00-0\d\.zip", download.suggested_filename)
    with zipfile.ZipFile(download.path()) as packed:
        packed.extractall(tmp_path / "out")
        packed_manifest = packed.read("manifest.json")
    assert len(list((tmp_path / "out").glob("ho/*/*/*"))) == 3
    page.get_by_role("link", name="ZIP dengan kata sandi").click()
    page.get_by_label("Kata sandi ZIP").fill("kopi tubruk dan gula")
    page.get_by_label("Sekali lagi").fill("kopi tubruk dan gula")
    with page.expect_download() as locked_download:
        page.get_by_role("button", name="Unduh ZIP").click()
    with pyzipper.AESZipFile(locked_download.value.path()) as locked:
        assert locked.read("manifest.json", pwd=b"kopi tubruk dan gula") == packed_manifest
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    cameras = {one.name.split("_2026")[0] for one in (tmp_path / "out" / "clips").iterdir()}
    assert cameras == {"ho_lobby", "ho_gate"}
    said = subprocess.run(
        [sys.executable, "-I", "verify.py"], cwd=tmp_path / "out", capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert page.evaluate("window.hacked") is None
    assert page.errors == []


def test_a_link_for_a_stranger_and_a_right_that_is_taken_back(exporting: Viewer, browser: Any) -> None:
    home = exporting.world.home
    page = new_page(browser, exporting, person=sign_in(home, "budi", "investigator"), locale="id-ID")
    page.goto(f"{exporting.url}/exports?camera=ho/lobby&from=2026-01-31T08:00&to=2026-01-31T08:01")
    page.get_by_text(re.compile("1 rekaman, ")).wait_for()
    _order(page, "Kecelakaan")
    page.get_by_role("button", name="Bagikan").click()
    page.get_by_label(re.compile("^PIN")).fill("kopi-tubruk")
    page.get_by_role("button", name="Buat tautan").click()
    page.get_by_text("Tautan ini hanya ditampilkan sekarang").wait_for()
    link = page.locator("[data-testid=stCode]").inner_text().strip()
    assert link.startswith(f"{exporting.url}/share/")

    stranger = new_page(browser, exporting, width=360, signed_in=False, locale="id-ID")
    stranger.goto(link)
    assert stranger.evaluate("document.documentElement.scrollWidth") <= 360
    assert "31 Jan 2026 08:00:00 WIB" in stranger.locator("dl").inner_text()
    stranger.locator("#pin").fill("123456")
    stranger.get_by_role("button", name="Unduh ZIP").click()
    assert "PIN ini salah" in stranger.get_by_role("alert").inner_text()
    stranger.locator("#pin").fill("kopi-tubruk")
    with stranger.expect_download() as download:
        stranger.get_by_role("button", name="Unduh ZIP").click()
    assert zipfile.is_zipfile(download.value.path())
    stranger.goto(f"{exporting.url}/exports")
    stranger.wait_for_url(re.compile("/sign-in"))

    page.get_by_role("button", name="Cabut tautan 1").click()
    page.get_by_text(re.compile("dicabut")).wait_for()
    stranger.goto(link)
    stranger.get_by_text("Tautan ini tidak berlaku").wait_for()
    with closing(owner(home)) as conn:
        users.set_role(conn, "budi", "viewer", "test", everywhere=True)
    page.wait_for_url(re.compile("/sign-in"))
    assert page.errors == []
    assert stranger.errors == []
