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
    this.busy = h("div", { class: "busy", hidden: true, role: "status", "aria-label": app.w.loading });
    this.stamp = h("div", { class: "stamp" });
    this.flaw = h("div", { class: "flaw", role: "status", hidden: true });
    this.node = h("figure", { class: "tile", "data-camera": camera.key }, this.video, this.busy, this.note, this.stamp, this.flaw);
    this.pieces = [];
    this.leftOut = [];
    this.asked = 0;
    for (const name of ["waiting", "seeking", "stalled"]) this.video.addEventListener(name, () => this._busy(true));
    for (const name of ["playing", "seeked", "canplay", "pause"]) this.video.addEventListener(name, () => this._busy(false));
    this.video.addEventListener("ended", () => app.ended(this));
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
    else this.busySoon = setTimeout(() => { this.busy.hidden = false; }, 250);
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
  // Until when footage goes on from this piece without a gap.
  endOf(piece) {
    let end = piece.from + piece.length * 1000;
    for (const one of this.pieces.slice(this.pieces.indexOf(piece) + 1)) {
      if (one.from - end > CLOSE) break;
      end = one.from + one.length * 1000;
    }
    return end;
  }

  // Show this moment. Resolves to whether there is footage to show.
  async seek(ms) {
    this.target = ms;
    if (!this.covers(ms)) { if (!(await this.load(ms))) return false; if (this.target !== ms) return true; }
    const piece = this.pieceAt(ms);
    if (!piece) { this.video.pause(); this.app.explain(this, ms); return false; }
    this.say("");
    this.video.currentTime = piece.at + (ms - piece.from) / 1000;
    this.showFlaw(piece);
    return true;
  }
  showFlaw(piece) {
    this.flaw.hidden = !piece?.damaged;
    this.flaw.textContent = piece?.damaged ? `${this.app.w.damaged} ${piece.damaged}` : "";
  }
  async load(ms) {
    const turn = ++this.asked;
    this._busy(true);
    const from = Math.round(ms - BEFORE), to = Math.round(ms + BEHIND);
    try {
      const [Hls, made] = await Promise.all([loadHls(this.app.given.player),
        this.app.data.ask("playlist", { camera: this.camera.key, from, to, can: playableCodecs().join(",") })]);
      if (turn !== this.asked) return false;
      this.pieces = made.pieces;
      this.leftOut = made.left_out;
      this.loaded = [from, to];
      this._renewAt(made.expires);
      if (!made.playlist) { this._busy(false); this.hls?.destroy(); this.hls = null; this.video.pause(); this.app.explain(this, ms); return false; }
      const piece = this.pieceAt(ms);
      await this._attach(Hls, made.playlist, piece ? piece.at + (ms - piece.from) / 1000 : 0);
      return true;
    } catch (error) {
      if (turn !== this.asked) return false;
      this._busy(false);
      this.loaded = null;
      this.say(error.said || this.app.w.broken, { text: this.app.w.retry, run: () => this.seek(ms) });
      return false;
    }
  }
  _attach(Hls, text, startPosition) {
    this.hls?.destroy();
    if (!Hls.isSupported()) { this.say(this.app.w.no_player); return Promise.resolve(); }
    const hls = new Hls({ pLoader: textLoader(text), startPosition, enableWorker: false, maxBufferLength: 20, maxMaxBufferLength: 40,
      backBufferLength: 40, maxBufferHole: 0.6, nudgeMaxRetry: 8, fragLoadingMaxRetry: 2, debug: false });
    this.hls = hls;
    let mended = 0;
    hls.on(Hls.Events.ERROR, (_name, fault) => {
      if (!fault.fatal || this.hls !== hls) return;
      if (fault.type === Hls.ErrorTypes.MEDIA_ERROR && mended < 2) { mended += 1; hls.recoverMediaError(); return; }
      const at = this.target ?? this.app.at;
      this._busy(false);
      if ([403, 410].includes(fault.response?.code)) { this.loaded = null; this.seek(at); return; }
      this.loaded = null;
      this.say(this.app.w.broken, { text: this.app.w.retry, run: () => this.app.seek(at) });
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
    this.renewal = setTimeout(() => { this.loaded = null; if (this.app.at !== null) this.app.resume(this); }, Math.max(10000, expires * 1000 - Date.now() - 120000));
  }
  play() { return this.video.play().catch(() => {}); }
}
