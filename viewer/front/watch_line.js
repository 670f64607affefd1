// The timeline: a canvas with a row for each camera. Zoomed by wheel, pinch and keys, moved by dragging, a click plays there.
const LACKING = 1, DAMAGED = 2, DOUBTFUL = 4, UNKNOWN = 8, COLD = 16;
const LEAST_VIEW = 10 * SECOND, MOST_VIEW = 190 * DAY;
class Line {
  constructor(app) {
    this.app = app;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.tip = h("div", { class: "tip", role: "tooltip", hidden: true });
    this.node = h("div", { class: "line", role: "slider", tabindex: "0", "aria-label": app.w.line, "aria-orientation": "horizontal" },
      this.canvas);
    this.pointers = new Map();
    this.patterns = {};
    const on = (name, handler, options) => this.node.addEventListener(name, handler, options);
    on("wheel", (event) => this._wheel(event), { passive: false });
    on("pointerdown", (event) => this._down(event));
    on("pointermove", (event) => this._move(event));
    on("pointerup", (event) => this._up(event));
    on("pointercancel", (event) => { this.pointers.delete(event.pointerId); this.drag = null; });
    on("pointerleave", (event) => { if (event.pointerType === "mouse") this.hover(null); });
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.node);
  }
  destroy() { this.watcher.disconnect(); cancelAnimationFrame(this.wanted); }

  // ---- what is where
  get narrow() { return this.width < 620; }
  get gutter() { return this.narrow ? 0 : 128; }
  get rowHeight() { return this.narrow ? 46 : 34; }
  get span() { return this.to - this.from; }
  x(ms) { return this.gutter + ((ms - this.from) / this.span) * (this.width - this.gutter); }
  ms(x) { return this.from + ((x - this.gutter) / (this.width - this.gutter)) * this.span; }
  row(y) { return Math.max(0, Math.min(this.app.cameras.length - 1, Math.floor((y - 26) / this.rowHeight))); }

  show(from, to) {
    const middle = (from + to) / 2;
    const span = Math.max(LEAST_VIEW, Math.min(MOST_VIEW, to - from));
    const end = Math.min(middle + span / 2, Date.now() + Math.max(span * 0.5, HOUR));
    this.from = end - span;
    this.to = end;
    this.app.viewed();
    if (this.place) this.hover(this.place); else this.draw();
  }
  zoom(factor, at = this.app.at) {
    const around = at >= this.from && at <= this.to ? at : (this.from + this.to) / 2;
    this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }
  keep(at) {  // the playhead stays in sight
    if (this.drag || this.pointers.size) return;
    if (at > this.to - this.span * 0.04 && at < this.to + this.span) this.show(at - this.span * 0.15, at + this.span * 0.85);
    else if (at < this.from || at > this.to) this.show(at - this.span / 2, at + this.span / 2);
  }

  // ---- hands
  _place(event) { const box = this.canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; }
  _wheel(event) {
    event.preventDefault();
    const [x] = this._place(event);
    const move = event.shiftKey ? event.deltaY : event.deltaX;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (move / (this.width - this.gutter)) * this.span;
      this.show(this.from + by, this.to + by);
    } else this.zoom(Math.exp(Math.max(-200, Math.min(200, event.deltaY)) * 0.0022), this.ms(Math.max(this.gutter, x)));
  }
  _down(event) {
    if (event.button !== 0) return;
    const [x, y] = this._place(event);
    this.canvas.setPointerCapture?.(event.pointerId);
    this.pointers.set(event.pointerId, [x, y]);
    const atHead = this.app.at !== null && Math.abs(this.x(this.app.at) - x) < 9 && y < 30;
    const pick = this.app.pick, edge = atHead || y < 24 ? null : pick.near(x, event.pointerType === "mouse" ? 7 : 20);
    const fixed = edge ? (edge === "from" ? pick.to : pick.from) : (event.shiftKey || pick.drawing) && x >= this.gutter ? this.ms(x) : null;
    this.drag = { x, y, from: this.from, to: this.to, moved: false, scrub: atHead && fixed === null, fixed, many: this.pointers.size > 1 };
  }
  _move(event) {
    const [x, y] = this._place(event);
    const before = this.pointers.get(event.pointerId);
    if (!before || !this.drag) {
      this.node.classList.toggle("edge", y >= 24 && this.app.pick.near(x, 7) !== null);
      this.hover([x, y]);
      return;
    }
    if (this.pointers.size === 2) {
      const [one, other] = [...this.pointers.values()].map((each) => each[0]);
      const gap = Math.abs(one - other), middle = this.ms((one + other) / 2);
      this.pointers.set(event.pointerId, [x, y]);
      const [now, then] = [...this.pointers.values()].map((each) => each[0]);
      if (gap > 8) this.zoom(gap / Math.max(8, Math.abs(now - then)), middle);
      this.drag.many = true;
      return;
    }
    this.pointers.set(event.pointerId, [x, y]);
    if (Math.abs(x - this.drag.x) > 4) this.drag.moved = true;
    if (!this.drag.moved) return;
    if (this.drag.fixed !== null) { this.app.pick.drag(this.drag.fixed, this.ms(Math.max(this.gutter, Math.min(this.width, x)))); this.hover([x, y]); return; }
    if (this.drag.scrub) { this.app.scrub(this.ms(x)); this.hover([x, y]); return; }
    const by = ((this.drag.x - x) / (this.width - this.gutter)) * (this.drag.to - this.drag.from);
    this.show(this.drag.from + by, this.drag.to + by);
    this.hover(null);
  }
  _up(event) {
    const drag = this.drag, many = drag?.many;
    this.pointers.delete(event.pointerId);
    if (this.pointers.size === 0) this.drag = null;
    if (!drag || many) return;
    const [x, y] = this._place(event);
    if (drag.fixed !== null && drag.moved) { this.app.pick.draw(false); this.app.pick.changed(); } else if (drag.scrub && drag.moved) this.app.seek(this.ms(x));
    else if (!drag.moved) {
      if (y > 26) this.app.choose(this.row(y));
      const [marked] = x >= this.gutter ? this.app.marks.near([x, y], event.pointerType === "mouse" ? 6 : 14) : [];
      if (marked) this.app.marks.open(marked); else if (x >= this.gutter) this.app.seek(this.ms(x));
    }
    if (event.pointerType !== "mouse") { this.hover([x, y]); setTimeout(() => this.hover(null), 2500); }
  }

  // ---- hover: the moment's time, state and picture
  hover(place) {
    this.place = place && place[0] >= this.gutter ? place : null;
    this.draw();
    if (!this.place) { this.tip.hidden = true; return; }
    const ms = this.ms(place[0]), row = this.row(place[1]), camera = this.app.cameras[row];
    const picture = h("div", { class: "picture" });
    this.tip.replaceChildren(picture, h("b", {}, this.app.data.clockOf(camera.key).full(ms)), h("span", {}, this.app.cameras.length > 1 ? camera.name : ""),
      h("span", { class: "soft" }, this.app.data.stateAt(camera.key, ms)), ...this.app.marks.near(place, 9).map((one) => h("div", { class: "told" }, this.app.marks.text(one))));
    this.tip.hidden = false;
    const set = () => {
      const half = this.tip.offsetWidth / 2;
      this.tip.style.left = `${Math.max(half, Math.min(this.width - half, place[0]))}px`;
    };
    set();
    this.app.data.moment(camera.key, ms, (found) => {
      if (!this.place || this.place[0] !== place[0] || this.place[1] !== place[1] || !found?.sprite) return;
      const index = Math.min(found.sprite.tiles - 1, Math.max(0, Math.floor((ms - found.from) / 1000 / found.sprite.interval)));
      Object.assign(picture.style, tile(found.sprite, index, 176), { width: "176px", aspectRatio: `${found.sprite.width} / ${found.sprite.height}` });
      for (const mark of found.marks) this.tip.append(h("span", { class: "badge orange" }, mark.text));
      set();
    });
  }

  // ---- drawing
  resize() {
    const width = this.node.clientWidth;
    if (!width) return;
    this.width = width;
    this.height = 26 + this.app.cameras.length * this.rowHeight + 6;
    const sharp = Math.min(2, devicePixelRatio || 1);
    Object.assign(this.canvas, { width: width * sharp, height: this.height * sharp });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${this.height}px` });
    this.pen = this.canvas.getContext("2d");
    this.pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    this.patterns = {};
    this.draw();
  }
  draw() {
    if (this.wanted) return;
    this.wanted = requestAnimationFrame(() => { this.wanted = 0; if (this.pen && this.from) this._draw(); });
  }
  _colour(name) { return getComputedStyle(this.node).getPropertyValue(name).trim(); }
  _hatch(colour, back) {
    const key = `${colour}${back}`;
    if (!this.patterns[key]) {
      const small = h("canvas", { width: 8, height: 8 });
      const pen = small.getContext("2d");
      if (back) { pen.fillStyle = back; pen.fillRect(0, 0, 8, 8); }
      pen.strokeStyle = colour;
      pen.lineWidth = 1.6;
      for (const by of [-8, 0, 8]) { pen.beginPath(); pen.moveTo(by - 1, 9); pen.lineTo(by + 9, -1); pen.stroke(); }
      this.patterns[key] = this.pen.createPattern(small, "repeat");
    }
    return this.patterns[key];
  }
  _draw() {
    const pen = this.pen, c = Object.fromEntries(["text", "soft", "line", "green", "orange", "gray", "blue", "red"].map((name) =>
      [name, this._colour(name === "text" ? "--st-text-color" : `--${name}`)]));
    c.back = this._colour("--st-background-color");
    c.violet = this._colour("--violet");
    pen.clearRect(0, 0, this.width, this.height);
    pen.font = `500 12px ${this._colour("--st-font") || "sans-serif"}`;
    pen.textBaseline = "middle";
    pen.save();
    pen.beginPath(); pen.rect(this.gutter, 0, this.width - this.gutter, this.height); pen.clip();
    for (const [ms, text, begins] of marks(this.app.clock, this.from, this.to, this.width - this.gutter)) {
      const x = Math.round(this.x(ms)) + 0.5;
      pen.strokeStyle = c.line; pen.lineWidth = begins ? 2 : 1;
      pen.beginPath(); pen.moveTo(x, begins ? 0 : 20); pen.lineTo(x, this.height); pen.stroke();
      pen.fillStyle = begins ? c.text : c.soft;
      pen.fillText(text, x + 5, 11);
    }
    this.app.cameras.forEach((camera, at) => this._row(camera, 26 + at * this.rowHeight, c));
    this.app.pick.paint(pen, this, c);
    pen.restore();
    this.app.cameras.forEach((camera, at) => this._name(camera, at, 26 + at * this.rowHeight, c));
    if (this.place) this._needle(this.place[0], c.soft, false);
    if (this.app.at !== null && this.app.at >= this.from && this.app.at <= this.to) this._needle(this.x(this.app.at), c.red, true);
  }
  _needle(x, colour, handle) {
    const pen = this.pen;
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = handle ? 2 : 1;
    pen.beginPath(); pen.moveTo(x, handle ? 8 : 20); pen.lineTo(x, this.height); pen.stroke();
    if (handle) { pen.beginPath(); pen.moveTo(x - 7, 2); pen.lineTo(x + 7, 2); pen.lineTo(x, 14); pen.fill(); }
  }
  _name(camera, at, y, c) {
    const pen = this.pen, chosen = at === this.app.main && this.app.cameras.length > 1;
    pen.fillStyle = chosen ? c.blue : c.text;
    const room = this.narrow ? this.width - 12 : this.gutter - 14;
    let text = camera.name;
    while (text.length > 3 && pen.measureText(text).width > room) text = `${text.slice(0, -2).trimEnd()}…`;
    pen.fillText(text, chosen ? 9 : 2, this.narrow ? y + 8 : y + this.rowHeight / 2);
    if (chosen) pen.fillRect(0, this.narrow ? y + 2 : y + 8, 3, this.narrow ? 12 : this.rowHeight - 16);
  }
  _row(camera, y, c) {
    const pen = this.pen, top = this.narrow ? y + 17 : y + 5, tall = this.narrow ? 26 : this.rowHeight - 10;
    const data = this.app.data.of(camera.key);
    pen.fillStyle = `color-mix(in srgb, ${c.gray} 9%, transparent)`;
    pen.fillRect(this.gutter, top, this.width - this.gutter, tall);
    if (!data) return;
    const box = ([first, length], fill, from = top, height = tall) => {
      const x = this.x(data.from + first), wide = Math.max(1, this.x(data.from + first + length) - x);
      if (x > this.width || x + wide < this.gutter) return;
      pen.fillStyle = fill;
      pen.fillRect(x, from, wide + 0.6, height);  // neighbours meet without a seam
    };
    for (const gap of data.gaps) box(gap, this._hatch([c.blue, c.red, c.gray][gap[2]], `color-mix(in srgb, ${[c.blue, c.red, c.gray][gap[2]]} 13%, transparent)`));
    const least = this.span / Math.max(1, this.width) * 3;  // the few that are not as they should be are seen at any zoom
    for (const span of [...data.spans, ...data.odd.map(([from, length, code]) => [from, Math.max(length, least), code])]) {
      const code = span[2];
      if (code & DAMAGED) box(span, this._hatch(c.back, c.orange));
      else if (code & COLD) { box(span, `color-mix(in srgb, ${c.blue} 35%, ${c.back})`); box(span, c.blue, top, 4); }
      else if (code & LACKING) { box(span, `color-mix(in srgb, ${c.green} 30%, transparent)`); box(span, c.green, top + tall / 2, tall / 2); }
      else box(span, code & UNKNOWN ? `color-mix(in srgb, ${c.green} 75%, ${c.back})` : c.green);
      if (code & DOUBTFUL) box(span, this._hatch(c.text, ""), top + tall - 5, 5);
    }
    const sure = data.fine ? data.spans : [];
    const usual = sure.length ? sure[Math.floor(sure.length / 2)][1] : 0;
    if ((usual / this.span) * this.width > 14) {  // where one recording begins, as long as there is room to see it
      pen.fillStyle = c.back;
      for (const span of sure) pen.fillRect(this.x(data.from + span[0]) - 0.5, top, 1, tall);
    }
    for (const hold of data.held) box(hold, c.text, top, 4);
    this.app.marks.paint(pen, this, camera.key, top, tall, c);
  }
}
