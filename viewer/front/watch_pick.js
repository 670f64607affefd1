// A range chosen on the timeline: begun and ended at the playhead, drawn with the pointer, taken to where it is used.
Object.assign(ICONS, { begin: "M9 4H5v16h4M11 12h8M16 8.5l3.5 3.5-3.5 3.5", end: "M15 4h4v16h-4M13 12H5M8 8.5L4.5 12 8 15.5", draw: "M4 5v14M20 5v14M8 12h8M10 9l-3 3 3 3M14 9l3 3-3 3",
  hold: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3", close: "M6 6l12 12M18 6L6 18" });
class Pick {
  constructor(app) {
    Object.assign(this, { app, from: null, to: null, drawing: false });
    const w = app.w;
    const button = (name, text, label, run, more = {}) => h("button", { type: "button", class: "mark", title: label, "aria-label": label, onclick: run, ...more }, icon(name, 18), h("span", {}, text));
    this.drawButton = button("draw", w.pick_draw, w.pick_draw_label, () => this.draw(!this.drawing), { "aria-pressed": "false" });
    this.tools = h("div", { class: "group picks", role: "group", "aria-label": w.pick },
      button("begin", w.pick_begin, w.pick_begin_label, () => this.begin()), button("end", w.pick_end, w.pick_end_label, () => this.end()), this.drawButton);
    this.said = h("p", { class: "said", role: "status" });
    this.ways = h("div", { class: "ways" });
    this.node = h("section", { class: "pick", "aria-label": w.pick, hidden: true }, this.said, this.ways);
  }
  get whole() { return this.from !== null && this.to !== null; }
  get some() { return this.from !== null || this.to !== null; }
  // What is marked on the line; as long as one end is open it goes as far as the playhead.
  get band() {
    if (!this.some || this.app.at === null) return null;
    const ends = [this.from ?? Math.min(this.app.at, this.to), this.to ?? Math.max(this.app.at, this.from)];
    return ends[0] <= ends[1] ? ends : null;
  }
  give(range) { if (range) this.set(...range); }
  set(from, to, settled = true) {
    this.from = from === null ? null : Math.round(from);
    this.to = to === null ? null : Math.round(to);
    if (this.whole && this.to <= this.from) this.to = this.from + SECOND;
    this.app.line.draw();
    if (settled) this.changed();
  }
  begin() { const at = this.app.at; this.set(at, this.to !== null && this.to > at ? this.to : null); }
  end() { const at = this.app.at; this.set(this.from !== null && this.from < at ? this.from : null, at); }
  clear() { if (!this.some) return false; this.set(null, null); return true; }
  draw(on) {
    this.drawing = on;
    this.drawButton.setAttribute("aria-pressed", String(on));
    this.app.line.node.classList.toggle("drawing", on);
    this.say();
  }
  // Which end lies under the pointer, if one does.
  near(x, reach) {
    if (!this.whole) return null;
    const [from, to] = [this.from, this.to].map((ms) => Math.abs(this.app.line.x(ms) - x));
    return Math.min(from, to) > reach ? null : from < to ? "from" : "to";
  }
  // The pointer goes from one moment to another; near the playhead the playhead is meant.
  drag(fixed, ms) {
    const line = this.app.line, at = Math.abs(line.x(this.app.at) - line.x(ms)) < 5 ? this.app.at : ms;
    this.set(Math.min(fixed, at), Math.max(fixed, at), false);
    this.say();
  }
  changed() {
    this.say();
    this.app.settleNow();
    if (this.some && this.app.line.narrow) this.node.scrollIntoView({ block: "nearest" });  // what to do next lies below a phone's screen
  }
  say() { keeping(this.ways, () => this._say()); }
  _say() {
    const w = this.app.w, clock = this.app.clock, given = this.app.given;
    const hidden = !this.some && !this.drawing;
    if (hidden && this.node.contains(this.node.getRootNode().activeElement)) this.app.line.node.focus({ preventScroll: true });
    this.node.hidden = hidden;
    if (hidden) return;
    const close = h("button", { type: "button", class: "button quiet", onclick: () => { this.draw(false); this.clear(); } }, icon("close", 16), w.pick_clear);
    if (this.drawing || !this.whole) {
      this.said.replaceChildren(this.drawing ? w.pick_drawing : (this.from !== null ? w.pick_from : w.pick_to).replace("{time}", clock.time(this.from ?? this.to)));
      this.ways.replaceChildren(close);
      return;
    }
    const days = clock.day(this.from) === clock.day(this.to) ? "" : `${clock.day(this.to)} `;
    const cameras = this.app.cameras.length > 1 ? ` · ${w.pick_cameras.replace("{count}", this.app.cameras.length)}` : "";
    this.said.replaceChildren(h("b", {}, `${clock.day(this.from)} ${clock.time(this.from)} – ${days}${clock.time(this.to)} ${clock.zone(this.to)}`),
      h("span", { class: "soft" }, `${lengthText(w, (this.to - this.from) / 1000)}${cameras}`));
    this.ways.replaceChildren(...[
      given.may_take ? this._way("exports", "down", w.pick_export, SECOND, "button first") : null,
      given.may_hold ? this._way("holds", "hold", w.pick_hold, MINUTE, "button") : null,
      h("button", { class: "button", type: "button", onclick: () => this.app.marks.ask() }, icon("bookmark", 18), w.bookmark), close].filter(Boolean));
  }
  // A page whose form asks for whole seconds or minutes gets those around the range.
  _way(page, name, text, step, style) {
    const clock = this.app.clock, field = (ms) => clock.field(ms).slice(0, step === SECOND ? 19 : 16);
    const params = new URLSearchParams({ camera: this.app.cameras.map((one) => one.key).join(","),
      from: field(Math.floor(this.from / step) * step), to: field(Math.ceil(this.to / step) * step) });
    const href = `/${page}?${params}`;
    return h("a", { class: style, ...follow(href, () => this.app.leave(href)) }, icon(name, 18), text);
  }
  // ---- on the line
  paint(pen, line, c) {
    const band = this.band;
    if (!band) return;
    const [left, right] = band.map((ms) => line.x(ms)), top = 22, tall = line.height - top;
    pen.fillStyle = `color-mix(in srgb, ${c.blue} 20%, transparent)`;
    pen.fillRect(left, top, Math.max(1, right - left), tall);
    pen.fillStyle = c.blue;
    for (const [x, ms, way] of [[left, this.from, 1], [right, this.to, -1]]) {
      if (ms === null) continue;
      pen.fillRect(x - 1, top, 2, tall);
      if (this.whole && right - left < 26) continue;
      if (this.whole) { pen.beginPath(); pen.roundRect(x - 5, top + tall / 2 - 11, 10, 22, 4); pen.fill(); }
      else { pen.fillRect(Math.min(x, x + 7 * way), top, 7, 2); pen.fillRect(Math.min(x, x + 7 * way), line.height - 2, 7, 2); }
    }
    if (right < line.gutter || left > line.width || band[1] - band[0] < SECOND) return;
    const text = lengthText(this.app.w, (band[1] - band[0]) / 1000), wide = pen.measureText(text).width + 12, head = line.x(this.app.at);
    let middle = (Math.max(left, line.gutter) + Math.min(right, line.width)) / 2;
    if (right - left < wide + 24) middle = Math.abs(head - right) < Math.abs(head - left) ? left - wide / 2 - 4 : right + wide / 2 + 4;  // beside the playhead's handle
    else if (Math.abs(middle - head) < wide / 2 + 9) middle = head + (head - left > right - head ? -1 : 1) * (wide / 2 + 9);
    middle = Math.max(line.gutter + wide / 2, Math.min(line.width - wide / 2, middle));
    pen.beginPath(); pen.roundRect(middle - wide / 2, 1, wide, 20, 6); pen.fill();
    pen.fillStyle = c.back;
    pen.fillText(text, middle - wide / 2 + 6, 11.5);
  }
}
