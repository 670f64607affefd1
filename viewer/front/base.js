// Elements are only ever made here and text only ever set as text: names from disk can't become markup.
const SVG = "http://www.w3.org/2000/svg";
function h(tag, props = {}, ...kids) {
  const svg = tag === "svg" || tag === "path" || tag === "circle" || tag === "rect";
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const kid of kids.flat(Infinity)) if (kid !== null && kid !== undefined && kid !== false && kid !== "") node.append(kid);
  return node;
}
const ICONS = {
  camera: "M3 8h11a2 2 0 0 1 2 2v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2zM16 11l5-3v8l-5-3",
  warning: "M12 4 2.8 20h18.4zM12 10v4M12 17v.5",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3 2",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  back: "M15 5l-7 7 7 7",
  forth: "M9 5l7 7-7 7",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  copy: "M9 9h10v11H9zM5 15V4h10",
  check: "M5 12.5l4.5 4.5L19 7.5",
  play: "M8 5v14l11-7z",
  line: "M3 6h18M3 12h18M3 18h18M8 4v4M15 10v4M6 16v4",
  box: "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8",
};
function icon(name, size = 18) {
  return h("svg", { viewBox: "0 0 24 24", width: size, height: size, fill: "none", stroke: "currentColor",
    "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" },
    h("path", { d: ICONS[name] }));
}
function badge(tone, text, hint) {
  return h("span", { class: `badge ${tone}`, title: hint || null }, text);
}
function plainClick(event) {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}
// A link that also works by middle click and "open in new tab", but normally only tells the page.
function follow(href, tell) {
  return { href, onclick: (event) => { if (plainClick(event)) { event.preventDefault(); tell(); } } };
}
// What was opened has the focus when its list is there again.
function opening(id, tell) { return () => { window.vmsOpened = id; tell(); }; }
function openedBefore(root) {
  if (!window.vmsOpened || new URLSearchParams(location.search).has("recording")) return;
  const card = root.querySelector(`[data-recording="${CSS.escape(window.vmsOpened)}"]`);
  window.vmsOpened = "";
  (card?.matches("a") ? card : card?.querySelector("a"))?.focus();
}
// To another page with one step left behind for the way back (see session.js).
function leave(href) { window.vmsLeave(href); }
function leading(href) { return follow(href, () => leave(href)); }
const WAYS = "a[href], button:not(:disabled), input:not(:disabled), select, textarea, summary, video, [tabindex]";
// What had the focus has it again after drawing: what is called the same now, else what stands in its place. Whoever
// works by keyboard would have to begin at the top otherwise.
function keeping(root, draw) {
  const was = root.getRootNode().activeElement;
  if (!was || was === root || !root.contains(was)) return draw();
  const called = (one) => JSON.stringify([one.tagName, one.type, Object.keys(one.dataset).length ? one.dataset : one.getAttribute("aria-label") || one.textContent]);
  const name = called(was), alike = () => [...root.querySelectorAll(WAYS)].filter((one) => called(one) === name);
  const nth = alike().indexOf(was), place = [...root.querySelectorAll(WAYS)].indexOf(was);
  draw();
  if (root.contains(root.getRootNode().activeElement)) return;
  for (const one of [alike()[nth], [...root.querySelectorAll(WAYS)][place]]) {
    one?.focus({ preventScroll: true });
    if (one && root.getRootNode().activeElement === one) return;
  }
}
// Draw only when something changed: Streamlit calls this at every rerun.
function once(root, data, draw) {
  document.documentElement.lang = data.lang;
  const text = JSON.stringify(data);
  if (root.drawn === text && root.firstElementChild) return;
  root.drawn = text;
  keeping(root, draw);
}
async function copyText(text) {
  try { await navigator.clipboard.writeText(text); return; } catch { /* no clipboard outside secure pages */ }
  const area = h("textarea", { style: { position: "fixed", opacity: 0 } });
  area.value = text;
  document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
}
function tile(sprite, index, width) {
  const scale = width / sprite.width, column = index % sprite.columns, row = Math.floor(index / sprite.columns);
  return { backgroundImage: `url("${sprite.url}")`,
    backgroundSize: `${sprite.width * sprite.columns * scale}px auto`,
    backgroundPosition: `${-column * sprite.width * scale}px ${-row * sprite.height * scale}px` };
}
