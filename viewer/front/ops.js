// A section as a table that folds into cards where it is narrow. Only rows that have changed are made anew, so that
// nothing flickers, and what has the focus or is folded open stays so while the page renews itself.
export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  document.documentElement.lang = data.lang;
  root.tell = setTriggerValue;
  const shape = JSON.stringify([data.name, data.heads]);
  if (root.shape !== shape || !root.firstElementChild) {
    root.shape = shape;
    root.made = new Map();
    root.parts = {
      tiles: h("div", { class: "tiles" }), note: h("p", { class: "soft note" }), notice: h("p", { class: "notice", role: "status" }),
      empty: h("p", { class: "soft empty" }), foot: h("p", { class: "foot" }),
      table: h("table", { "aria-label": data.title }, h("thead", {}, h("tr", {}, data.heads.map((head) => h("th", { scope: "col" }, head))))),
    };
    const { tiles, note, notice, empty, foot, table } = root.parts;
    root.replaceChildren(tiles, h("div", { class: "title", hidden: !data.title }, h("h2", {}, data.title), note), notice, empty, h("div", { class: "box" }, table), foot);
  }
  const { tiles, note, notice, empty, foot, table } = root.parts;
  patch(tiles, data.tiles || [], () => (data.tiles || []).map(tile));
  text(note, data.note); text(notice, data.notice); text(empty, data.rows.length ? "" : data.empty);
  table.parentElement.hidden = !data.rows.length;
  patch(foot, [data.all, data.more], () => [
    data.all ? h("button", { class: "button", type: "button", onclick: () => root.tell("retry", data.all.id) }, data.all.text) : null,
    data.more ? way(data.more, { class: "button" }) : null].filter(Boolean));
  const fresh = new Map();
  let before = table.tHead;
  for (const row of data.rows) {
    const told = JSON.stringify(row), known = root.made.get(row.key);
    let node = known?.node;
    if (known?.told !== told) {
      const open = node?.querySelector("details")?.open;
      const made = body(row);
      if (open) made.querySelector("details")?.setAttribute("open", "");
      if (node) keeping(table, () => node.replaceWith(made));
      node = made;
    }
    if (before.nextElementSibling !== node) before.after(node);
    before = node;
    fresh.set(row.key, { told, node });
  }
  while (before.nextElementSibling) before.nextElementSibling.remove();
  root.made = fresh;

  function text(node, words) { if (node.textContent !== words) node.textContent = words; node.hidden = !words; }
  function patch(node, what, make) {
    const told = JSON.stringify(what);
    if (node.told === told) return;
    node.told = told;
    node.replaceChildren(...make());
    node.hidden = !node.firstElementChild;
  }
  function way(to, props) { return h("a", { ...props, ...leading(to.href) }, to.text); }
  function tile(one) {
    const inside = [h("b", {}, one.value), h("span", {}, one.label), one.note ? h("small", { class: "soft" }, one.note) : null];
    return one.href ? h("a", { class: `tile ${one.tone}`, ...leading(one.href) }, inside) : h("div", { class: `tile ${one.tone}` }, inside);
  }
  function name(one) {
    if (one.href) return way(one, { class: "main" });
    if (one.link) return h("a", { class: "main", href: one.link, target: "_blank", rel: "noopener", title: one.hint }, one.text, " ↗");
    return h("span", { class: "main" }, one.text);
  }
  function cell(one, place) {
    return h(place ? "td" : "th", { scope: place ? null : "row", "data-label": data.heads[place], class: `${one.badge ? "" : one.tone || ""} ${one.wide ? "wide" : ""}` },
      name(one), one.badge ? [" ", badge(one.tone, one.badge)] : null,
      one.bar !== undefined ? h("span", { class: "fill", role: "img", "aria-label": `${one.bar} %` }, h("i", { style: { width: `${one.bar}%` } })) : null,
      one.note ? h("small", {}, one.note) : null);
  }
  function action(one, label) {
    if (!one) return h("td", { class: "act" });
    return h("td", { class: "act" }, one.done ? h("span", { class: "soft" }, one.text)
      : h("button", { class: "button", type: "button", "aria-label": label, onclick: (event) => { event.currentTarget.disabled = true; root.tell("retry", one.id); } }, one.text));
  }
  function body(row) {
    const more = [
      (row.lines || []).length ? h("ul", {}, row.lines.map((line) => h("li", { class: line.tone }, line.text))) : null,
      row.items ? h("details", {}, h("summary", {}, row.items.summary), h("dl", {}, row.items.list.map((one) => h("div", { class: one.tone }, h("dt", {}, one.name), h("dd", {}, one.value))))) : null,
    ].filter(Boolean);
    return h("tbody", {}, h("tr", {}, row.cells.map(cell), "action" in row ? action(row.action, row.label) : null),
      more.length ? h("tr", { class: "more" }, h("td", { colspan: data.heads.length }, more)) : null);
  }
}
