export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => {
    const closed = new Set([...root.querySelectorAll("details:not([open])")].map((node) => node.dataset.key));
    root.replaceChildren(h("div", { class: "sites" }, data.faults.map(fault), data.sites.map(site)), h("p", { class: "soft updated" }, data.updated));
    root.querySelectorAll("details").forEach((node) => { node.open = !closed.has(node.dataset.key); });
  });
  function fault(one) {
    return h("section", { class: "site bad" }, h("div", { class: "top" }, h("h2", {}, one.title), badge("orange", one.badge)), h("p", {}, one.text), h("pre", {}, one.message));
  }
  function number(count, label, note, tone, target) {
    const inside = [h("b", {}, count), h("span", {}, label), note ? h("small", { class: "soft" }, note) : null];
    return target ? h("a", { class: `number ${tone}`, ...leading(target.href) }, inside) : h("div", { class: `number ${tone}` }, inside);
  }
  function site(one) {
    return h("section", { class: "site", "data-site": one.id },
      h("div", { class: "top" }, h("h2", {}, one.name), badge(one.tone, one.badge, one.hint), h("span", { class: "soft local" }, one.local)),
      h("dl", { class: "pair" }, one.facts.map((fact) => h("div", {}, h("dt", { class: "soft" }, fact.label), h("dd", {}, fact.value, fact.note ? h("span", { class: "saving" }, fact.note) : null)))),
      h("div", { class: "numbers" }, one.numbers.map((each) => number(each.count, each.label, each.note, each.tone, each.target))),
      one.cameras.length ? h("figure", { "aria-label": one.day_label },
        h("figcaption", { class: "soft" }, one.day_title, h("span", { class: "scale" }, one.ticks.map((tick) => h("span", {}, tick)))),
        one.cameras.map((camera) => h("div", { class: "row" }, h("a", { class: "camera", title: camera.name, ...leading(camera.href) }, camera.name),
          h("div", { class: "bar", role: "img", "aria-label": camera.label, title: camera.label },
            camera.parts.map(([from, to]) => h("i", { style: { left: `${from}%`, width: `max(2px, ${to - from}%)` } })))))) : null,
      one.problems.length ? h("details", { "data-key": one.id }, h("summary", {}, icon("warning"), one.problems_title),
        h("ul", { class: "problems" }, one.problems.map((problem) => h("li", {},
          h("a", leading(problem.href), h("strong", {}, problem.file)),
          h("p", {}, problem.text), problem.detail ? h("p", { class: "soft reported" }, problem.detail) : null, problem.remedy ? h("p", { class: "remedy" }, problem.remedy) : null))),
        one.all_problems ? h("a", { class: "button", ...leading(one.all_problems.href) }, one.all_problems.text) : null) : null,
      h("a", { class: "button", ...leading(one.footage.href) }, icon("play", 16), one.footage.text));
  }
}
