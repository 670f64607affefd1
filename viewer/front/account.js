// Who has signed in, with the way out.
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
  once(root, data, () => {
    root.replaceChildren(h("div", { class: "account" },
      h("a", { class: "who", title: data.words.who, "aria-label": `${data.words.account}: ${data.name}, ${data.role}`,
        ...leading(data.href) }, h("b", {}, data.name), h("small", {}, data.role)),
      h("button", { type: "button", class: "out", onclick: out }, data.words.out)));
  });
}
