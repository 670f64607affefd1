export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => {
    root.open ??= new Set(data.sites.length <= 3 ? data.sites.map((site) => site.id) : []);
    const search = h("input", { type: "search", placeholder: data.words.search, "aria-label": data.words.search, autocomplete: "off",
      value: root.query || "", oninput: () => { root.query = search.value; filter(); } });
    const nothing = h("p", { class: "soft none", hidden: true }, data.words.none);
    const all = h("input", { type: "checkbox", onchange: () => { for (const box of boxes()) box.checked = false; settle(); tell(); } });
    const list = h("ul", { "aria-label": data.words.label }, data.sites.map(drawSite));
    root.replaceChildren(search, h("label", { class: "row every" }, all, h("span", {}, data.words.all)), list, nothing);
    settle();
    filter();
    function drawSite(site) {
      const box = h("input", { type: "checkbox", "data-site": site.id,
        onchange: () => { for (const one of cameras(site)) one.checked = box.checked; settle(); tell(); } });
      box.checked = site.chosen;
      const kids = h("ul", {}, site.cameras.map((camera) => {
        const one = h("input", { type: "checkbox", "data-camera": `${site.id}/${camera.id}`, onchange: () => { settle(); tell(); } });
        one.checked = camera.chosen || site.chosen;
        return h("li", { "data-name": camera.name }, h("label", { class: "row" }, one, h("span", {}, camera.name)));
      }));
      const fold = h("button", { class: "fold", type: "button", "aria-expanded": "false", "aria-label": `${data.words.open}: ${site.name}`,
        onclick: () => { root.open.has(site.id) ? root.open.delete(site.id) : root.open.add(site.id); filter(); } }, icon("forth", 16));
      return h("li", { class: "site", "data-id": site.id, "data-name": site.name },
        h("div", { class: "row" }, fold, h("label", { class: "row" }, box, h("strong", {}, site.name),
          h("span", { class: "soft count" }, String(site.cameras.length)))), kids);
    }
    function boxes() { return [...list.querySelectorAll("input[type=checkbox]")]; }
    function cameras(site) { return boxes().filter((box) => (box.dataset.camera || "").startsWith(`${site.id}/`)); }
    function settle() {
      let any = false;
      for (const site of data.sites) {
        const box = boxes().find((one) => one.dataset.site === site.id), of = cameras(site), on = of.filter((one) => one.checked).length;
        if (of.length) box.checked = on === of.length;
        box.indeterminate = on > 0 && on < of.length;
        any ||= box.checked || on > 0;
      }
      all.checked = !any;
    }
    function tell() {
      const told = [];
      for (const site of data.sites) {
        const box = boxes().find((one) => one.dataset.site === site.id);
        if (box.checked) told.push(site.id);
        else told.push(...cameras(site).filter((one) => one.checked).map((one) => one.dataset.camera));
      }
      // all of everything is the same as no restriction, and stays so when cameras are added
      const every = data.sites.every((site) => told.includes(site.id));
      setTriggerValue("chosen", every ? "*" : told.join(",") || "*");
    }
    function filter() {
      const wanted = (root.query || "").trim().toLocaleLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const item of list.children) {
        const name = item.dataset.name.toLocaleLowerCase();
        let kept = 0;
        for (const kid of item.querySelectorAll("li")) {
          const text = `${name} ${kid.dataset.name.toLocaleLowerCase()}`;
          kid.hidden = !wanted.every((word) => text.includes(word));
          if (!kid.hidden) kept += 1;
        }
        item.hidden = wanted.length > 0 && !kept && !wanted.every((word) => name.includes(word));
        const open = wanted.length ? kept > 0 : root.open.has(item.dataset.id);
        item.classList.toggle("open", open);
        item.querySelector(".fold").setAttribute("aria-expanded", open ? "true" : "false");
        if (!item.hidden) shown += 1;
      }
      nothing.hidden = shown > 0;
    }
  });
}
