// Where the viewer is, so that Streamlit's page connects at once: else it first asks at two addresses whether anybody is
// there, one after the other, and the first is wrong on every page but Find. No other page may speak to this one.
window.__streamlit = {
  BACKEND_BASE_URL: `${location.origin}/`,
  MAIN_PAGE_BASE_URL: `${location.origin}/`,
  HOST_CONFIG: { allowedOrigins: [location.origin], useExternalAuthToken: false },
};
// To another page without loading everything anew: Streamlit's own way leaves the address it goes to behind as one of
// this page's, too, so that the way back takes two steps. Within Airflow's page every page stays without a header.
window.vmsLeave = (href) => {
  const to = new URL(href, location);
  if (new URLSearchParams(location.search).get("embed") === "true") to.searchParams.set("embed", "true");
  history.pushState(null, "", to);
  dispatchEvent(new PopStateEvent("popstate"));
};
addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest("a[data-within]");
  if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  window.vmsLeave(link.href);
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
