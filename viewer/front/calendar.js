export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => {
    let from = data.from, to = data.to;
    const times = { from: data.from_time, to: data.to_time };
    const cells = data.days.map((day) => drawDay(day));
    const grid = h("div", { class: "month", role: "grid", "aria-label": data.title, onkeydown: move },
      data.weekdays.map((day) => h("abbr", { class: "weekday soft", title: day.long }, day.short)), cells);
    if (cells.length) cells[0].style.gridColumnStart = data.lead + 1;
    const several = h("button", { class: "button small several", type: "button", title: data.words.hint, "aria-pressed": root.several ? "true" : "false",
      onclick: () => {
        root.several = !root.several;
        root.begun = false;
        several.setAttribute("aria-pressed", root.several ? "true" : "false");
      } }, data.words.several);
    const begin = clock("from", data.words.from_time), end = clock("to", data.words.to_time);
    root.replaceChildren(
      h("div", { class: "top" },
        turn("back", data.words.before, data.before), h("strong", { "aria-live": "polite" }, data.title),
        turn("forth", data.words.after, data.after)),
      several, grid,
      h("div", { class: "legend soft" }, ["all", "part", "none"].map((name) =>
        h("span", {}, h("i", { class: `bar ${name}` }), data.words[name]))),
      h("div", { class: "times" }, begin, end,
        h("button", { class: "button small", type: "button", onclick: () => { times.from = times.to = ""; tell(); } }, data.words.whole)));
    mark();
    if (root.wanted) goTo(cells.findIndex((cell) => cell.tabIndex === 0), cells.find((cell) => cell.dataset.day === root.wanted));
    root.wanted = null;
    if (!data.counted) setTriggerValue("month", data.month);
    function turn(name, label, month) {
      return h("button", { class: "turn", type: "button", "aria-label": label, title: label, disabled: !month,
        onclick: () => setTriggerValue("month", month) }, icon(name));
    }
    function clock(which, label) {
      // while somebody writes, each digit is a change: what is written is taken on leaving, at Enter, or after a while
      let wait = 0;
      const take = () => { if (wait) { clearTimeout(wait); wait = 0; tell(); } };
      const input = h("input", { type: "time", value: times[which], "aria-label": label, "data-time": which, onblur: take,
        onkeydown: (event) => { if (event.key === "Enter") take(); },
        onchange: (event) => { times[which] = event.target.value; clearTimeout(wait); wait = setTimeout(take, 2500); } });
      return h("label", {}, h("span", { class: "soft" }, label), input);
    }
    function drawDay(day) {
      return h("button", { class: `day ${day.today ? "today" : ""}`, type: "button", role: "gridcell", "data-day": day.iso, tabindex: "-1",
        "aria-label": day.label, title: day.label, disabled: day.off, onclick: (event) => choose(day.iso, event.shiftKey) },
        h("span", {}, String(day.number)),
        h("i", { class: `bar ${day.share >= 1000 ? "all" : day.share ? "part" : "none"}`, style: day.off || !data.counted ? { visibility: "hidden" } : {} },
          day.share && day.share < 1000 ? h("b", { style: { width: `${Math.min(90, Math.max(12, day.share / 10))}%` } }) : null));
    }
    function choose(day, extend) {
      // with "several days" the first click begins a period and the second one ends it
      if ((extend || root.begun) && from) [from, to] = from < day ? [from, day] : [day, from];
      else from = to = day;
      root.begun = root.several && !root.begun;
      tell();
    }
    function tell() {
      mark();
      if (!from) return;
      setTriggerValue("chosen", `${from}${times.from ? `T${times.from}` : ""}/${to}${times.to ? `T${times.to}` : ""}`);
    }
    function mark() {
      const focus = cells.find((cell) => cell.dataset.day === (to || "")) || cells.find((cell) => !cell.disabled);
      for (const cell of cells) {
        const inside = from && cell.dataset.day >= from && cell.dataset.day <= to;
        cell.classList.toggle("inside", Boolean(inside));
        cell.setAttribute("aria-selected", inside ? "true" : "false");
        cell.tabIndex = cell === focus ? 0 : -1;
        cell.classList.toggle("begin", cell === focus);
      }
    }
    function goTo(at, next) {
      if (!next || next.disabled) return;
      if (cells[at]) cells[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
    function move(event) {
      const at = cells.indexOf(event.target.closest(".day"));
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 }[event.key];
      if (at < 0) return;
      if (event.key === "PageUp" && data.before) setTriggerValue("month", data.before);
      else if (event.key === "PageDown" && data.after) setTriggerValue("month", data.after);
      else if (step && cells[at + step]) goTo(at, cells[at + step]);
      else if (step && (step < 0 ? data.before : data.after)) {
        const day = new Date(Date.parse(cells[at].dataset.day) + step * 86400000);
        root.wanted = day.toISOString().slice(0, 10);
        setTriggerValue("month", root.wanted.slice(0, 7));
      } else return;
      event.preventDefault();
    }
  });
}
