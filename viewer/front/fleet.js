// Sites by region: the sums of a region, and a tile for each of its sites in the colour and with the sign of its state.
// One stop of the tab key for each region; arrows go from tile to tile.
export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  root.tell = setTriggerValue;
  once(root, data, () => {
    root.replaceChildren(
      h("p", { class: "legend" }, data.legend.map((place) => h("span", {}, sign(place), data.kinds[place].text))),
      h("div", { class: "regions" }, data.regions.map(region)));
  });
  function sign(place) { return h("i", { class: `tile ${data.kinds[place].tone}`, "aria-hidden": "true" }, data.kinds[place].sign); }
  function region(one) {
    const tiles = one.tiles.map(([id, name, place], index) => h("a", { class: `tile ${data.kinds[place].tone}`, "data-site": id, tabindex: index ? "-1" : "0",
      title: `${name}: ${data.kinds[place].text}`, "aria-label": `${name}: ${data.kinds[place].text}`, ...follow(data.href + encodeURIComponent(id), () => root.tell("open", id)) }, data.kinds[place].sign));
    const grid = h("div", { class: "tiles", role: "group", "aria-label": `${data.words.map} ${one.name}. ${data.words.keys}`, onkeydown: (event) => {
      const from = tiles.indexOf(event.target), row = tiles.findIndex((tile) => tile.offsetTop > tiles[0].offsetTop);
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row < 1 ? 0 : row, ArrowUp: row < 1 ? 0 : -row, Home: -from, End: tiles.length - 1 - from }[event.key];
      const to = tiles[from + step];
      if (step === undefined || !to) return;
      event.preventDefault();
      to.focus();
    }, onfocusin: (event) => { for (const one of tiles) one.tabIndex = one === event.target ? 0 : -1; } }, tiles);
    const title = one.id ? h("a", follow(data.region_href + encodeURIComponent(one.id), () => root.tell("region", one.id)), one.name) : one.name;
    return h("section", { class: "region", "data-region": one.id },
      h("header", {}, one.name ? h("h3", {}, title) : null,
        h("p", { class: "counts" }, one.counts.map(([place, count]) => h("span", { title: data.kinds[place].text, class: data.kinds[place].tone }, sign(place), h("b", {}, count), h("span", { class: "hidden" }, data.kinds[place].text))))),
      h("dl", {}, one.facts.map((fact) => h("div", {}, h("dt", { class: "soft" }, fact.label), h("dd", {}, fact.value)))), grid);
  }
}
