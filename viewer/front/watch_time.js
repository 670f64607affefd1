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
  // A moment as people write it, without the zone, which stands behind it; as <input type=datetime-local> does, for the calendar.
  written(ms) { return `${this.day(ms)} ${this.local(ms).getUTCFullYear()} ${this.time(ms)}`; }
  field(ms) { return new Date(ms + this.offset(ms)).toISOString().slice(0, 19); }
  // What somebody wrote, or null: 30 Nov 2026 19:26:40, 30/11/2026 19.26, 2026-11-30T19:26, 30 Nov, 19:26. What is left out
  // is as it is at `near`, but for a day without a time, which begins at midnight.
  parse(text, near) {
    const time = /(?:^|[\sT,]+)(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?\s*$/.exec(text);
    const date = (time ? text.slice(0, time.index) : text).trim();
    const now = this.local(near);
    let [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth() + 1, now.getUTCDate()];
    const iso = /^(\d{4})-(\d{1,2})-(\d{1,2})$/.exec(date), said = /^(\d{1,2})[\s./-]+([^\s\d./-]+|\d{1,2})(?:[\s./-]+(\d{4}))?$/.exec(date);
    if (iso) [year, month, day] = iso.slice(1).map(Number);
    else if (said) {
      const name = said[2].toLowerCase();
      day = Number(said[1]);
      month = Number(name) || this.months.findIndex((one) => name.startsWith(one.toLowerCase())) + 1;
      year = Number(said[3] || year);
    } else if (date || !time) return null;
    const parts = time ? time.slice(1).map((one) => Number(one || 0)) : [0, 0, 0];
    const local = Date.UTC(year, month - 1, day, ...parts), back = new Date(local);
    const real = month >= 1 && back.getUTCDate() === day && back.getUTCMonth() === month - 1 && parts[0] < 24 && parts[1] < 60 && parts[2] < 60;
    return real ? local - this.offset(local - this.offset(local)) : null;
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
