// For whoever works without a mouse: a way past the header, a place to be on a page that was gone to, and popovers, which
// Streamlit puts at the end of the document, as if they stood behind their button.
const OPENER = "[data-testid=stPopoverButton]";
function* waysIn(root) {
  for (const one of root.querySelectorAll("*")) {
    if (one.matches(WAYS) && one.tabIndex >= 0 && one.checkVisibility({ visibilityProperty: true })) yield one;
    if (one.shadowRoot) yield* waysIn(one.shadowRoot);
  }
}
function focused() {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at;
}
function popover() {
  const box = document.querySelector("[data-testid=stPopoverBody]");
  return box && { box, ways: [...waysIn(box)], opener: document.querySelector(`${OPENER}[aria-expanded=true]`) };
}
// Into a popover that was opened by keyboard, once it has something to be at; on a slow line that takes a while.
function into(opener, tries = 600) {
  const ways = popover()?.ways || [];
  if (focused() !== opener || !opener.isConnected || !tries) return;
  if (ways.length) (ways.find((one) => one.classList.contains("begin")) || ways[0]).focus();
  else setTimeout(() => into(opener, tries - 1), 50);
}
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const opener = event.composedPath()[0].closest?.(OPENER);
  if (opener && ["Enter", " "].includes(event.key) && opener.getAttribute("aria-expanded") !== "true") setTimeout(() => into(opener), 50);
  const open = event.key === "Tab" ? popover() : null;
  if (!open?.opener || !open.ways.length) return;
  const at = focused(), [first, last] = [open.ways[0], open.ways.at(-1)];
  if (at === open.opener && !event.shiftKey) {
    event.preventDefault();
    first.focus();
  } else if (at === first && event.shiftKey) {
    event.preventDefault();
    open.opener.focus();
  } else if (at === last && !event.shiftKey) {  // on to what stands behind the button
    open.opener.focus();
    open.opener.click();
  }
}
function begin() { document.querySelector(".pagebegin")?.focus({ preventScroll: true }); }
// Called at each drawing of the header. place: of the page; where it is another than before, the page is gone to.
function arrived(root, place, title) {
  const main = document.getElementById("stMain"), mark = document.querySelector(".pagebegin");
  main?.setAttribute("aria-label", title);
  if (mark) mark.textContent = title;
  if (root.place !== undefined && root.place !== place) { begin(); main?.scrollTo(0, 0); }
  root.place = place;
  if (window.vmsKeyboard) return;
  window.vmsKeyboard = true;
  addEventListener("keydown", onKey, true);
  addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-testid=stSkipToContent]")) return;
    event.preventDefault();
    event.stopPropagation();
    begin();
  }, true);
}
