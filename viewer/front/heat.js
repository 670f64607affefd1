export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => {
    const tip = h("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
    root.style.setProperty("--days", data.days.length);
    root.classList.toggle("dense", data.days.length > 45);
    root.replaceChildren(h("h1", {}, data.title), summary(data), pages(), legend(data), ...data.sites.map((site) => drawSite(site, tip)),
      pages(), h("p", { class: "soft more" }, data.counted), h("p", { class: "soft keys" }, data.words.keys),
      data.gaps.length ? gapList(data.words.gaps, data.gaps) : "", tip);
  });
  function summary() {
    const s = data.summary;
    return h("div", { class: "summary", role: "status" }, s.there ? h("b", {}, s.there) : null, h("span", {}, s.of), s.missing ? badge(s.tone, s.missing) : null, s.waiting ? badge("blue", s.waiting) : null);
  }
  // Above the map and below it; who goes on from below it begins above the next one.
  function pages() {
    if (!data.pages) return "";
    const go = (one) => {
      leave(one.href);
      const top = root.querySelector(".pages");
      top.scrollIntoView({ block: "nearest" });
      top.querySelector(`[data-way=${one.way}]`).focus({ preventScroll: true });
    };
    return h("div", { class: "pages" }, h("span", {}, data.pages.text),
      data.pages.ways.map((one) => h("a", { class: "button", "data-way": one.way, ...follow(one.href, () => go(one)) }, one.text)));
  }
  function legend() {
    return h("ul", { class: "legend" }, data.legend.map((one) => h("li", {},
      h("i", { class: `cell ${one.tone}`, style: fill(one.fill * 10) }), one.text)));
  }
  function drawSite(site, tip) {
    const head = h("div", { class: "line head", "aria-hidden": "true" }, h("span", {}, data.words.camera),
      h("div", { class: "cells" }, data.days.map((day) => h("span", {}, day.month ? h("b", {}, day.month) : null, day.number))),
      h("span", { class: "there soft" }, data.words.there));
    const rows = site.rows.map((row) => h("div", { class: "line", role: "row" },
      h("a", { class: "camera", role: "rowheader", title: row.name, ...leading(address(site, row)) }, row.name),
      h("div", { class: "cells", role: "presentation" }, row.cells.map((cell, at) => drawCell(site, row, cell, at, tip))),
      h("span", { class: "there" }, row.there)));
    const grid = h("div", { class: "grid", role: "grid", "aria-label": `${site.name}: ${data.words.grid}`, onkeydown: move }, rows);
    const first = grid.querySelector("a.cell");
    if (first) first.tabIndex = 0;
    return h("section", { class: "site", "data-site": site.id },
      h("div", { class: "top" }, h("h2", {}, site.name), h("span", { class: "soft" }, site.zone), h("b", { class: "there" }, site.there)), head, grid);
  }
  function drawCell(site, row, [share, tone, percent, lines, isThere], at, tip) {
    const day = data.days[at];
    const label = `${row.name}, ${day.long}: ${percent}${lines.length ? `. ${lines.join(". ")}` : ""}`;
    const show = () => showTip(tip, node, row, day, percent, lines);
    const href = isThere ? watch(site, row, day) : address(site, row, day);
    const node = h("a", { class: `cell ${tone}`, role: "gridcell", tabindex: "-1", "aria-label": label, style: fill(share),
      href, onpointerenter: (event) => { if (event.pointerType !== "touch") show(); },
      onpointerleave: (event) => { if (event.pointerType !== "touch") tip.hidden = true; },
      onfocus: show, onblur: () => { tip.hidden = true; },
      onclick: (event) => {
        if (!plainClick(event)) return;
        event.preventDefault();
        // a finger hides what it points at: the first touch tells, the second one opens
        if (event.pointerType === "touch" && root.told !== node) { root.told = node; show(); return; }
        leave(href);
      } });
    return node;
  }
  function fill(share) {
    // what little is missing must be seen, and what little is there
    const shown = share >= 1000 || share <= 0 ? share / 10 : Math.min(88, Math.max(12, share / 10));
    return { backgroundSize: `100% ${shown}%, auto` };
  }
  function showTip(tip, node, row, day, percent, lines) {
    tip.replaceChildren(h("b", {}, percent), h("span", {}, `${row.name} · ${day.long}`),
      lines.length ? h("ul", {}, lines.map((line) => h("li", {}, line))) : "", h("small", { class: "soft" }, data.words.open));
    tip.hidden = false;
    const box = node.getBoundingClientRect(), frame = root.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(0, box.left + box.width / 2 - own.width / 2 - frame.left), frame.width - own.width);
    const above = box.top - own.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${(above > 8 ? above : box.bottom + 8) - frame.top}px`;
  }
  function move(event) {
    const cell = event.target.closest("a.cell");
    if (!cell) return;
    const row = [...cell.parentElement.children], at = row.indexOf(cell);
    const lines = [...root.querySelectorAll(".grid .cells")], line = lines.indexOf(cell.parentElement);
    const last = row.length - 1;
    const to = { ArrowLeft: [line, at - 1], ArrowRight: [line, at + 1], ArrowUp: [line - 1, at], ArrowDown: [line + 1, at],
      Home: [line, 0], End: [line, last], PageUp: [line - 10, at], PageDown: [line + 10, at] }[event.key];
    if (event.key === "Escape") root.querySelector(".tip").hidden = true;
    if (!to) return;
    event.preventDefault();
    const next = lines[Math.min(lines.length - 1, Math.max(0, to[0]))].children[Math.min(last, Math.max(0, to[1]))];
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
  function address(site, row, day) {
    const first = (day || data.days[0]).iso, last = (day || data.days[data.days.length - 1]).iso;
    return `/?camera=${site.id}%2F${row.camera}&from=${first}&to=${last}&state=all`;
  }
  function watch(site, row, day) { return `/watch?camera=${site.id}%2F${row.camera}&day=${day.iso}`; }
}
