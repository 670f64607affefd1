// Who has signed in, with the way out. As it stands on every page it also has Streamlit say its own words in the
// person's language: it knows English alone.
const NAMES = ["aria-label", "placeholder", "title"];
function inTheirWords(said) {
  const known = window.vmsSaid;
  window.vmsSaid = said;
  if (!known) {
    new MutationObserver((changes) => changes.forEach(({ target, addedNodes, type }) => {
      if (type === "childList") addedNodes.forEach(put); else put(target);
    })).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: NAMES });
  }
  if (known !== said) put(document.body);
}
// The page that is open: Streamlit only colours its link. On a phone the line of pages is longer than the screen.
function inSight() {
  requestAnimationFrame(() => {
    const line = document.querySelector(".st-key-nav"), links = [...(line?.querySelectorAll("a") ?? [])];
    const here = links.find((link) => getComputedStyle(link).backgroundColor !== "rgba(0, 0, 0, 0)");
    for (const link of links) if (link === here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    if (!here || line.scrollWidth <= line.clientWidth) return;
    const box = here.getBoundingClientRect(), frame = line.getBoundingClientRect();
    if (box.left < frame.left || box.right > frame.right - frame.width * 0.12) line.scrollLeft += box.left - frame.left - 48;
  });
}
function put(node) {
  const said = window.vmsSaid;
  const place = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
  if (!(place instanceof Element) || place.closest("[data-testid=stHtml], [data-testid=stMarkdownContainer]")) return; // ours
  if (place !== node) { // a single word may be the name of a camera
    if (node.data.includes(" ") && Object.hasOwn(said, node.data) && said[node.data] !== node.data) node.data = said[node.data];
    return;
  }
  for (const name of NAMES) {
    const text = node.getAttribute(name);
    if (text && Object.hasOwn(said, text) && said[text] !== text) node.setAttribute(name, said[text]);
  }
  node.childNodes.forEach(put);
}
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const out = async () => {
    try {
      const answer = await fetch("/sign-out", { method: "POST", redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 401) {
        document.body.style.visibility = "hidden";
        location.replace(`/sign-in?lang=${data.lang}&out=1`);
      }
    } catch { /* the viewer is away; nothing has ended, and the button is still there */ }
  };
  inSight();
  once(root, data, () => {
    inTheirWords(data.said);
    root.replaceChildren(h("div", { class: "account" },
      h("a", { class: "who", title: data.words.who, "aria-label": `${data.words.account}: ${data.name}, ${data.role}`,
        ...leading(data.href) }, h("b", {}, data.name), h("small", {}, data.role)),
      h("button", { type: "button", class: "out", onclick: out }, data.words.out)));
  });
  arrived(root, data.place, data.title);
}
