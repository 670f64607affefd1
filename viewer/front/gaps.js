// The list of gaps with their reasons, for every component that shows one.
function gapList(title, gaps) {
  return h("section", { class: "gaps" }, h("h2", {}, icon("warning"), title),
    h("ol", {}, gaps.map((gap) => h("li", {}, h("a", leading(gap.href),
      h("span", { class: "what" }, h("strong", {}, gap.camera), h("span", { class: "soft" }, gap.site), badge(gap.tone, gap.length)),
      h("span", { class: "when" }, gap.when)),
      gap.cameras ? h("p", { class: "soft names" }, gap.cameras) : null, h("p", {}, gap.reason),
      gap.remedy ? h("p", { class: "soft" }, gap.remedy) : null))));
}
