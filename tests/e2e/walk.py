"""The way of somebody who has never seen the viewer, on a phone: signs in, finds, plays, marks, exports, downloads.

Everything is done by what is to be seen on the page, in Indonesian. Each step is pictured, what it took is counted; how
long it took is told and never judged, as it says how busy the machine is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from viewer_world import PASSWORD, eventually

SCREEN = {"width": 360, "height": 740}
MADE_MS = 300_000
"""Exports are made at the lowest priority: on a busy machine the one that is waited for comes last."""

LEAST_TARGET = 40
"""Pixels of height that a finger needs."""

_SMALL = """least => {
  const found = [], fields = "input:not([type=hidden]):not([type=checkbox])";
  const look = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.shadowRoot) look(node.shadowRoot);
      if (node.disabled || !node.matches(`button, a[href], select, summary, textarea, ${fields}`)) continue;
      const box = node.getBoundingClientRect(), style = getComputedStyle(node);
      const tall = Math.max(box.height, node.closest("label, [data-baseweb]")?.getBoundingClientRect().height || 0);
      const seen = style.visibility !== "hidden" && style.opacity !== "0" && Math.min(box.width, box.height) > 1;
      const name = node.getAttribute("aria-label") || node.innerText || node.className;
      if (seen && tall < least) found.push(`${node.tagName} ${name.trim()}: ${Math.round(tall)}`);
    }
  };
  look(document);
  return found;
}"""


@dataclass
class Walk:
    """One person's way. pictures: a folder for the screenshots. small: what is too small for a finger, by step."""

    page: Any
    pictures: Path
    taps: int = 0
    typed: int = 0
    began: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)
    small: dict[str, list[str]] = field(default_factory=dict)

    def tap(self, role: str, name: str | re.Pattern[str], within: str = "body") -> None:
        """Tap the one that is called so."""
        exact = isinstance(name, str)
        self.page.locator(within).get_by_role(role, name=name, exact=exact).first.tap()
        self.taps += 1

    def write(self, label: str | re.Pattern[str], text: str) -> None:
        """Write into the field that is called so, which takes a tap, too."""
        where = self.page.get_by_label(label).first
        where.tap()
        where.fill(text)
        self.taps += 1
        self.typed += len(text)

    def arrived(self, step: str) -> None:
        """The step is done: picture the page, see that it fits, note what is too small."""
        self.steps.append((step, time.monotonic() - self.began))
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.pictures / f"{len(self.steps):02}-{step}.png")
        assert self.page.evaluate("document.documentElement.scrollWidth") <= SCREEN["width"], step
        small = self.page.evaluate(_SMALL, LEAST_TARGET)
        if small:
            self.small[step] = small

    @property
    def told(self) -> str:
        ways = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.steps)
        return f"{self.steps[-1][1]:.0f} s, {self.taps} taps, {self.typed} letters typed ({ways}); {self.pictures}"


def back_to(time: str, stamp: Any, back: Callable[[], None]) -> None:
    """Where it was paused, or some recordings before: on a busy machine a pause comes late."""
    while time not in (at := stamp.inner_text()):
        back()
        eventually(lambda at=at: stamp.inner_text() != at)


def walk(page: Any, url: str, pictures: Path, reason: str) -> tuple[Walk, Any]:
    """budi goes from the sign-in to a ZIP in his hand: the walk, and the download."""
    page.set_viewport_size(SCREEN)
    one = Walk(page, pictures)
    page.goto(url)
    page.get_by_role("heading", name="Masuk").wait_for()
    one.arrived("masuk")
    one.write("Nama pengguna", "budi")
    one.write("Kata sandi", PASSWORD)
    one.tap("button", "Masuk")
    page.locator(".card").first.wait_for()
    one.arrived("cari")

    one.tap("button", re.compile("Semua kamera"))
    page.get_by_role("checkbox", name=re.compile("^Gerbang")).wait_for()
    for camera in ("Lobi", "Gerbang"):
        one.tap("checkbox", re.compile(f"^{camera}"))
        page.get_by_role("button", name=re.compile("^Lobi" if camera == "Lobi" else "^Kantor Pusat")).first.wait_for()
    one.arrived("pilih-kamera")
    one.tap("button", re.compile("^Kantor Pusat"))
    eventually(lambda: page.locator(".card").count() == 4)
    one.arrived("hasil")
    one.tap("link", re.compile("Lihat di garis waktu"))

    stamp = page.locator(".stamp").first
    page.locator(".tile video").nth(1).wait_for(state="attached")
    eventually(lambda: "08:10:0" in stamp.inner_text())
    one.arrived("tonton")
    for before in ("08:05:0", "08:00:0"):
        one.tap("button", "Rekaman sebelumnya")
        eventually(lambda before=before: before in stamp.inner_text())
    one.tap("button", "Awal rentang di sini (I)")
    page.get_by_text(re.compile("^Awal: 08:00:0")).wait_for()
    one.arrived("awal")
    one.tap("button", "Putar (spasi)")
    eventually(lambda: "08:00:0" not in stamp.inner_text())
    one.tap("button", re.compile(r"^(Jeda|Putar) \(spasi\)"))  # at the end of all footage it has stopped by itself
    page.get_by_role("button", name="Putar (spasi)").wait_for()
    back_to("08:05:0", stamp, lambda: one.tap("button", "Rekaman sebelumnya"))
    one.tap("button", "Akhir rentang di sini (O)")
    chosen = page.locator(".pick .said")
    eventually(lambda: re.match(r"31 Jan 08:00:0\d \S 08:05:0\d WIB", chosen.inner_text()))
    assert "2 kamera" in chosen.inner_text()
    one.arrived("akhir")

    one.tap("link", "Ekspor", within=".pick")
    page.get_by_text(re.compile(r"^3 rekaman, .* panjang rekaman")).wait_for()
    eventually(lambda: page.get_by_label("Dari (jam)").input_value().startswith("08:00:0"))  # it fills itself in
    one.arrived("ekspor")
    page.get_by_text("Paket bukti").first.tap()
    one.taps += 1
    one.write(re.compile("^Alasan"), reason)
    page.get_by_label(re.compile("^Alasan")).press("Tab")
    one.tap("button", "Pesan")
    page.get_by_text(re.compile("Ekspor 1 dipesan")).wait_for()
    one.arrived("dipesan")
    page.get_by_role("link", name="Unduh ZIP").wait_for(timeout=MADE_MS)
    with page.expect_download() as download:
        one.tap("link", "Unduh ZIP")
    one.arrived("diunduh")
    return one, download.value
