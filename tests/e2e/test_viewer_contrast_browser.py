"""Every page in both schemes: text stands out from what is behind it (WCAG AA), and what can be used has a name."""

from __future__ import annotations

from typing import Any

import pytest

from browser_world import NEEDS_BROWSER, Viewer, new_page
from viewer import query
from viewer_world import eventually

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]

PAGES = (
    "/", "/?view=table&from=all&state=all", "/?from=2020-01-01&to=2020-01-02", "/sites", "/bookmarks", "/exports",
    "/coverage?from=2026-01-30&to=2026-02-01", "/holds", "/operations", "/alerts", "/log", "/account",
    "/watch?camera=ho/lobby,ho/gate,makassar/cashier&at=2026-01-31T01:00:01Z",
)  # fmt: skip

EVERYWHERE = """
const everything = (root, told) => {
  for (const one of root.querySelectorAll("*")) {
    if (one.shadowRoot) everything(one.shadowRoot, told);
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const shown = one.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true });
    const hidden = !shown || style.clipPath !== "none" || one.closest("[aria-hidden=true]");
    if (box.width > 1 && box.height > 1 && !hidden) told(one, style);
  }
};
"""

FAINT = (
    """() => {"""
    + EVERYWHERE
    + """
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (text) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
    return { parts: [red, green, blue], alpha: alpha / 255 };
  };
  const mixed = (top, under) => under.map((part, at) => top.parts[at] * top.alpha + part * (1 - top.alpha));
  const light = (parts) => parts.map((part) => part / 255).map((part) =>
    part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const around = (one) => one.assignedSlot || one.parentElement || (one.getRootNode().host ?? null);
  const found = {};
  everything(document, (one, style) => {
    const own_nodes = [...one.childNodes].filter((node) => node.nodeType === 3);
    const text = own_nodes.map((node) => node.textContent).join("").trim();
    if (!text || one.matches("style, script, option, noscript")) return;
    if (one.closest("[disabled], [aria-disabled=true]")) return;
    const layers = [];
    let shown = 1;
    for (let at = one; at; at = around(at)) {
      const here = getComputedStyle(at);
      shown *= Number(here.opacity);
      if (here.backgroundImage !== "none" && !layers.some((layer) => layer.alpha === 1)) return;  // on a picture
      layers.push(colour(here.backgroundColor));
    }
    if (shown < 0.05) return;
    const behind = layers.reverse().reduce((under, layer) => mixed(layer, under), [255, 255, 255]);
    const written = colour(style.color), own = mixed({ ...written, alpha: written.alpha * shown }, behind);
    const [low, high] = [light(own), light(behind)].sort((a, b) => a - b), ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const name = `${one.tagName}.${one.className} ${text.slice(0, 30)}`;
    if (ratio < (large ? 3 : 4.5)) found[name] = Number(ratio.toFixed(2));
  });
  return found;
}"""
)

SETTLED = """() => document.querySelector("[data-testid=stApp]").dataset.testScriptState === "notRunning"
  && !document.getAnimations().some((one) => one instanceof CSSTransition)"""
"""What is drawn anew for longer than a moment fades until it is there again."""

EDGES = """() => [...document.querySelectorAll("[data-testid=stCheckbox] label, [data-testid=stRadioOption]")]
  .filter((one) => !one.querySelector(":checked"))
  .map((one) => getComputedStyle(one.querySelector(
    one.matches("[data-testid=stRadioOption]") ? ":scope > div > div" : ":scope > div")).borderTopColor)"""
"""The edges of what is not ticked."""

NAMELESS = (
    """() => {"""
    + EVERYWHERE
    + """
  const found = [];
  const used = "button, a[href], input:not([type=hidden]), select, textarea, video, img,"
    + "[role=button], [role=slider], [role=combobox]";
  everything(document, (one) => {
    if (!one.matches(used) || (one.tagName === "IMG" && one.hasAttribute("alt"))) return;
    const named = (one.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean)
      .map((id) => one.getRootNode().getElementById?.(id)?.innerText || "").join("");
    const labels = [...(one.labels || [])].map((label) => label.innerText).join("");
    const own = one.getAttribute("aria-label") || one.title || one.getAttribute("alt") || one.textContent;
    if (!(own || labels || named).trim()) found.push(one.outerHTML.slice(0, 160));
  });
  return found;
}"""
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_and_everything_has_a_name(viewer: Viewer, browser: Any, scheme: str) -> None:
    page = new_page(browser, viewer, locale="id-ID", color_scheme=scheme)
    row = next(one for one in viewer.world.rows() if one.camera == "lobby" and one.copies)
    faint: dict[str, Any] = {}
    nameless: dict[str, Any] = {}
    edges: set[str] = set()
    for path in (*PAGES, f"/?recording={query.recording_text(row.id, row.start_utc)}"):
        page.goto(viewer.url + path)
        page.locator(".account .who").wait_for()
        page.wait_for_load_state("networkidle")
        eventually(lambda: page.evaluate(SETTLED))
        faint |= {f"{path} {what}": ratio for what, ratio in page.evaluate(FAINT).items()}
        nameless |= {f"{path} {what}": path for what in page.evaluate(NAMELESS)}
        edges |= set(page.evaluate(EDGES))
    assert not faint, "\n".join(f"{ratio} {what}" for what, ratio in faint.items())
    assert nameless == {}
    assert edges == {"rgb(107, 120, 133)" if scheme == "light" else "rgb(133, 147, 161)"}, "3:1 and more"
