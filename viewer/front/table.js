export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => {
    const head = h("thead", {}, h("tr", {}, data.columns.map((name) => h("th", { scope: "col" }, name))));
    const groups = data.groups.map((group) => h("tbody", {},
      h("tr", { class: "day" }, h("th", { colspan: String(data.columns.length), scope: "rowgroup" }, group.day)),
      group.cards.map(drawRow)));
    root.replaceChildren(h("div", { class: "scroll" }, h("table", {}, head, groups)));
    openedBefore(root);
  });
  function drawRow(card) {
    const open = opening(card.id, () => setTriggerValue("open", card.id));
    return h("tr", { class: "row", "data-recording": card.id, onclick: (event) => { if (!event.target.closest("a") && plainClick(event)) open(); } },
      h("td", {}, h("a", { "aria-label": card.label, ...follow(card.href, open) }, card.when)),
      h("td", {}, card.camera), h("td", { class: "soft" }, card.site), h("td", { class: "number" }, card.length),
      h("td", { class: "number" }, card.after ? `${card.before} → ${card.after}` : card.before),
      h("td", {}, h("span", { class: "state" }, badge(card.tone, card.badge, card.hint), card.marks.map((mark) => badge(mark.tone || "orange", mark.text, mark.hint))),
        card.note ? h("div", { class: "soft note" }, card.note) : null));
  }
}
