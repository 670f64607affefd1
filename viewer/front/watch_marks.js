// Bookmarks: pins on the timeline, told under the pointer and as a list, and the form that sets one.
Object.assign(ICONS, { bookmark: "M7 4h10v16l-5-4-5 4z" });
class Marks {
  constructor(app) {
    const w = app.w;
    this.app = app;
    this.button = h("button", { type: "button", class: "mark", title: w.bookmark_label, "aria-label": w.bookmark_label, onclick: () => this.ask() }, icon("bookmark", 18), h("span", {}, w.bookmark));
    this.list = h("ul");
    this.count = h("span");
    this.node = h("details", { class: "list marks", hidden: true }, h("summary", {}, w.bookmark_list, " ", this.count), this.list,
      h("a", { class: "all", ...follow("/bookmarks", () => app.leave("/bookmarks")) }, w.bookmark_all));
    this.dialog = h("dialog", { class: "help form", "aria-label": w.bookmark_new, onclick: (event) => { if (event.target === this.dialog) this.dialog.close(); },
      onkeydown: (event) => event.stopPropagation() });  // what is written there are no keys of the page
  }
  get all() { return this.app.data.marked || []; }

  // ---- set one
  ask() {
    const app = this.app, w = app.w, clock = app.clock;
    app.stop();
    const range = app.pick.whole ? [app.pick.from, app.pick.to] : [Math.round(app.at), Math.round(app.at)];
    const note = h("textarea", { class: "field", rows: "3", maxlength: "2000" }), fault = h("p", { class: "message", role: "alert", hidden: true });
    const tags = h("input", { class: "field", type: "text", maxlength: "500", placeholder: w.bookmark_tags_example, autocomplete: "off", autocapitalize: "none" });
    const boxes = app.cameras.map((camera) => {
      const box = h("input", { type: "checkbox", value: camera.key });
      box.checked = app.pick.whole || camera === app.cameras[app.main];
      return h("label", { class: "row" }, box, h("span", {}, camera.name));
    });
    const save = h("button", { class: "button first", type: "submit" }, icon("check", 16), w.bookmark_save);
    const when = range[1] > range[0] ? `${clock.day(range[0])} ${clock.time(range[0])} – ${clock.time(range[1])} ${clock.zone(range[1])} (${lengthText(w, (range[1] - range[0]) / 1000)})` : clock.full(range[0]);
    const form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      save.disabled = true;
      const cameras = boxes.map((one) => one.firstChild).filter((one) => one.checked).map((one) => one.value);
      const answer = await fetch(`/api/watch/bookmark?lang=${app.given.lang}`, { method: "POST", headers: { "X-Vms-Page": "watch", "Content-Type": "application/json" },
        body: JSON.stringify({ cameras, from: range[0], to: range[1], note: note.value, tags: tags.value }) }).catch(() => null);
      save.disabled = false;
      if (!answer?.ok) {
        fault.textContent = (await answer?.json().catch(() => null))?.error || w.broken;
        fault.hidden = false;
        return;
      }
      this.dialog.close();
      app.copied.textContent = w.bookmark_saved;
      setTimeout(() => { app.copied.textContent = ""; }, 3000);
      app.data.again();
    } }, h("h3", {}, w.bookmark_new), h("p", { class: "soft when" }, when), app.cameras.length > 1 ? h("fieldset", {}, boxes) : null,
    h("label", {}, w.bookmark_note, note), h("label", {}, w.bookmark_tags, tags), fault,
    h("div", { class: "ways" }, save, h("button", { class: "button", type: "button", onclick: () => this.dialog.close() }, w.cancel)));
    this.dialog.replaceChildren(form);
    this.dialog.showModal();
    note.focus();
  }

  // ---- tell of those that there are
  loaded() {
    const app = this.app, name = new Map(app.cameras.map((one) => [one.key, one.name]));
    this.node.hidden = !this.all.length;
    this.count.textContent = `(${this.all.length})`;
    keeping(this.list, () => this.list.replaceChildren(...this.all.map((one) => h("li", {}, h("button", { type: "button", class: "jump", onclick: () => this.open(one) }, app.clock.full(one.from)),
      h("div", {}, this.text(one)), h("div", { class: "soft" }, one.cameras.map((key) => name.get(key) || key).join(", "))))));
  }
  text(one) {
    return [one.note ? h("span", { class: "noted" }, one.note) : null, one.tags.map((tag) => h("span", { class: "tag" }, tag)), h("span", { class: "soft" }, one.who)];
  }
  open(one) {
    if (one.to > one.from && !this.app.pick.some) this.app.pick.set(one.from, one.to);
    this.app.seek(one.from);
  }
  // The bookmarks whose pin lies under the pointer, the nearest first.
  near([x, y], reach) {
    const line = this.app.line;
    if (y < 24) return [];
    const camera = this.app.cameras[line.row(y)].key, far = (one) => Math.abs(line.x(one.from) - x);
    return this.all.filter((one) => one.cameras.includes(camera) && far(one) <= reach).sort((one, other) => far(one) - far(other)).slice(0, 3);
  }
  paint(pen, line, key, top, tall, c) {
    for (const one of this.all) {
      if (!one.cameras.includes(key)) continue;
      const x = line.x(one.from), end = line.x(one.to);
      if (end < line.gutter - 8 || x > line.width + 8) continue;
      pen.fillStyle = c.violet;
      if (one.to > one.from) pen.fillRect(x, top + tall - 4, Math.max(2, end - x), 4);
      pen.beginPath();
      pen.moveTo(x - 5, top - 2); pen.lineTo(x + 5, top - 2); pen.lineTo(x + 5, top + 12); pen.lineTo(x, top + 8); pen.lineTo(x - 5, top + 12);
      pen.closePath(); pen.fill();
      pen.strokeStyle = c.back; pen.lineWidth = 1.2; pen.stroke();
    }
  }
}
