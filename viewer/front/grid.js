export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => {
    const groups = data.groups.map((group) => h("section", {},
      h("h2", { class: "day" }, group.day),
      h("div", { class: "cards" }, group.cards.map((card) => drawCard(card, data.words)))));
    root.replaceChildren(...groups);
    openedBefore(root);
  });
  function drawCard(card, words) {
    const picture = h("div", { class: "picture" });
    if (card.poster) {
      picture.append(h("img", { src: card.poster, alt: "", loading: "lazy", decoding: "async",
        onerror: (event) => event.target.replaceWith(empty(card, words)) }));
    } else picture.append(empty(card, words));
    if (card.length) picture.append(h("span", { class: "length" }, card.length));
    if (card.sprite) hoverSprite(picture, card.sprite);
    return h("a", { class: "card", "data-recording": card.id, "aria-label": card.label,
        ...follow(card.href, opening(card.id, () => setTriggerValue("open", card.id))) },
      picture,
      h("div", { class: "text" },
        h("div", { class: "names" }, h("strong", {}, card.camera), h("span", { class: "soft" }, card.site)),
        h("div", { class: "when" }, card.when),
        card.note ? h("div", { class: "note" }, card.note) : null,
        h("div", { class: "last" },
          h("div", { class: "sizes soft" }, card.after ? `${card.before} → ${card.after}` : card.before,
            card.saving ? h("span", { class: "saving" }, `−${card.saving}`) : null),
          h("span", { class: "state" }, card.marks.map((mark) => badge(mark.tone || "orange", mark.text, mark.hint)),
            badge(card.tone, card.badge, card.hint)))));
  }
  function empty(card, words) {
    return h("div", { class: "empty" }, icon(card.tone === "orange" ? "warning" : "camera", 34), h("span", {}, words.no_picture));
  }
  function hoverSprite(picture, sprite) {
    const strip = h("div", { class: "strip", hidden: true }), bar = h("i", {});
    strip.append(bar);
    picture.append(strip);
    picture.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      const box = picture.getBoundingClientRect();
      const at = Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width));
      Object.assign(strip.style, tile(sprite, Math.floor(at * sprite.tiles), box.width));
      bar.style.left = `${at * 100}%`;
      strip.hidden = false;
    });
    picture.addEventListener("pointerleave", () => { strip.hidden = true; });
  }
}
