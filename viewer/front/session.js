// Links of ours between pages lead on without loading everything anew, and leave one step behind for the way back.
addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest("a[data-within]");
  if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  dispatchEvent(new PopStateEvent("popstate"));
});
// A page whose session has ended must not stay on the screen, whether or not it got as far as drawing something.
(() => {
  const root = document.documentElement;
  root.removeAttribute("lang"); // set again, truly, by whatever is drawn first
  const leave = () => {
    root.style.visibility = "hidden";
    const here = location.pathname + location.search;
    location.replace(`/sign-in?next=${encodeURIComponent(here)}${root.lang ? `&lang=${root.lang}` : ""}`);
  };
  const look = async () => {
    try {
      const answer = await fetch("/session", { cache: "no-store" });
      if (answer.status === 401) leave();
    } catch { /* the viewer is away: the page says so itself */ }
  };
  setInterval(look, 4000);
  document.addEventListener("visibilitychange", look);
  addEventListener("pageshow", (event) => { if (event.persisted) look(); });
})();
