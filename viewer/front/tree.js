// Sites and cameras to choose from. What is chosen is kept by name here, as of many sites only some are drawn: the first,
// or those that have the words that are searched for. Of those the server is asked (data.ask) when not all came along.
export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => {
    const known = new Map(data.sites.map((site) => [site.id, site])); // those with all their cameras, once these are known
    const chosen = new Set(data.chosen);
    root.open ??= new Set(data.sites.length <= 3 ? data.sites.map((site) => site.id) : []);
    const search = h("input", { type: "search", placeholder: data.words.search, "aria-label": data.words.search, autocomplete: "off",
      value: root.query || "", oninput: () => { root.query = search.value; clearTimeout(root.wait); if (data.ask) root.wait = setTimeout(show, 250); else show(); } });
    const all = h("input", { type: "checkbox", onchange: () => { chosen.clear(); tell(); } });
    const list = h("ul", { "aria-label": data.words.label }), told = h("p", { class: "soft none", role: "status" });
    root.replaceChildren(search, h("label", { class: "row every" }, all, h("span", {}, data.words.all)), list, told);
    let turn = 0;
    draw(data.sites.map((site) => [site, site.cameras]), data.left, false);
    if (root.query) show();

    async function show() {
      const wanted = (root.query || "").trim().toLocaleLowerCase().split(/\s+/).filter(Boolean), mine = ++turn;
      if (!wanted.length) return draw(data.sites.map((site) => [site, known.get(site.id).cameras]), data.left, false);
      if (data.ask) {
        const found = await ask({ q: wanted.join(" ") });
        if (mine !== turn || !root.isConnected) return;
        if (!found) return say(data.words.away);
        for (const site of found.sites) if (!known.has(site.id)) known.set(site.id, { ...site, cameras: null });
        return draw(found.sites.map((site) => [known.get(site.id), site.cameras]), found.left, true);
      }
      const fits = (text) => wanted.every((word) => text.toLocaleLowerCase().includes(word));
      draw(data.sites.map((site) => [site, fits(`${site.name} ${site.note}`) ? [] : site.cameras.filter((one) => fits(`${site.name} ${site.note} ${one.name}`))])
        .filter(([site, some]) => some.length || fits(`${site.name} ${site.note}`)), 0, true);
    }
    async function ask(params) {
      try {
        const answer = await fetch(`${data.ask}&${new URLSearchParams(params)}`);
        return answer.ok ? await answer.json() : null;
      } catch { return null; }
    }
    async function cameras(site) { // all of them, null when the server does not answer
      if (!site.cameras) site.cameras = (await ask({ site: site.id }))?.sites[0]?.cameras || null;
      return site.cameras;
    }
    function say(text) { told.textContent = text; told.hidden = !text; }
    function draw(sites, left, searched) {
      keeping(list, () => list.replaceChildren(...sites.map(([site, some]) => drawSite(site, some, searched))));
      say(!sites.length ? data.words.none : left ? data.words.more.replace("{count}", left.toLocaleString(data.lang)) : "");
      settle();
    }
    function drawSite(site, some, searched) {
      const box = h("input", { type: "checkbox", "data-site": site.id, onchange: () => { drop(site); if (box.checked) chosen.add(site.id); tell(); } });
      const kids = h("ul", {}, (some || []).map((one) => drawCamera(site, one)));
      const fold = h("button", { class: "fold", type: "button", "aria-label": `${data.words.open}: ${site.name}`, onclick: () => turned(!item.classList.contains("open")) }, icon("forth", 16));
      const item = h("li", { class: "site", "data-id": site.id },
        h("div", { class: "row" }, fold, h("label", { class: "row" }, box, h("span", { class: "name" }, h("strong", {}, site.name),
          site.note ? h("small", { class: "soft" }, site.note) : null), h("span", { class: "soft count" }, String(site.count)))), kids);
      opened(searched ? Boolean(some?.length) : root.open.has(site.id));
      function opened(on) {
        item.classList.toggle("open", on);
        fold.setAttribute("aria-expanded", on ? "true" : "false");
        if (on && !kids.children.length) fill();
      }
      async function fill() {
        kids.replaceChildren(...((await cameras(site)) || []).map((one) => drawCamera(site, one)));
        settle();
      }
      function turned(on) {
        if (on) root.open.add(site.id); else root.open.delete(site.id);
        opened(on);
      }
      return item;
    }
    function drawCamera(site, camera) {
      const key = `${site.id}/${camera.id}`;
      const box = h("input", { type: "checkbox", "data-camera": key, onchange: async () => {
        const all = await cameras(site), on = box.checked;
        if (!all) { settle(); return say(data.words.away); }
        const of = all.map((one) => `${site.id}/${one.id}`), some = of.filter((one) => (one === key ? on : chosen.has(site.id) || chosen.has(one)));
        drop(site);
        if (some.length === of.length) chosen.add(site.id); else for (const one of some) chosen.add(one);
        tell();
      } });
      return h("li", {}, h("label", { class: "row" }, box, h("span", {}, camera.name)));
    }
    function drop(site) { for (const one of [...chosen]) if (one === site.id || one.startsWith(`${site.id}/`)) chosen.delete(one); }
    function settle() {
      for (const box of list.querySelectorAll("[data-site]")) {
        box.checked = chosen.has(box.dataset.site);
        box.indeterminate = !box.checked && [...chosen].some((one) => one.startsWith(`${box.dataset.site}/`));
      }
      for (const box of list.querySelectorAll("[data-camera]")) box.checked = chosen.has(box.dataset.camera) || chosen.has(box.dataset.camera.split("/")[0]);
      all.checked = !chosen.size;
    }
    function tell() {
      settle();
      // all of everything is the same as no restriction, and stays so when cameras are added
      const every = !data.left && data.sites.every((site) => chosen.has(site.id));
      setTriggerValue("chosen", every ? "*" : [...chosen].join(",") || "*");
    }
  });
}
