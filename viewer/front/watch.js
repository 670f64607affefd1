// The page Watch: one clock, a timeline of all cameras, and the picture of those that are shown.
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16];
Object.assign(ICONS, {
  pause: "M8 5v14M16 5v14", back10: "M11 7 6 12l5 5M18 7l-5 5 5 5", forth10: "M13 7l5 5-5 5M6 7l5 5-5 5",
  nearer: "M12 5v14M5 12h14", farther: "M5 12h14", sound: "M4 9v6h4l5 4V5L8 9zM17 9a4 4 0 0 1 0 6",
  mute: "M4 9v6h4l5 4V5L8 9zM17 9l5 6M22 9l-5 6", first: "M6 5v14M19 5l-9 7 9 7z", last: "M18 5v14M5 5l9 7-9 7z", full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
});
class App {
  constructor(root, given) {
    Object.assign(this, { root, given, w: given.words, alive: true, main: 0, at: null, playing: false, rate: 1, muted: true, cameras: [], tiles: [] });
    this.data = new Data(this);
    this.clock = new Clock([[0, 0, ""]], given.months);
    this.line = new Line(this);
    this.build();
    this.given = { ...given, cameras: [] };
    this.take(given);
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    const frame = () => { if (!this.alive) return; this.tick(); this.frame = requestAnimationFrame(frame); };
    frame();
  }
  destroy() {
    this.alive = false;
    cancelAnimationFrame(this.frame);
    document.removeEventListener("keydown", this.onKey);
    clearTimeout(this.settling);
    this.tiles.forEach((one) => one.destroy());
    this.line.destroy();
  }
  // What the page gives: at first, and again when cameras or the moment are others.
  take(given) {
    const before = this.given, keys = (some) => some.cameras.map((one) => one.key).join();
    this.given = given;
    const fresh = keys(before) !== keys(given), moved = given.at !== null && (given.at !== before.at || this.at === null);
    if (fresh) {
      this.cameras = given.cameras;
      this.main = 0;
      this.data.forget();
      this.tiles.forEach((one) => one.destroy());
      this.tiles = this.cameras.slice(0, 1).map((camera) => new Player(this, camera));
      this.stage.replaceChildren(...this.tiles.map((one) => one.node));
      this.clock = new Clock([[0, 0, ""]], given.months);
    }
    if (moved) this.at = given.at;
    if (this.at === null) this.at = Date.now();
    if (fresh || moved) {
      const span = this.line.from && !moved ? this.line.span : 3 * HOUR;
      this.line.resize();
      this.line.show(this.at - span / 2, this.at + span / 2);
      this.seek(this.at);
    }
  }

  // ---- what is on the page
  build() {
    const w = this.w;
    const button = (name, label, run, more = {}) => h("button", { type: "button", class: "tool", title: label, "aria-label": label, onclick: run, ...more }, icon(name, 20));
    this.stage = h("div", { class: "stage" });
    this.playButton = button("play", w.play, () => this.toggle(), { class: "tool big" });
    this.muteButton = button("mute", w.sound, () => this.mute());
    this.field = h("input", { type: "datetime-local", step: "1", class: "field", "aria-label": w.moment,
      onchange: () => { const at = this.clock.parse(this.field.value); if (at) { this.line.show(at - this.line.span / 2, at + this.line.span / 2); this.seek(at); } } });
    this.zone = h("span", { class: "zone" });
    this.message = h("p", { class: "message", role: "alert", hidden: true });
    this.copied = h("span", { role: "status", class: "soft" });
    this.tools = h("div", { class: "tools", role: "toolbar", "aria-label": w.tools },
      h("div", { class: "group" }, button("first", w.previous, () => this.step("recording", "previous")), button("back10", w.back10, () => this.seek(this.at - 10 * SECOND)),
        this.playButton, button("forth10", w.forth10, () => this.seek(this.at + 10 * SECOND)), button("last", w.next, () => this.step("recording", "next"))),
      h("div", { class: "group when" }, this.field, this.zone),
      h("div", { class: "group" }, this.muteButton, button("full", w.full, () => this.full()),
        button("link", w.copy_link, async () => {
          await copyText(this.address().href);
          this.copied.textContent = w.copied;
          setTimeout(() => { this.copied.textContent = ""; }, 2000);
        }), this.copied),
      h("div", { class: "group end" }, button("farther", w.farther, () => this.line.zoom(2)), button("nearer", w.nearer, () => this.line.zoom(0.5)),
        ...[["hour", HOUR], ["day", DAY], ["week", 7 * DAY], ["month", 31 * DAY]].map(([name, span]) =>
          h("button", { type: "button", class: "span", onclick: () => this.line.show(this.at - span / 2, this.at + span / 2) }, w[name]))));
    const example = (name, text) => h("li", {}, h("i", { class: `key ${name}` }), text);
    this.legend = h("ul", { class: "legend" }, ["all", "lacking", "site", "damaged", "held", "gap", "settled"].map((name) => example(name, w[`key_${name}`])));
    this.list = h("tbody");
    const table = h("details", { class: "list", ontoggle: () => this.fillList() }, h("summary", {}, w.list),
      h("div", { class: "scroll" }, h("table", {}, this.list)));
    this.table = table;
    this.root.replaceChildren(this.stage, this.message, this.tools, h("div", { class: "lines" }, this.line.node, this.line.tip), this.legend, table,
      h("p", { class: "soft keys" }, w.keys));
  }
  address() {
    const url = new URL(location.href);
    url.searchParams.delete("site");
    url.searchParams.set("camera", this.cameras.map((one) => one.key).join(","));
    url.searchParams.set("at", new Date(Math.floor(this.at / 1000) * 1000).toISOString().replace(".000", ""));
    return url;
  }
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => { if (this.alive) history.replaceState(history.state, "", this.address()); }, 700);
  }
  fault(text) { this.message.textContent = text; this.message.hidden = !text; }
  loadedTimeline() {
    this.fault("");
    this.clock = new Clock(this.data.clock || [[0, 0, "UTC"]], this.given.months);
    this.line.draw();
    this.paint(true);
    if (this.table.open) this.fillList();
    for (const tile of this.tiles) if (tile.explained) this.explain(tile, this.at);
  }
  viewed() {
    const node = this.line.node;
    node.setAttribute("aria-valuemin", String(Math.floor(this.line.from / 1000)));
    node.setAttribute("aria-valuemax", String(Math.floor(this.line.to / 1000)));
    if (this.cameras.length) this.data.want(this.line.from, this.line.to);
  }
  fillList() {
    if (!this.table.open) return;
    const rows = [];
    for (const camera of this.cameras) {
      const row = this.data.of(camera.key);
      if (!row) continue;
      const seen = (one) => row.from + one[0] < this.line.to && row.from + one[0] + one[1] > this.line.from;
      const all = [...row.spans.filter(seen), ...row.gaps.filter(seen).map((one) => [...one, "gap"])].sort((one, other) => one[0] - other[0]);
      for (const one of all.slice(0, 300)) {
        const from = row.from + one[0];
        rows.push(h("tr", {}, h("td", {}, camera.name),
          h("td", {}, h("button", { type: "button", class: "jump", onclick: () => this.seek(from) }, this.clock.full(from))),
          h("td", {}, lengthText(this.w, one[1] / 1000)), h("td", {}, this.data.stateAt(camera.key, from + 1))));
      }
    }
    this.list.replaceChildren(...rows);
  }

  // ---- time
  get lead() { return this.tiles[0]; }
  tick() {
    const wall = this.playing && !this.seeking && this.lead ? this.lead.wall : null;
    if (wall !== null && Math.abs(wall - this.at) > 20) {
      const jumped = Math.abs(wall - this.at) > 5 * SECOND * Math.max(1, this.rate);
      this.at = wall;
      this.line.keep(wall);
      this.line.draw();
      this.paint();
      if (jumped) this.lead.showFlaw(this.lead.piece);
      if (this.lead.loaded && wall > this.lead.loaded[1] - 3 * SECOND && this.lead.covers(wall)) this.ended(this.lead);
    }
  }
  paint(force = false) {
    const second = Math.floor(this.at / 1000);
    if (second === this.painted && !force) return;
    this.painted = second;
    for (const tile of this.tiles) tile.stamp.replaceChildren(h("b", {}, tile.camera.name), h("span", {}, this.clock.full(this.at)));
    if (this.root.getRootNode().activeElement !== this.field) this.field.value = this.clock.field(this.at);
    this.zone.textContent = this.clock.zone(this.at);
    const node = this.line.node;
    node.setAttribute("aria-valuenow", String(second));
    if (second % 5 === 0 || force || !this.playing) node.setAttribute("aria-valuetext", `${this.clock.full(this.at)}, ${this.data.stateAt(this.cameras[this.main].key, this.at)}`);
    this.settle();
  }
  async seek(ms) {
    this.at = Math.max(DAY, ms);
    this.seeking = true;
    this.line.keep(this.at);
    this.line.draw();
    this.paint(true);
    const turn = (this.turn = (this.turn || 0) + 1);
    const there = await this.lead.seek(this.at);
    if (turn !== this.turn) return;
    this.seeking = false;
    if (there && this.playing) this.lead.play();
  }
  scrub(ms) {
    this.at = ms;
    this.line.draw();
    this.paint();
    if (this.lead.covers(ms) && this.lead.pieceAt(ms)) this.lead.seek(ms);
  }
  resume(tile) { if (tile === this.lead) this.seek(this.at); }
  choose(index) {
    if (index === this.main || !this.cameras[index]) return;
    this.main = index;
    this.tiles.forEach((one) => one.destroy());
    this.tiles = [new Player(this, this.cameras[index])];
    this.stage.replaceChildren(...this.tiles.map((one) => one.node));
    this.clock = new Clock(this.data.clock || [[0, 0, ""]], this.given.months);
    this.seek(this.at);
  }
  // Why there is no picture at this moment, and the way on.
  explain(tile, ms) {
    tile.explained = true;
    const left = tile.leftOut.find((one) => ms >= one.from && ms < Math.max(one.to, one.from + 1000));
    const said = left ? left.text : this.data.of(tile.camera.key) ? this.data.stateAt(tile.camera.key, ms) : this.w.is_nothing;
    const action = left ? { text: this.w.open, run: () => { location.href = `/?recording=${left.id}`; } }
      : { text: this.w.next, run: () => this.step("recording", "next") };
    tile.said = null;
    tile.say(said, action);
  }
  async ended(tile) {
    if (tile !== this.lead || this.ending) return;
    this.ending = true;
    const last = tile.pieces.at(-1), from = last ? last.from + last.length * 1000 : this.at;
    try {
      const near = await this.data.ask("step", { camera: tile.camera.key, what: "recording", way: "next", at: Math.round(from - 1000) });
      if (near.at === null) { this.stop(); this.at = from; this.explain(tile, from); } else { tile.loaded = null; await this.seek(near.at); }
    } catch { this.stop(); }
    this.ending = false;
  }
  step(what, way) {  // one after the other, however fast the key is pressed
    this.stepping = (this.stepping || Promise.resolve()).then(() => this._step(what, way));
    return this.stepping;
  }
  async _step(what, way) {
    try {
      const found = await this.data.ask("step", { camera: this.cameras[this.main].key, what, way, at: Math.round(this.at + (way === "previous" ? -2000 : 1)) });
      if (found.at === null) this.fault(way === "next" ? this.w.no_next : this.w.no_previous);
      else { this.fault(""); this.seek(found.at); }
    } catch (error) { this.fault(error.said || this.w.broken); }
  }
  async toggle() {
    if (this.playing) { this.stop(); return; }
    this.playing = true;
    this._playIcon();
    if (!this.lead.covers(this.at) || !this.lead.pieceAt(this.at)) {
      await this.seek(this.at);
      if (this.lead.pieces.length === 0 || !this.lead.pieceAt(this.at)) await this.step("recording", "next");
    } else this.lead.play();
  }
  stop() { this.playing = false; this.tiles.forEach((one) => one.video.pause()); this._playIcon(); }
  _playIcon() {
    this.playButton.replaceChildren(icon(this.playing ? "pause" : "play", 22));
    const label = this.playing ? this.w.pause : this.w.play;
    this.playButton.setAttribute("aria-label", label);
    this.playButton.title = label;
  }
  mute() {
    this.muted = !this.muted;
    this.tiles.forEach((one) => { one.video.muted = this.muted; });
    this.muteButton.replaceChildren(icon(this.muted ? "mute" : "sound", 20));
    this.muteButton.setAttribute("aria-pressed", String(!this.muted));
  }
  full() { if (document.fullscreenElement) document.exitFullscreen(); else this.stage.requestFullscreen?.(); }

  key(event) {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, onButton = /^(BUTTON|A|SUMMARY)$/.test(target.tagName);
    const step = event.shiftKey ? MINUTE : 10 * SECOND;
    const line = this.line;
    const does = {
      " ": () => { if (onButton) return false; this.toggle(); }, k: () => this.toggle(),
      ArrowLeft: () => this.seek(this.at - step), ArrowRight: () => this.seek(this.at + step),
      n: () => this.step("recording", "next"), p: () => this.step("recording", "previous"),
      "+": () => line.zoom(0.5), "=": () => line.zoom(0.5), "-": () => line.zoom(2),
      PageUp: () => line.show(line.from - line.span, line.from), PageDown: () => line.show(line.to, line.to + line.span),
      m: () => this.mute(), f: () => this.full(),
    }[key];
    if (!does || does() === false) return;
    event.preventDefault();
  }
}
export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".root");
  document.documentElement.lang = data.lang;
  if (root.app && root.app.given.lang !== data.lang) { root.app.destroy(); root.app = null; }
  if (!root.app) root.app = new App(root, data);
  else root.app.take(data);
  return () => setTimeout(() => { if (!root.isConnected && root.app) { root.app.destroy(); root.app = null; } }, 0);
}
