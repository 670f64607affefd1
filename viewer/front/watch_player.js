// One camera's picture: the recordings of some hours as one stream (hls.js over byte ranges of the stored files).
const BEFORE = 20 * MINUTE, BEHIND = 100 * MINUTE, CLOSE = 2 * SECOND;
const CODECS = { av1: "av01.0.08M.08", h264: "avc1.640028", hevc: "hvc1.1.6.L120.B0", vp9: "vp09.00.40.08" };
let hlsLoaded = null;
function loadHls(url) {
  hlsLoaded ||= new Promise((done, failed) => {
    const script = h("script", { src: url });
    script.onload = () => done(window.Hls);
    script.onerror = () => { hlsLoaded = null; failed(new Error("player")); };
    document.head.append(script);
  });
  return hlsLoaded;
}
function playableCodecs() {
  const source = window.ManagedMediaSource || window.MediaSource;
  return source ? Object.keys(CODECS).filter((name) => source.isTypeSupported(`video/mp4; codecs="${CODECS[name]}"`)) : [];
}
// hls.js asks for the playlist; it has come with its answer already.
function textLoader(text) {
  return class {
    constructor() {
      const times = () => ({ start: 0, first: 0, end: 0 });
      this.stats = { aborted: false, loaded: 0, retry: 0, total: 0, chunkCount: 0, bwEstimate: 0, loading: times(), parsing: { start: 0, end: 0 }, buffering: times() };
    }
    load(context, _config, callbacks) {
      this.context = context;
      const now = performance.now();
      Object.assign(this.stats.loading, { start: now, first: now, end: now });
      this.stats.loaded = this.stats.total = text.length;
      queueMicrotask(() => { if (!this.stats.aborted) callbacks.onSuccess({ url: context.url, data: text }, this.stats, context, null); });
    }
    abort() { this.stats.aborted = true; }
    destroy() { this.abort(); }
  };
}
class Player {
  constructor(app, camera) {
    this.app = app;
    this.camera = camera;
    this.video = h("video", { playsinline: true, preload: "auto", "aria-label": camera.name, disablepictureinpicture: true });
    this.video.muted = app.muted;
    this.note = h("div", { class: "note", role: "status" });
    this.share = h("span");
    this.busy = h("div", { class: "busy", hidden: true, role: "status", "aria-label": app.w.loading }, h("i"), this.share);
    this.stamp = h("div", { class: "stamp" });
    this.flaw = h("div", { class: "flaw", role: "status", hidden: true });
    this.node = h("figure", { class: "tile", "data-camera": camera.key }, this.video, this.busy, this.note, this.stamp, this.flaw);
    this.pieces = [];
    this.leftOut = [];
    this.missing = new Map();
    this.asked = 0;
    this.node.addEventListener("click", () => app.choose(app.cameras.indexOf(camera)));
    this.node.addEventListener("dblclick", () => app.alone(camera));
    this.lens = new Lens(this.node, this.video);
    for (const name of ["waiting", "seeking", "stalled"]) this.video.addEventListener(name, () => this._busy(true));
    for (const name of ["playing", "seeked", "canplay", "pause"]) this.video.addEventListener(name, () => this._busy(false));
  }
  destroy() {
    this.asked += 1;
    clearTimeout(this.renewal);
    this.hls?.destroy();
    this.hls = null;
    this.node.remove();
  }
  _busy(busy) {
    clearTimeout(this.busySoon);
    if (!busy) this.busy.hidden = true;
    else this.busySoon = setTimeout(() => { this.busy.hidden = false; if (!this.asStored) this._progress(); }, 250);
  }
  // How far the piece is that this browser waits for.
  async _progress() {
    while (!this.busy.hidden && this.app.alive && this.node.isConnected) {
      const made = await this.app.data.ask("progress", {}).catch(() => ({}));
      this.share.textContent = typeof made.share === "number" ? `${this.app.w.making}: ${Math.round(made.share * 100)} %` : "";
      await new Promise((done) => setTimeout(done, 700));
    }
    this.share.textContent = "";
  }
  say(text, action = null) {
    if (this.said === text && !action === !this.acted) return;
    this.said = text;
    this.acted = action;
    this.note.replaceChildren(...(text ? [h("p", {}, text)] : []),
      ...(action ? [h("button", { class: "button", type: "button", onclick: action.run }, action.text)] : []));
    this.video.style.visibility = text ? "hidden" : "visible";
  }

  // ---- time: where a moment lies in the stream, and which moment the stream shows
  pieceAt(ms) { return this.pieces.find((one) => ms >= one.from && ms < one.from + one.length * 1000); }
  get piece() {
    const at = this.video.currentTime + 0.001;
    return this.pieces.findLast((one) => one.at <= at) || this.pieces[0];
  }
  // The moment that is shown, null before anything is.
  get wall() {
    if (!this.piece || this.video.readyState < 1) return null;
    const within = Math.max(0, Math.min(this.piece.length, this.video.currentTime - this.piece.at));
    return this.piece.from + within * 1000;
  }
  covers(ms) { return this.loaded && ms >= this.loaded[0] && ms < this.loaded[1]; }
  // A recording that is not in this stream, but would be in one of stand-ins.
  otherAt(ms) { return this.leftOut.find((one) => ["codec", "form"].includes(one.why) && ms >= one.from && ms < one.to); }
  // So near to a piece that it is as good as in it: the last picture of a file stands for a moment.
  nearPiece(ms) { return this.pieceAt(ms) || this.pieceAt(ms - 300); }
  get ready() { return this.video.readyState >= 3 && !this.video.seeking; }
  // Until when footage goes on from this piece without a gap.
  endOf(piece) {
    let end = piece.from + piece.length * 1000;
    for (const one of this.pieces.slice(this.pieces.indexOf(piece) + 1)) {
      if (one.from - end > CLOSE) break;
      end = one.from + one.length * 1000;
    }
    return end;
  }

  // Whether there is footage here that came after the stream was asked for: the timeline, or who is sure, knows better.
  lacks(ms, sure = false) {
    if (this.nearPiece(ms) || this.leftOut.some((one) => ms >= one.from && ms < one.to)) return false;
    return sure || (this.app.data.isKept(this.camera.key, ms) && this.app.data.loaded.asked > this.loadedAt);
  }

  // Show this moment. Resolves to whether there is footage to show. sure: that there is some.
  async seek(ms, sure = false) {
    this.target = ms;
    if (!this.covers(ms) || this.lacks(ms, sure)) { if (!(await this.load(ms))) return false; if (this.target !== ms) return true; }
    if (!this.hls && !this.otherAt(ms)) return false;
    const piece = this.pieceAt(ms);
    if (!piece && this.otherAt(ms) && this.asStored) { this.loaded = null; return this.seek(ms); }
    if (!piece) { this.video.pause(); this.app.explain(this, ms); return false; }
    this.say("");
    this.explained = false;
    this.video.currentTime = piece.at + (ms - piece.from) / 1000;
    this.video.playbackRate = this.app.rate;
    this.showFlaw(piece);
    return true;
  }
  // Go with the clock of the page while another camera leads.
  follow(ms, hold) {
    if (this.busyLoading || this.failed) return;
    if (!this.covers(ms) || this.lacks(ms)) {
      this.busyLoading = this.seek(ms).finally(() => { this.busyLoading = null; });
      return;
    }
    const piece = this.pieceAt(ms), rate = this.app.rate;
    if (!piece && this.asStored && this.otherAt(ms)) { this.loaded = null; return; }
    if (!piece || !this.hls) {
      if (!this.video.paused) this.video.pause();
      if (!this.explained || Math.floor(ms / 1000) !== this.explainedAt) { this.explainedAt = Math.floor(ms / 1000); this.app.explain(this, ms); }
      const next = this.pieces.find((one) => one.from > ms);  // have its first picture ready
      if (next && next.from - ms < 10 * SECOND && Math.abs(this.video.currentTime - next.at) > 0.2 && !this.video.seeking) this.video.currentTime = next.at;
      return;
    }
    if (this.explained) { this.explained = false; this.say(""); this.showFlaw(piece); }
    const target = piece.at + (ms - piece.from) / 1000, off = this.video.currentTime - target;
    if (Math.abs(off) > Math.max(0.4, 0.25 * rate) && !this.video.seeking && performance.now() - (this.mended || 0) > 900) {
      this.mended = performance.now();
      this.video.currentTime = target + 0.1 * rate;
    }
    this.video.playbackRate = Math.max(0.0625, Math.min(16, rate * (1 - Math.max(-0.15, Math.min(0.15, off * 0.4)))));
    if (hold) { if (!this.video.paused && this.ready) this.video.pause(); } else if (this.video.paused) this.play();
  }
  showFlaw(piece) {
    const at = this.video.currentTime, black = [...this.missing.values()].some((one) => at >= one.start && at < one.end);
    const text = [black ? this.app.w.missing : "", piece?.damaged ? `${this.app.w.damaged} ${piece.damaged}` : ""].filter(Boolean).join(" ");
    this.flaw.hidden = !text;
    this.flaw.title = this.flaw.textContent = text;
  }
  async load(ms) {
    const turn = ++this.asked;
    this.failed = false;
    this._busy(true);
    const from = Math.round(ms - BEFORE), to = Math.round(ms + BEHIND), now = Date.now();
    try {
      const [Hls, made] = await Promise.all([loadHls(this.app.given.player),
        this.app.data.ask("playlist", { camera: this.camera.key, from, to, at: Math.round(ms), can: this.convert ? "" : playableCodecs().join(","), low: this.app.low ? 1 : 0, ...(this.app.through ? { through: 1 } : {}) })]);
      if (turn !== this.asked) return false;
      this.pieces = made.pieces;
      this.leftOut = made.left_out;
      this.asStored = made.as_stored;
      this.app.paint(true);
      this.loaded = [made.from, made.to];  // all that the answer covers, which may be less than was asked for
      this.loadedAt = now;
      this._renewAt(made.expires);
      if (!made.playlist) { this._busy(false); this.hls?.destroy(); this.hls = null; this.video.pause(); this.app.explain(this, ms); return false; }
      const piece = this.pieceAt(ms);
      await this._attach(Hls, made.playlist, piece ? piece.at + (ms - piece.from) / 1000 : 0);
      return true;
    } catch (error) {
      if (turn !== this.asked) return false;
      this._busy(false);
      this.fail(error.said, ms);
      return false;
    }
  }
  fail(said, ms) {
    this.loaded = null;
    this.failed = true;
    this.say(said || this.app.w.broken, { text: this.app.w.retry, run: () => { this.failed = false; this.app.seek(ms); } });
  }
  _attach(Hls, text, startPosition) {
    this.hls?.destroy();
    if (!Hls.isSupported()) { this.say(this.app.w.no_player); return Promise.resolve(); }
    const hls = new Hls({ pLoader: textLoader(text), startPosition, enableWorker: false, maxBufferLength: this.asStored ? 20 : 12, maxMaxBufferLength: 40,
      backBufferLength: 40, maxBufferHole: 0.6, nudgeMaxRetry: 8, debug: false,
      fragLoadPolicy: { default: { maxTimeToFirstByteMs: 90000, maxLoadTimeMs: 120000, timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
        errorRetry: { maxNumRetry: 2, retryDelayMs: 700, maxRetryDelayMs: 4000 } } } });
    this.hls = hls;
    const turn = Math.floor(Date.now() / MINUTE);
    this.missing.clear();
    let mended = 0;
    hls.on(Hls.Events.ERROR, (_name, fault) => {
      if (!fault.fatal || this.hls !== hls) return;
      if (fault.type === Hls.ErrorTypes.MEDIA_ERROR && mended < 2) { mended += 1; hls.recoverMediaError(); return; }
      const at = this.target ?? this.app.at;
      this._busy(false);
      if (fault.type === Hls.ErrorTypes.MEDIA_ERROR && this.asStored) { this.convert = true; this.loaded = null; this.seek(at); return; }  // what FFmpeg can still decode
      if ([403, 410].includes(fault.response?.code) && this.renewed !== turn) { this.renewed = turn; this.loaded = null; this.seek(at); return; }
      // the store itself does not answer this browser (a firewall, no rule for it): all through the viewer then
      if (fault.type === Hls.ErrorTypes.NETWORK_ERROR && this.asStored && !this.app.through) { this.app.through = true; this.loaded = null; this.seek(at); return; }
      this.fail("", at);
    });
    hls.on(Hls.Events.FRAG_LOADED, (_name, { frag, networkDetails }) => {
      if (networkDetails?.getResponseHeader?.("X-Vms-Missing")) this.missing.set(frag.sn, frag);
    });
    // the picture may be a little longer or shorter than the index says: what hls.js found counts
    hls.on(Hls.Events.LEVEL_PTS_UPDATED, (_name, { details }) => {
      for (const one of details.fragments) {
        const piece = this.pieces[one.cc];
        if (piece && (piece.frag === undefined || one.sn <= piece.frag)) { piece.frag = one.sn; piece.at = one.start; }
      }
    });
    return new Promise((done) => {
      hls.on(Hls.Events.MANIFEST_PARSED, () => done());
      hls.loadSource(new URL("/api/watch/playlist.m3u8", document.baseURI).href);
      hls.attachMedia(this.video);
    });
  }
  _renewAt(expires) {
    clearTimeout(this.renewal);
    if (!expires) return;
    this.renewal = setTimeout(() => { this.loaded = null; if (this.app.playing) this.app.seek(this.app.at); }, Math.max(10000, expires * 1000 - Date.now() - 120000));
  }
  play() { return this.video.play().catch(() => {}); }
}
// Looking closer: wheel with Ctrl, pinch or the tool enlarges the picture, dragging moves it.
class Lens {
  constructor(node, video) {
    Object.assign(this, { node, video, scale: 1, x: 0, y: 0 });
    this.fingers = new Map();
    node.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && this.scale === 1) return;
      event.preventDefault();
      this.to(this.scale * Math.exp(-event.deltaY * 0.003), event);
    }, { passive: false });
    node.addEventListener("pointerdown", (event) => {
      this.fingers.set(event.pointerId, event);
      if (this.scale > 1 && event.target !== node) this.from = [event.clientX - this.x, event.clientY - this.y];
    });
    node.addEventListener("pointermove", (event) => {
      if (!this.fingers.has(event.pointerId)) return;
      const before = [...this.fingers.values()];
      this.fingers.set(event.pointerId, event);
      const now = [...this.fingers.values()];
      if (now.length === 2) {
        const apart = ([one, other]) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        this.to(this.scale * apart(now) / Math.max(1, apart(before)), { clientX: (now[0].clientX + now[1].clientX) / 2, clientY: (now[0].clientY + now[1].clientY) / 2 });
      } else if (this.from && this.scale > 1) { this.x = event.clientX - this.from[0]; this.y = event.clientY - this.from[1]; this._set(); }
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) node.addEventListener(name, (event) => { this.fingers.delete(event.pointerId); this.from = null; });
  }
  to(scale, around) {
    const box = this.node.getBoundingClientRect();
    const px = around ? around.clientX - box.left - box.width / 2 : 0, py = around ? around.clientY - box.top - box.height / 2 : 0;
    const next = Math.max(1, Math.min(8, scale)), by = next / this.scale;
    this.x = px - (px - this.x) * by;
    this.y = py - (py - this.y) * by;
    this.scale = next;
    this._set();
  }
  _set() {
    const box = this.node.getBoundingClientRect(), most = (size) => (size * (this.scale - 1)) / 2;
    this.x = Math.max(-most(box.width), Math.min(most(box.width), this.x));
    this.y = Math.max(-most(box.height), Math.min(most(box.height), this.y));
    this.node.classList.toggle("near", this.scale > 1);
    this.video.style.transform = this.scale > 1 ? `translate(${this.x}px, ${this.y}px) scale(${this.scale})` : "";
  }
}
