// Who has signed in, with the way out. A page whose session has ended must not stay on the screen.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const leave = () => {
    document.body.style.visibility = "hidden";
    const here = location.pathname + location.search;
    location.replace(`/sign-in?next=${encodeURIComponent(here)}&lang=${data.lang}`);
  };
  const look = async () => {
    try {
      const answer = await fetch("/session", { cache: "no-store" });
      if (answer.status === 401) leave();
    } catch { /* the viewer is away: the page says so itself */ }
  };
  const out = async () => {
    try {
      const answer = await fetch("/sign-out", { method: "POST", redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 401) {
        document.body.style.visibility = "hidden";
        location.replace(`/sign-in?lang=${data.lang}`);
      }
    } catch { /* the viewer is away; nothing has ended, and the button is still there */ }
  };
  once(root, data, () => {
    root.replaceChildren(h("div", { class: "account" },
      h("a", { class: "who", title: data.words.who, "aria-label": `${data.words.account}: ${data.name}, ${data.role}`,
        ...follow(data.href, () => setTriggerValue("open", true)) }, h("b", {}, data.name), h("small", {}, data.role)),
      h("button", { type: "button", class: "out", onclick: out }, data.words.out)));
  });
  const timer = setInterval(look, 4000);
  document.addEventListener("visibilitychange", look);
  return () => { clearInterval(timer); document.removeEventListener("visibilitychange", look); };
}
