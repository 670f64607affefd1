// Times of the page Watch: milliseconds since 1970, shown on the clock of a site, which the timeline tells.
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const two = (value) => String(value).padStart(2, "0");
class Clock {
  // changes: [from when on, seconds ahead of UTC, name of the zone], in order
  constructor(changes = [[0, 0, "UTC"]], months = []) { this.changes = changes; this.months = months; }
  _at(ms) {
    let found = this.changes[0];
    for (const one of this.changes) if (one[0] <= ms) found = one;
    return found;
  }
  offset(ms) { return this._at(ms)[1] * SECOND; }
  zone(ms) { return this._at(ms)[2]; }
  local(ms) { return new Date(ms + this.offset(ms)); }
  time(ms, parts = 3) {
    const at = this.local(ms);
    return [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].slice(0, parts).map(two).join(":");
  }
  day(ms) { const at = this.local(ms); return `${at.getUTCDate()} ${this.months[at.getUTCMonth()] || ""}`; }
  full(ms) { return `${this.day(ms)} ${this.local(ms).getUTCFullYear()} ${this.time(ms)} ${this.zone(ms)}`; }
  // as <input type=datetime-local> writes it, and back
  field(ms) { return new Date(ms + this.offset(ms)).toISOString().slice(0, 19); }
  parse(text) {
    const local = Date.parse(`${text.length === 16 ? `${text}:00` : text}Z`);
    return Number.isNaN(local) ? null : local - this.offset(local - this.offset(local));
  }
}
const STEPS = [SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 56 * DAY];
// The marks of an axis: [ms, text, whether a day begins there].
function marks(clock, from, to, width) {
  const step = STEPS.find((one) => ((to - from) / one) * 76 <= width) || STEPS.at(-1);
  const found = [];
  let at = Math.floor((from + clock.offset(from)) / step) * step - clock.offset(from);
  for (; at <= to; at += step) {
    const ms = at + clock.offset(from) - clock.offset(at);  // on the full hour behind a clock change, too
    if (ms < from) continue;
    const begins = clock.time(ms) === "00:00:00";
    found.push([ms, begins || step >= DAY ? clock.day(ms) : clock.time(ms, step < MINUTE ? 3 : 2), begins]);
  }
  return found;
}
function lengthText(w, seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return w.seconds.replace("{s}", whole);
  if (whole < 3600) return w.minutes.replace("{m}", Math.floor(whole / 60)).replace("{s}", whole % 60);
  return w.hours.replace("{h}", Math.floor(whole / 3600)).replace("{m}", Math.floor((whole % 3600) / 60));
}
