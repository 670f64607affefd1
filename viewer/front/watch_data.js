// What the page has asked for so far: the timeline around what is seen, and recordings that the pointer was over.
class Data {
  constructor(app) { this.app = app; this.rows = new Map(); this.moments = new Map(); this.turn = 0; }
  async ask(what, params) {
    const answer = await fetch(`/api/watch/${what}?${new URLSearchParams({ lang: this.app.given.lang, ...params })}`);
    const made = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(String(answer.status)), { said: made.error, status: answer.status });
    return made;
  }
  of(key) { return this.rows.get(key); }
  // Each site has its own clock; the page's is that of the camera chosen.
  get clock() { return this.rows.get(this.app.cameras[this.app.main]?.key)?.clock; }
  clockOf(key) { return this.rows.get(key)?.clock || this.app.clock; }
  forget() { this.rows.clear(); this.marked = []; this.loaded = null; }
  again() { this.loaded = null; this.want(this.app.line.from, this.app.line.to); }

  // Have the timeline for what is seen, with as much on both sides, unless it is there.
  want(from, to) {
    const most = Math.min(4, 64 / this.app.cameras.length) * DAY, span = to - from;
    const fine = span <= most;
    const old = this.loaded;
    const fresh = old && old.at > Date.now() - (old.to > Date.now() ? 60 : 900) * SECOND;
    if (old && fresh && from >= old.from && to <= old.to && (old.fine || !fine)) return;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this._load(from, to, fine ? Math.min(span, (most - span) / 2) : Math.min(span, 90 * DAY)), old ? 60 : 0);
  }
  async _load(from, to, margin) {
    const turn = ++this.turn, asked = Date.now(), keys = this.app.cameras.map((one) => one.key).join(",");
    try {
      const made = await this.ask("timeline", { camera: keys, from: Math.max(DAY, Math.floor(from - margin)), to: Math.ceil(to + margin) });
      if (turn !== this.turn) return;
      for (const camera of made.cameras) this.rows.set(camera.id, { ...camera, from: made.from, to: made.to, fine: made.fine, texts: made.texts, clock: new Clock(camera.clock, this.app.given.months) });
      this.marked = made.marked;
      this.loaded = { from: made.from, to: made.to, fine: made.fine, whole: made.whole, at: Date.now(), asked };
      this.app.loadedTimeline();
    } catch (error) {
      if (turn !== this.turn) return;
      this.app.fault(error.said || this.app.w.broken);
      setTimeout(() => { if (turn === this.turn && this.app.alive) this.want(this.app.line.from, this.app.line.to); }, 4000);
    }
  }
  spanAt(key, ms) {
    const row = this.of(key), at = ms - (row?.from || 0);
    const there = (one) => at >= one[0] && at < one[0] + one[1];
    return row?.odd.find(there) || row?.spans.find(there);
  }
  isKept(key, ms) { return Boolean(this.loaded && this.spanAt(key, ms)); }
  gapAt(key, ms) {
    const row = this.of(key), at = ms - (row?.from || 0);
    return row?.gaps.find((one) => at >= one[0] && at < one[0] + one[1]);
  }
  // What there is at a moment, in words.
  stateAt(key, ms) {
    const row = this.of(key), w = this.app.w;
    if (!row) return "";
    const at = ms - row.from, span = this.spanAt(key, ms);
    if (span) {
      const held = row.held.some((one) => at >= one[0] && at < one[0] + one[1]);
      return [span[2] & DAMAGED ? w.is_damaged : span[2] & COLD ? w.is_cold : span[2] & UNKNOWN ? w.is_kept : span[2] & LACKING ? w.is_lacking : w.is_all,
        span[2] & DOUBTFUL ? w.is_doubtful : "", held ? w.is_held : ""].filter(Boolean).join(" · ");
    }
    const gap = this.gapAt(key, ms);
    return gap ? `${row.texts[gap[3]]} (${lengthText(w, gap[1] / 1000)})` : w.is_nothing;
  }
  // The recording of a moment, with its sprite sheet: told when it is known, null when there is none.
  moment(key, ms, tell) {
    const known = this.moments.get(key) || [];
    this.moments.set(key, known);
    const found = known.find((one) => ms >= one.from && ms < one.to);
    if (found) { tell(found); return; }
    const row = this.of(key);
    if (row && row.spans.length && !this.spanAt(key, ms)) { tell(null); return; }
    clearTimeout(this.momentSoon);
    this.momentSoon = setTimeout(async () => {
      const made = await this.ask("moment", { camera: key, at: Math.round(ms) }).catch(() => ({}));
      if (made.recording) { known.push(made.recording); if (known.length > 400) known.shift(); tell(made.recording); }
    }, 50);
  }
}
