// The page Watch: one clock, a timeline of all cameras, and the picture of those that are shown.
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16], ROOMS = [1, 4, 9];
Object.assign(ICONS, {
  pause: "M8 5v14M16 5v14", back10: "M11 7 6 12l5 5M18 7l-5 5 5 5", forth10: "M13 7l5 5-5 5M6 7l5 5-5 5",
  nearer: "M12 5v14M5 12h14", farther: "M5 12h14", sound: "M4 9v6h4l5 4V5L8 9zM17 9a4 4 0 0 1 0 6",
  mute: "M4 9v6h4l5 4V5L8 9zM17 9l5 6M22 9l-5 6", first: "M6 5v14M19 5l-9 7 9 7z", last: "M18 5v14M5 5l9 7-9 7z", lens: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21M10.5 7.5v6M7.5 10.5h6",
  calendar: "M5 6h14v14H5zM5 10h14M9 3.5V7M15 3.5V7",
  shot: "M4 8h4l1.5-2.5h5L16 8h4v11H4zM12 10a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4z", help: "M9 9a3 3 0 1 1 4.2 2.7c-.9.5-1.2 1-1.2 2.1M12 17.2v.3",
  gapback: "M4 5v14M20 5v14M10 8l-4 4 4 4M12 12h2M17 12h.5", gapforth: "M4 5v14M20 5v14M14 8l4 4-4 4M10 12h2M6.5 12h.5", thin: "M5 18v-3M10 18v-6M15 18v-9M20 18V6M3 4l18 17", full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
});
// What of the timeline the address shows: &seen=2026-01-31T01:00:00Z,3600 from when on, and how many seconds of it.
function linkedView() {
  const [at, seconds] = (new URLSearchParams(location.search).get("seen") || "").split(",");
  const from = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(at) ? Date.parse(at) : NaN, span = Number(seconds) * SECOND;
  return from > DAY && span >= LEAST_VIEW && span <= MOST_VIEW ? [from, from + span] : null;
}
class App {
  constructor(root, given) {
    Object.assign(this, { root, given, w: given.words, alive: true, main: 0, at: null, playing: false, rate: 1, muted: true, cameras: [], tiles: [], leader: null, playedFrom: null });
    const asked = new URLSearchParams(location.search);
    this.room = Number(asked.get("show")) || 0;
    if (SPEEDS.includes(Number(asked.get("speed")))) this.rate = Number(asked.get("speed"));
    this.data = new Data(this);
    this.clock = new Clock([[0, 0, ""]], given.months);
    this.line = new Line(this);
    this.pick = new Pick(this);
    this.marks = new Marks(this);
    this.build();
    this.given = { ...given, cameras: [] };
    this.take(given);
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.renewal = setInterval(() => { if (!document.hidden && this.cameras.length) this.data.want(this.line.from, this.line.to); }, 15 * SECOND);
    this.fitting = new ResizeObserver(() => requestAnimationFrame(() => this.alive && this.fit()));
    for (const one of [this.tools, this.lines, document.body, document.querySelector("[data-testid=stMainBlockContainer]")]) if (one) this.fitting.observe(one);
    addEventListener("pagehide", this.onHide = () => this.tellPlayed());
    document.addEventListener("fullscreenchange", this.onFull = () => this.fit());
    const frame = () => { if (!this.alive) return; this.tick(); this.frame = requestAnimationFrame(frame); };
    frame();
  }
  destroy() {
    this.tellPlayed();
    this.alive = false;
    removeEventListener("pagehide", this.onHide);
    cancelAnimationFrame(this.frame);
    document.removeEventListener("keydown", this.onKey);
    clearTimeout(this.settling);
    clearInterval(this.renewal);
    this.fitting.disconnect();
    document.removeEventListener("fullscreenchange", this.onFull);
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
      this.fill();
      this.clock = new Clock([[0, 0, ""]], given.months);
    }
    if (moved) this.at = given.at;
    if (this.at === null) this.at = Date.now();
    if (String(given.range) !== String(before.range) || !this.taken) this.pick.give(given.range);
    this.taken = true;
    if (fresh || moved) {
      const span = this.line.from && !moved ? this.line.span : 3 * HOUR, linked = this.line.from ? null : linkedView();
      this.line.resize();
      if (given.day) this.line.show(...given.day); else this.line.show(...(linked || [this.at - span / 2, this.at + span / 2]));
      if (linked) { this.paint(true); this.seekOn(this.at); } else this.seek(this.at);
    }
  }

  // ---- which cameras have a picture
  get shown() { return ROOMS.includes(this.room) ? this.room : this.cameras.length > 1 ? 4 : 1; }
  fill() {
    this.tellPlayed();
    const first = this.shown === 1 ? [this.cameras[this.main]] : this.cameras.slice(0, this.shown);
    if (!first.includes(this.cameras[this.main])) first[first.length - 1] = this.cameras[this.main];
    const kept = new Map(this.tiles.map((one) => [one.camera.key, one]));
    this.tiles = first.map((camera) => { const old = kept.get(camera.key); kept.delete(camera.key); return old || new Player(this, camera); });
    kept.forEach((one) => one.destroy());
    this.leader = null;
    this.stage.replaceChildren(...this.tiles.map((one) => one.node));
    this.fit();
    this.stage.classList.toggle("many", this.tiles.length > 1);
    for (const one of this.rooms) one.setAttribute("aria-pressed", String(Number(one.dataset.room) === this.shown));
    this.roomGroup.hidden = this.cameras.length < 2;
    this.mark();
  }
  // Pictures and timeline are seen at once: the stage is as high as the screen leaves room for beside the tools and the
  // first rows of the timeline, and has the columns in which the pictures are largest.
  fit() {
    const full = this.stage.matches(":fullscreen"), stage = this.stage.getBoundingClientRect(), lines = this.lines.getBoundingClientRect();
    if (!stage.width) return;
    const above = stage.top + (document.querySelector("[data-testid=stMain]")?.scrollTop || 0);
    const below = lines.bottom - stage.bottom - this.message.offsetHeight - Math.max(0, this.cameras.length - 4) * this.line.rowHeight;
    const tall = full ? innerHeight : Math.max(200, Math.floor(innerHeight - above - below - 8)), count = this.tiles.length;
    const size = (columns) => Math.min(stage.width / columns, (tall / Math.ceil(count / columns)) * (16 / 9));
    let columns = 1;
    for (let more = 2; more <= count; more += 1) if (size(more) > size(columns) + 1) columns = more;
    for (const [name, value] of [["--tall", `${tall}px`], ["--columns", columns], ["--lines", Math.ceil(count / columns)]]) this.stage.style.setProperty(name, value);
  }
  mark() {
    const main = this.cameras[this.main]?.key;
    for (const one of this.tiles) { one.node.classList.toggle("main", one.camera.key === main); one.video.muted = this.muted || one.camera.key !== main; }
    this.line.draw();
  }
  show(room) { this.room = room; this.fill(); this.seek(this.at); }
  alone(camera) { this.main = this.cameras.indexOf(camera); this.show(this.shown === 1 && this.cameras.length > 1 ? 4 : 1); }
  choose(index) {
    if (index === this.main || !this.cameras[index]) return;
    this.main = index;
    this.clock = this.data.clock || new Clock([[0, 0, ""]], this.given.months);
    this.pick.say();
    if (this.tiles.some((one) => one.camera === this.cameras[index])) { this.mark(); this.paint(true); return; }
    this.fill();
    this.seek(this.at);
  }
  get tile() { return this.tiles.find((one) => one.camera === this.cameras[this.main]) || this.tiles[0]; }

  // ---- what is on the page
  build() {
    const w = this.w;
    const button = (name, label, run, more = {}) => h("button", { type: "button", class: "tool", title: label, "aria-label": label, onclick: run, ...more }, icon(name, 20));
    this.stage = h("div", { class: "stage" });
    this.playButton = button("play", w.play, () => this.toggle(), { class: "tool big" });
    this.muteButton = button("mute", w.sound, () => this.mute());
    this.lowButton = button("thin", w.low, () => this.thin(), { "aria-pressed": "false", class: "tool thin" });
    this.field = h("input", { type: "text", class: "field moment", "aria-label": w.moment, title: w.moment_hint, autocomplete: "off", spellcheck: "false", onfocus: () => { this.untouched = this.field.value; this.field.select(); },
      onkeydown: (event) => {
        if (event.key === "Escape") { this.field.value = this.clock.written(this.at); this.doubt(false); } else if (event.key === "Enter") this.goTo(this.field.value); else return;
        this.untouched = this.field.value;
        this.line.node.focus({ preventScroll: true });  // which says what there is then, and where all keys are ours again
      },
      onblur: () => { if (this.field.value === this.untouched) this.paint(true); else this.goTo(this.field.value); } });
    // The browser's own calendar writes dates as the browser's language does, so it only opens behind its button.
    this.calendar = h("input", { type: "datetime-local", step: "1", tabindex: "-1", "aria-hidden": "true", onchange: () => this.goTo(this.calendar.value) });
    this.zone = h("span", { class: "zone" });
    this.message = h("p", { class: "message", role: "alert", hidden: true });
    this.copied = h("span", { role: "status", class: "soft" });
    this.speed = h("select", { class: "speed", "aria-label": w.speed, title: w.speed, onchange: () => this.setRate(Number(this.speed.value)) },
      SPEEDS.map((one) => h("option", { value: one, selected: one === this.rate }, `${String(one).replace(".", this.given.lang === "id" ? "," : ".")}×`)));
    this.rooms = ROOMS.map((room) => h("button", { type: "button", class: "span", "data-room": room, "aria-label": w[`show${room}`], title: w[`show${room}`], onclick: () => this.show(room) }, String(room)));
    this.roomGroup = h("div", { class: "group rooms", role: "group", "aria-label": w.cameras }, icon("camera", 18), this.rooms);
    this.help = h("dialog", { class: "help", "aria-label": w.help, onclick: (event) => { if (event.target === this.help) this.help.close(); } },
      h("h3", {}, w.help), h("dl", {}, this.given.keys.map(([keys, text]) => [h("dt", {}, keys.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, text)])),
      h("button", { class: "button", type: "button", onclick: () => this.help.close() }, w.close));
    this.tools = h("div", { class: "tools", role: "toolbar", "aria-label": w.tools },
      h("div", { class: "group play" }, button("gapback", w.gap_previous, () => this.step("gap", "previous")), button("first", w.previous, () => this.step("recording", "previous")), button("back10", w.back10, () => this.seek(this.at - 10 * SECOND)),
        this.playButton, button("forth10", w.forth10, () => this.seek(this.at + 10 * SECOND)), button("last", w.next, () => this.step("recording", "next")), button("gapforth", w.gap_next, () => this.step("gap", "next"))),
      h("div", { class: "group when" }, this.field, this.zone, this.calendar,
        button("calendar", w.calendar, () => { this.calendar.value = this.clock.field(this.at); this.calendar.showPicker(); })),
      this.roomGroup, this.pick.tools,
      h("div", { class: "group more" }, this.speed, this.lowButton, this.muteButton, button("lens", w.lens, () => this.look()),
        this.given.may_take ? button("shot", w.shot, () => this.shot()) : null, button("full", w.full, () => this.full()),
        button("link", w.copy_link, async () => {
          await copyText(this.address().href);
          this.copied.textContent = w.copied;
          setTimeout(() => { this.copied.textContent = ""; }, 2000);
        }), button("help", w.help, () => this.help.showModal()), this.copied),
      h("div", { class: "group end" }, button("farther", w.farther, () => this.line.zoom(2)), button("nearer", w.nearer, () => this.line.zoom(0.5)),
        ...[["hour", HOUR], ["day", DAY], ["week", 7 * DAY], ["month", 31 * DAY]].map(([name, span]) =>
          h("button", { type: "button", class: "span", onclick: () => this.line.show(this.at - span / 2, this.at + span / 2) }, w[name]))));
    const example = (name, text) => h("li", {}, h("i", { class: `key ${name}` }), text);
    this.legend = h("ul", { class: "legend" }, ["all", "lacking", "site", "cold", "damaged", "held", "gap", "settled", "marked"].map((name) => example(name, w[`key_${name}`])));
    this.list = h("tbody");
    const table = h("details", { class: "list", ontoggle: () => this.fillList() }, h("summary", {}, w.list),
      h("div", { class: "scroll" }, h("table", {}, this.list)));
    this.table = table;
    this.unsure = h("p", { class: "soft unsure", role: "status", hidden: true }, w.unsure);
    this.lines = h("div", { class: "lines" }, this.line.node, this.line.tip, this.unsure);
    this.root.replaceChildren(h("div", { class: "whole" }, this.stage, this.message, this.tools, this.lines, this.pick.node, this.legend, this.marks.node, table,
      h("p", { class: "soft keys" }, w.keys), this.help, this.marks.dialog));
    this.pick.tools.append(this.marks.button);
  }
  address() {
    const url = new URL(location.href);
    for (const name of ["site", "day"]) url.searchParams.delete(name);
    url.searchParams.set("camera", this.cameras.map((one) => one.key).join(","));
    if (this.room) url.searchParams.set("show", this.room);
    const write = (name, ms) => url.searchParams.set(name, new Date(ms).toISOString().replace(".000", ""));
    write("at", Math.floor(this.at / 1000) * 1000);
    if (this.line.from) url.searchParams.set("seen", `${new Date(Math.floor(this.line.from / 1000) * 1000).toISOString().replace(".000", "")},${Math.round(this.line.span / 1000)}`);
    if (this.rate === 1) url.searchParams.delete("speed"); else url.searchParams.set("speed", this.rate);
    for (const name of ["from", "to"]) if (this.pick.whole) write(name, this.pick[name]); else url.searchParams.delete(name);
    return url;
  }
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settleNow(), 700);
  }
  settleNow() { clearTimeout(this.settling); if (this.alive && this.at !== null) history.replaceState(history.state, "", this.address()); }
  leave(href) { this.settleNow(); leave(href); }
  fault(text) { this.message.textContent = text; this.message.hidden = !text; }
  loadedTimeline() {
    this.fault("");
    this.unsure.hidden = this.data.loaded.whole;
    this.legend.querySelector(".cold").parentElement.hidden = !this.cameras.some((one) => { const row = this.data.of(one.key); return row && [...row.spans, ...row.odd].some((span) => span[2] & COLD); });
    this.clock = this.data.clock || new Clock([[0, 0, "UTC"]], this.given.months);
    this.line.draw();
    this.paint(true);
    this.pick.say();
    this.marks.loaded();
    if (this.table.open) this.fillList();
    for (const tile of this.tiles) {
      if (!tile.explained) continue;
      if (!this.playing && !this.seeking && tile.lacks(this.at)) tile.seek(this.at);  // it has come meanwhile
      else this.explain(tile, this.at);
    }
  }
  viewed() {
    const node = this.line.node;
    node.setAttribute("aria-valuemin", String(Math.floor(this.line.from / 1000)));
    node.setAttribute("aria-valuemax", String(Math.floor(this.line.to / 1000)));
    if (this.cameras.length) this.data.want(this.line.from, this.line.to);
    this.settle();
  }
  fillList() {
    if (!this.table.open) return;
    const rows = [];
    for (const camera of this.cameras) {
      const row = this.data.of(camera.key);
      if (!row) continue;
      const seen = (one) => row.from + one[0] < this.line.to && row.from + one[0] + one[1] > this.line.from;
      const all = [...row.odd.filter(seen), ...row.spans.filter(seen), ...row.gaps.filter(seen).map((one) => [...one, "gap"])].sort((one, other) => one[0] - other[0]);
      for (const one of all.slice(0, 300)) {
        const from = row.from + one[0];
        rows.push(h("tr", {}, h("td", {}, camera.name),
          h("td", {}, h("button", { type: "button", class: "jump", onclick: () => this.seek(from) }, this.data.clockOf(camera.key).full(from))),
          h("td", {}, lengthText(this.w, one[1] / 1000)), h("td", {}, this.data.stateAt(camera.key, from + 1))));
      }
    }
    keeping(this.list, () => this.list.replaceChildren(...rows));
  }

  // ---- time: the camera that leads moves the clock, the others follow it
  tick() {
    if (!this.playing || this.seeking || !this.tiles.length) return;
    const before = this.at;
    let lead = this.leader;
    if (!lead || lead.failed || !lead.hls || !lead.nearPiece(this.at)) lead = this.leader = this._next();
    if (!lead) { this._onward(); return; }
    if (lead.video.ended) { this.at = lead.endOf(lead.nearPiece(this.at)) + 1; this.leader = null; return; }
    const wall = lead.video.readyState >= 2 && !lead.video.seeking ? lead.wall : null;
    if (wall !== null) this.at = this._crossed(lead, wall);
    if (this.at > before) this.playedFrom ??= before;
    if (this.leader === lead && !lead.covers(this.at + 3 * SECOND)) { this.tiles.forEach((one) => { one.loaded = null; }); this.seekOn(this.at); return; }
    const hold = this._hold();
    for (const one of this.tiles) {
      if (one !== this.leader) one.follow(this.at, hold);
      else if (hold && one.ready) one.video.pause();
      else if (!hold && one.video.paused) { one.video.playbackRate = this.rate; one.play(); }
    }
    if (Math.abs(this.at - before) < 20) return;
    if (Math.abs(this.at - before) > 5 * SECOND * Math.max(1, this.rate) || lead.piece !== lead.flawed || lead.missing.size) { lead.flawed = lead.piece; lead.showFlaw(lead.piece); }
    this.line.keep(this.at);
    this.line.draw();
    this.paint();
  }
  // Who leads now: the main camera if it has footage, else any that has.
  _next() {
    const there = this.tiles.filter((one) => !one.failed && one.hls && one.covers(this.at) && one.pieceAt(this.at));
    const found = there.includes(this.tile) ? this.tile : there[0] || null;
    if (found) { found.explained = false; found.say(""); found.video.playbackRate = this.rate; if (Math.abs((found.wall ?? 0) - this.at) > 200) found.seek(this.at); }
    return found;
  }
  // The stream of the leader leaves gaps out; where another camera has footage within, that one leads through it.
  _crossed(lead, wall) {
    const other = wall - this.at > SECOND && lead.asStored ? lead.leftOut.find((one) => ["codec", "form"].includes(one.why) && one.from >= this.at - SECOND && one.from < wall - SECOND) : null;
    if (other) { lead.loaded = null; this.leader = null; lead.video.pause(); return other.from; }  // not skipped: played as a stand-in
    const piece = lead.nearPiece(this.at);
    const end = piece ? lead.endOf(piece) : wall;
    if (wall <= end + CLOSE || this.tiles.length === 1) return wall;
    const others = this.tiles.filter((one) => one !== lead && one.hls && one.covers(end));
    const starts = others.map((one) => (one.pieceAt(end + 1) ? end + 1 : one.pieces.find((each) => each.from > end)?.from)).filter((one) => one !== undefined && one < wall);
    if (!starts.length) return wall;
    lead.video.pause();
    this.leader = null;
    return Math.min(...starts);
  }
  // One that loads is waited for, but not for ever.
  _hold() {
    const slow = this.tiles.length > 1 && this.tiles.some((one) => one.hls && !one.failed && one.covers(this.at) && one.pieceAt(this.at) && one.video.readyState < 3);
    if (!slow) this.slowSince = 0;
    else this.slowSince ||= performance.now();
    return slow && performance.now() - this.slowSince > 300 && performance.now() - this.slowSince < 5000;
  }
  // No camera has footage here: go to where the next one has. What can't be played is passed over as far as is known what
  // follows it, else it is told there: it is never asked for again and again.
  async _onward() {
    if (this.going || this.tiles.some((one) => one.busyLoading)) return;
    if (this.tiles.every((one) => one.failed)) { this.stop(); return; }
    this.going = true;
    const at = this.at;
    try {
      const near = await this.data.ask("step", { camera: this.tiles.map((one) => one.camera.key).join(), what: "recording", way: "next", at: Math.round(at - 1) });
      if (this.at === at && this.playing) {
        if (near.at === null) { this.stop(); this.tiles.forEach((one) => this.explain(one, at)); this.paint(true); return; }
        await this.seek(near.at, near.camera);
        if (!this.playing || this.at !== near.at || this.tiles.some((one) => one.nearPiece(near.at))) return;
        const later = this.tiles.flatMap((one) => one.pieces.map((each) => each.from)).filter((from) => from > near.at);
        if (later.length) await this.seek(Math.min(...later)); else this.stop();
      }
    } catch (error) { this.stop(); this.fault(error.said || this.w.broken); } finally { this.going = false; }
  }
  goTo(text) {
    const at = this.clock.parse(text.trim(), this.at);
    this.doubt(at === null);
    if (at === null) return;
    this.line.show(at - this.line.span / 2, at + this.line.span / 2);
    this.seek(at);
  }
  doubt(yes) { this.field.toggleAttribute("aria-invalid", yes); this.fault(yes ? this.w.moment_hint : ""); }
  paint(force = false) {
    const second = Math.floor(this.at / 1000);
    if (second === this.painted && !force) return;
    this.painted = second;
    const w = this.w;
    for (const tile of this.tiles) tile.stamp.replaceChildren(h("b", {}, tile.camera.name), h("span", {}, this.data.clockOf(tile.camera.key).full(this.at)), tile.asStored === false ? h("span", { class: "made" }, this.low ? w.low : w.made) : "");
    if (this.root.getRootNode().activeElement !== this.field && !this.field.hasAttribute("aria-invalid")) this.field.value = this.clock.written(this.at);
    this.zone.textContent = this.clock.zone(this.at);
    const node = this.line.node;
    node.setAttribute("aria-valuenow", String(second));
    if (second % 5 === 0 || force || !this.playing) node.setAttribute("aria-valuetext", `${this.clock.full(this.at)}, ${this.data.stateAt(this.cameras[this.main].key, this.at)}`);
    this.settle();
  }
  // there: the camera that is sure to have footage then.
  async seek(ms, there = "") {
    this.tellPlayed();
    this.at = Math.max(DAY, ms);
    this.line.keep(this.at);
    this.line.draw();
    this.paint(true);
    if (this.line.from) this.data.want(this.line.from, this.line.to);
    await this.seekOn(this.at, there);
  }
  async seekOn(ms, there = "") {
    this.seeking = true;
    const turn = (this.turn = (this.turn || 0) + 1);
    if (!this.playing) this.tiles.forEach((one) => one.video.pause());
    await Promise.all(this.tiles.map((one) => one.seek(ms, one.camera.key === there)));
    if (turn !== this.turn) return;
    this.seeking = false;
    this.leader = null;
  }
  scrub(ms) {
    this.at = ms;
    this.line.draw();
    this.paint();
    for (const one of this.tiles) if (one.covers(ms) && one.pieceAt(ms) && !one.video.seeking) one.seek(ms);
  }
  // Why there is no picture at this moment, and the way on.
  explain(tile, ms) {
    tile.explained = true;
    const left = tile.leftOut.find((one) => ms >= one.from && ms < Math.max(one.to, one.from + 1000));
    const said = left ? left.text : this.data.of(tile.camera.key) ? this.data.stateAt(tile.camera.key, ms) : this.w.is_nothing;
    const action = left ? { text: this.w.open, run: () => { location.href = `/?recording=${left.id}`; } }
      : { text: this.w.next, run: () => this.step("recording", "next") };
    tile.said = null;
    tile.say(said, this.tiles.length > 1 && !left ? null : action);
  }
  step(what, way) {  // one after the other, however fast the key is pressed
    this.stepping = (this.stepping || Promise.resolve()).then(() => this._step(what, way));
    return this.stepping;
  }
  async _step(what, way) {
    try {
      const found = await this.data.ask("step", { camera: this.cameras[this.main].key, what, way, at: Math.round(this.at + (way === "previous" ? -2000 : 1)) });
      if (found.at === null) this.fault(this.w[what === "gap" ? "no_gap" : way === "next" ? "no_next" : "no_previous"]);
      else { this.fault(""); if (what === "gap") this.stop(); await this.seek(found.at, found.camera); }
    } catch (error) { this.fault(error.said || this.w.broken); }
  }
  async toggle() {
    if (this.playing) { this.stop(); return; }
    this.playing = true;
    this._playIcon();
    if (this.tiles.some((one) => !one.covers(this.at))) await this.seek(this.at);
  }
  // What was watched is written down, whenever it ends: paused, somewhere else, other cameras, away from the page.
  tellPlayed() {
    const from = this.playedFrom;
    this.playedFrom = null;
    if (from === null || this.at - from < 1) return;
    const params = new URLSearchParams({ lang: this.given.lang, camera: this.tiles.map((one) => one.camera.key).join(), from: Math.floor(from), to: Math.ceil(this.at) });
    fetch(`/api/watch/played?${params}`, { method: "POST", keepalive: true, headers: { "X-Vms-Page": "watch" } }).catch(() => {});
  }
  stop() { this.tellPlayed(); this.playing = false; this.leader = null; this.tiles.forEach((one) => one.video.pause()); this._playIcon(); }
  _playIcon() {
    this.playButton.replaceChildren(icon(this.playing ? "pause" : "play", 22));
    const label = this.playing ? this.w.pause : this.w.play;
    this.playButton.setAttribute("aria-label", label);
    this.playButton.title = label;
  }
  mute() {
    this.muted = !this.muted;
    this.mark();
    this.muteButton.replaceChildren(icon(this.muted ? "mute" : "sound", 20));
    this.muteButton.setAttribute("aria-pressed", String(!this.muted));
  }
  thin() {
    this.low = !this.low;
    this.lowButton.setAttribute("aria-pressed", String(this.low));
    this.tiles.forEach((one) => { one.loaded = null; });
    this.seek(this.at);
  }
  setRate(rate) {
    this.rate = rate;
    this.settle();
    this.speed.value = String(rate);
    for (const one of this.tiles) one.video.playbackRate = rate;
  }
  faster(by) { this.setRate(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.rate) + by))]); }
  // One picture on or back: to its middle, because the moment at which it begins may still show the one before.
  frameStep(by) {
    const tile = this.tile, at = this.playing ? tile.wall ?? this.at : this.at, piece = tile.nearPiece(at), length = 1000 / (piece?.fps || 15);
    this.stop();
    if (!piece) { this.seek(at + by * length); return; }
    const number = Math.floor((at - piece.from) / length + 0.01) + by, count = Math.max(1, Math.round((piece.length * 1000) / length));
    if (number >= 0 && number < count) { this.seek(piece.from + (number + 0.5) * length); return; }
    const beside = tile.pieces[tile.pieces.indexOf(piece) + by], [before, after] = by > 0 ? [piece, beside] : [beside, piece];
    const ends = before && before.from + before.length * 1000;
    if (beside && after.from - ends < CLOSE) this.seek(by > 0 ? beside.from + length / 2 : ends - length / 2);
  }
  look() { const lens = this.tile.lens; lens.to(lens.scale >= 4 ? 1 : lens.scale * 2); }
  // The picture as it is, in full size.
  async shot() {
    const tile = this.tile, video = tile.video, at = tile.wall ?? this.at;
    if (video.readyState < 2 || tile.said) { this.fault(this.w.no_shot); return; }
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const told = await fetch(`/api/watch/snapshot?${new URLSearchParams({ lang: this.given.lang, camera: tile.camera.key, at: Math.round(at) })}`, { method: "POST", headers: { "X-Vms-Page": "watch" } }).catch(() => null);
    if (!told?.ok) { this.fault((await told?.json().catch(() => null))?.error || this.w.broken); return; }
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    const link = h("a", { href: URL.createObjectURL(blob), download: `${tile.camera.key.replace("/", "_")}_${this.clock.field(at).replace("T", "_").replaceAll(":", "-")}_${this.clock.zone(at).replace(/[^A-Za-z0-9+-]/g, "")}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  full() { if (document.fullscreenElement) document.exitFullscreen(); else this.stage.requestFullscreen?.(); }

  key(event) {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable) return;
    if (event.key === "Escape" && (this.help.open || document.querySelector("[data-testid=stPopoverBody]"))) return;  // closes that alone
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, onButton = /^(BUTTON|A|SUMMARY)$/.test(target.tagName);
    const step = event.shiftKey ? MINUTE : 10 * SECOND;
    const line = this.line;
    const does = {
      " ": () => { if (onButton) return false; this.toggle(); }, k: () => this.toggle(),
      ArrowLeft: () => this.seek(this.at - step), ArrowRight: () => this.seek(this.at + step),
      n: () => this.step("recording", "next"), p: () => this.step("recording", "previous"),
      "+": () => line.zoom(0.5), "=": () => line.zoom(0.5), "-": () => line.zoom(2),
      PageUp: () => line.show(line.from - line.span, line.from), PageDown: () => line.show(line.to, line.to + line.span),
      m: () => this.mute(), f: () => this.full(), z: () => this.look(),
      i: () => this.pick.begin(), o: () => this.pick.end(), b: () => this.marks.ask(),
      ",": () => this.frameStep(-1), ".": () => this.frameStep(1), "<": () => this.faster(-1), ">": () => this.faster(1),
      g: () => this.step("gap", event.shiftKey ? "previous" : "next"), s: () => { if (!this.given.may_take) return false; this.shot(); },
      1: () => this.cameras.length > 1 && this.show(1), 4: () => this.cameras.length > 1 && this.show(4), 9: () => this.cameras.length > 1 && this.show(9),
      ArrowUp: () => this.choose(this.main - 1), ArrowDown: () => this.choose(this.main + 1),
      "?": () => { if (this.help.open) this.help.close(); else this.help.showModal(); }, Escape: () => { if (this.tile.lens.scale === 1) return this.pick.clear(); this.tile.lens.to(1); },
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
