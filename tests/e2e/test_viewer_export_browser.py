"""Taking footage out with a real Chromium: ordered on a phone and by keyboard alone, downloaded, found whole, shared
with a stranger."""

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
from keyboard import Keyboard
from viewer_world import PASSWORD, add_user, eventually, owner, sign_in
from vms.catalogue import users
from vms.home import PROJECT_ROOT
from walk import MADE_MS, back_to, walk

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
    assert process.wait(120) == 0


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
    page.get_by_role("button", name="Bagikan").click(timeout=MADE_MS)
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


def test_by_keyboard_alone_from_the_sign_in_to_the_download(exporting: Viewer, browser: Any) -> None:
    add_user(exporting.world.home, "budi", "investigator")
    page = new_page(browser, exporting, signed_in=False, locale="id-ID")
    keys = Keyboard(page)
    page.goto(exporting.url)
    page.get_by_role("heading", name="Masuk").wait_for()
    keys.comes_to("Nama pengguna")
    page.keyboard.type("budi")
    assert keys.press("Tab").name == "Kata sandi"
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.locator(".card").nth(4).wait_for()

    assert keys.press("Tab").name == "Langsung ke isi halaman"
    assert keys.press("Enter").name == "Cari"
    assert keys.press("Tab").name == "Hari terbaru", "past the header"
    keys.to("31 Jan 2026", 1)
    page.keyboard.press("Enter")
    keys.comes_to("Sabtu, 31 Januari 2026, ")
    assert keys.press("ArrowLeft").name.startswith("Jumat, 30 Januari 2026")
    page.keyboard.press("PageUp")
    page.get_by_role("grid", name="Desember 2025").wait_for()
    keys.comes_to(r"\w+, \d+ Desember 2025")
    page.keyboard.press("PageDown")
    page.get_by_role("grid", name="Januari 2026").wait_for()
    keys.comes_to(r"\w+, \d+ Januari 2026")
    keys.to("Sabtu, 31 Januari 2026, ", 31, key="ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("from=2026-01-31"))
    keys.to("Hari penuh", 12)
    keys.to("Semua kamera", 1)  # what stands behind the button, not at the end of the document
    page.locator("[data-testid=stPopoverBody]").wait_for(state="detached")
    page.keyboard.press("Enter")
    keys.comes_to("Cari lokasi dan kamera")
    page.keyboard.type("lobi")
    keys.to("Lobi", 6, "checkbox")
    page.keyboard.press("Space")
    page.wait_for_url(re.compile("camera=ho%2Flobby"))
    eventually(lambda: page.locator(".card").count() == 3)
    assert keys.stop().name.startswith("Lobi"), "it is drawn anew, and has the focus still"
    page.keyboard.press("Escape")
    eventually(lambda: keys.heard().role == "button")
    keys.comes_to("Lobi")

    keys.to("Buka Lobi.*08:10:00", 8)
    page.keyboard.press("Enter")
    page.locator("video").wait_for()
    keys.comes_to("Cari")
    page.go_back()
    keys.comes_to("Buka Lobi.*08:10:00")  # where he was
    page.keyboard.press("Enter")
    page.locator("video").wait_for()
    keys.comes_to("Cari")
    keys.to("Lihat di garis waktu", 20)
    page.keyboard.press("Enter")
    page.locator(".tile video").wait_for(state="attached")
    keys.comes_to("Tonton")

    stamp, chosen, line = (page.locator(one) for one in (".stamp", ".pick .said", ".line"))
    eventually(lambda: "08:10:00" in stamp.inner_text())
    for before in ("08:05:00", "08:00:00"):
        page.keyboard.press("p")
        eventually(lambda before=before: before in stamp.inner_text())
    page.keyboard.press("i")
    page.get_by_text(re.compile("^Awal: 08:00:00")).wait_for()
    page.keyboard.press("Space")
    eventually(lambda: "08:00:0" not in stamp.inner_text())
    page.keyboard.press("Space")
    page.get_by_role("button", name="Putar (spasi)").wait_for()
    back_to("08:05:0", stamp, lambda: page.keyboard.press("p"))
    page.keyboard.press(".")
    page.keyboard.press("o")
    eventually(lambda: re.match(r"31 Jan 08:00:00 \S 08:05:0\d WIB", chosen.inner_text()))
    link = page.url
    page.keyboard.press("?")
    keys.comes_to("Tutup")
    page.keyboard.press("Escape")
    page.locator("dialog.help:not(.form)").wait_for(state="hidden")
    keys.comes_to("Tonton")
    assert "from=2026-01-31" in page.url, "Escape closes what is open, and no more"
    keys.to("Tanggal dan jam", 12)
    page.keyboard.press("Enter")
    keys.comes_to("Garis waktu")
    assert str(line.get_attribute("aria-valuetext")).startswith("31 Jan 2026 08:05:0")
    keys.to("Ekspor", 1, "link")
    page.keyboard.press("Enter")

    page.get_by_text(re.compile("^2 rekaman, ")).wait_for()
    keys.comes_to("Ekspor")
    eventually(lambda: page.get_by_label("Dari (jam)").input_value() == "08:00:00")
    keys.to("Alasan", 22)
    page.keyboard.type("Motor merah")
    keys.to("Pesan", 1, "button")
    page.keyboard.press("Enter")
    page.get_by_text("Ekspor 1 dipesan").wait_for()
    keys.comes_to("Ekspor")
    page.get_by_role("link", name="Unduh ZIP").wait_for(timeout=MADE_MS)
    keys.to("Unduh ZIP", 6)
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert zipfile.is_zipfile(download.value.path())
    with closing(owner(exporting.world.home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM view_log WHERE who = 'budi' AND action = 'export_taken'")
        assert cursor.fetchone() == (1,)

    pages = (
        (exporting.url, ".card", "Buka Lobi"),
        (link, ".line", "Isi garis waktu"),
        (f"{exporting.url}/exports", "a.csv.main", "Hapus"),
    )
    for address, there, last in pages:
        page.goto(address)
        page.locator(there).first.wait_for()
        page.wait_for_load_state("networkidle")
        stops = keys.all_stops()
        assert stops[0].name == "Langsung ke isi halaman"
        assert stops[-1].name.startswith(last), stops
    assert (keys.unseen, keys.nameless) == ([], [])
    assert page.errors == []
