export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const w = data.words;
  let utc = false;
  const renewAt = data.expires * 1000 - Date.now() - 120000;
  const waking = data.cold?.state === "waking";  // looked at again every minute
  const timer = data.expires || waking ? setTimeout(() => setTriggerValue("renew", Date.now()), waking ? 60000 : Math.max(5000, renewAt)) : null;

  // Where the store itself does not answer this browser (a firewall), all of this visit goes through the viewer.
  const footage = () => (sessionStorage.getItem("vms.through") ? `${data.src}?through=1` : data.src);

  // New links for the same recording: keep the player where it is.
  const shown = root.querySelector("video");
  if (shown && root.recording === data.id && data.src) {
    if (shown.getAttribute("src").split("?")[0] !== data.src) {
      const at = shown.currentTime, playing = !shown.paused;
      shown.src = footage();
      shown.addEventListener("loadedmetadata", () => { shown.currentTime = at; if (playing) shown.play(); }, { once: true });
    }
    const link = root.querySelector("a.download");
    if (link) link.href = data.download;
    root.drawn = JSON.stringify(data);
  } else once(root, data, draw);

  function draw() {
    root.recording = data.id;
    root.replaceChildren(head(), h("div", { class: "split" }, h("div", { class: "left" }, player(), actions()), facts()), custody());
  }
  function step(to, name, text) {
    if (!to) return h("span", { class: "button", "aria-disabled": "true" }, name === "back" ? icon(name) : null, text, name === "forth" ? icon(name) : null);
    return h("a", { class: `button step-${name}`, title: to.when, ...follow(to.href, () => setTriggerValue("open", to.id)) },
      name === "back" ? icon(name) : null, text, name === "forth" ? icon(name) : null);
  }
  function head() {
    return h("header", {},
      h("div", { class: "title" }, h("h2", {}, data.camera), h("span", { class: "soft" }, data.site), h("span", { class: "moment" }, data.moment),
        badge(data.tone, data.badge, data.hint), data.marks.map((mark) => badge("orange", mark.text, mark.hint))),
      h("div", { class: "steps" }, step(data.previous, "back", w.previous), step(data.next, "forth", w.next)));
  }
  function notice(text, more, tone = "orange", button = null) {
    return h("div", { class: `notice ${tone}`, role: "status" }, icon(tone === "green" ? "check" : "warning", 22), h("div", {}, h("p", {}, text), more ? h("p", { class: "soft" }, more) : null, button));
  }
  function unplayable() {
    return notice(w.cannot_play, null, "orange", h("a", { class: "button", ...follow(data.watch, () => leave(data.watch)) }, icon("line"), w.converted));
  }
  function player() {
    const frame = h("div", { class: "frame" });
    if (!data.src) {
      const ask = data.cold?.ask ? h("button", { class: "button first", type: "button", onclick: () => setTriggerValue("wake", Date.now()) }, data.cold.ask) : null;
      const box = h("div", { class: "nothing", role: data.cold ? "status" : null }, icon(data.cold ? "clock" : "camera", 40), h("p", {}, data.nothing), ask);
      frame.append(box);
      if (data.problem) return h("div", {}, frame, notice(data.problem.text, null), h("div", { class: "remedy" },
        data.problem.detail ? h("p", { class: "soft reported" }, data.problem.detail) : null,
        data.problem.remedy ? h("p", {}, h("strong", {}, `${w.remedy}: `), data.problem.remedy) : null));
      return h("div", {}, frame);
    }
    const video = h("video", { controls: true, playsinline: true, preload: "metadata", poster: data.poster, src: footage(),
      "aria-label": `${data.camera}, ${data.when}`, tabindex: 0 });
    const clock = h("output", { class: "clock", "aria-live": "off", "aria-label": w.clock });
    const answer = h("div", {});
    const can = data.mime ? video.canPlayType(data.mime) : "";
    if (data.mime && can === "") answer.append(unplayable());
    video.addEventListener("error", async () => {
      if (answer.firstChild) return;
      const reply = await fetch(data.src, { method: "HEAD" }).catch(() => null);
      if (reply && reply.status === 410) { setTriggerValue("renew", Date.now()); return; }
      const first = reply && reply.ok ? await fetch(data.src, { headers: { Range: "bytes=0-0" } }).catch(() => null) : null;
      if (first && first.status === 409) { setTriggerValue("cold", Date.now()); return; }
      if (reply && reply.ok && !video.src.includes("?through")) {  // or its link has ended
        const at = video.currentTime, playing = !video.paused;
        sessionStorage.setItem("vms.through", "1");
        video.src = footage();
        video.addEventListener("loadedmetadata", () => { video.currentTime = at; if (playing) video.play(); }, { once: true });
        return;
      }
      const again = h("button", { class: "button", onclick: () => { answer.replaceChildren(); video.load(); } }, w.retry);
      answer.replaceChildren(reply && reply.ok ? unplayable() : notice(w.broken, null, "orange", again));
    });
    const tick = () => { clock.textContent = clockAt(video.currentTime); };
    video.addEventListener("timeupdate", tick);
    video.addEventListener("seeking", tick);
    tick();
    frame.append(video);
    root.clock = clock;
    return h("div", {}, frame, strip(video), answer, data.cold ? notice(data.cold.text, null, "green") : null, data.damaged ? notice(w.damaged, data.damaged) : null);
  }
  function clockAt(second) {
    const at = new Date(data.start_ms + second * 1000 + data.offset_s * 1000);
    return [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
  }
  function strip(video) {
    if (!data.sprite) return null;
    const line = h("div", { class: "film" });
    const room = root.clientWidth > 820 ? ((root.clientWidth - 16) * 1.75) / 2.75 : root.clientWidth || 330;
    const count = Math.max(2, Math.min(data.sprite.tiles, Math.floor(room / 96)));
    const width = Math.min(160, Math.floor((room - 3 * (count - 1)) / count));
    for (let place = 0; place < count; place += 1) {
      const index = Math.floor((place * data.sprite.tiles) / count);
      const second = index * data.sprite.interval;
      line.append(h("button", { type: "button", "aria-label": w.play_from.replace("{time}", clockAt(second)),
        style: { ...tile(data.sprite, index, width), width: `${width}px`, aspectRatio: `${data.sprite.width} / ${data.sprite.height}` },
        onclick: () => { video.currentTime = second; video.play(); } }));
    }
    return line;
  }
  function actions() {
    const copied = h("span", { role: "status" });
    const link = h("button", { class: "button", type: "button", onclick: async () => {
      await copyText(new URL(data.href, document.baseURI).href);
      copied.textContent = w.copied;
      setTimeout(() => { copied.textContent = ""; }, 2000);
    } }, icon("link"), w.copy_link);
    return h("div", { class: "actions" },
      data.download ? h("a", { class: "button first download", href: data.download, download: data.name }, icon("down"), `${w.download} · ${data.size}`) : null,
      data.export ? h("a", { class: "button export", ...follow(data.export, () => leave(data.export)) }, icon("down"), w.export) : null,
      data.watch ? h("a", { class: "button watch", ...follow(data.watch, () => leave(data.watch)) }, icon("line"), w.watch) : null,
      link, copied, data.src ? h("div", { class: "clock-line" }, root.clock, h("span", { class: "soft" }, data.zone)) : null, data.src ? h("p", { class: "keys soft" }, w.keys) : null);
  }
  function facts() {
    const list = h("dl", {}, data.facts.map((fact) => [h("dt", {}, fact.label),
      h("dd", { class: fact.long ? "long" : null, "data-utc": fact.utc || null, "data-local": fact.utc ? fact.value : null }, fact.value,
        fact.note ? h("span", { class: "soft" }, ` ${fact.note}`) : null)]));
    const flip = h("button", { class: "flip", type: "button", "aria-pressed": "false", onclick: () => {
      utc = !utc;
      root.querySelectorAll("[data-utc]").forEach((node) => { node.textContent = utc ? node.dataset.utc : node.dataset.local; });
      flip.textContent = utc ? w.hide_utc : w.show_utc;
      flip.setAttribute("aria-pressed", String(utc));
    } }, w.show_utc);
    return h("aside", { class: "panel" }, h("div", { class: "panel-head" }, h("h3", {}, w.facts), flip), list, copies());
  }
  function copies() {
    return data.copies.length === 0 ? null : h("section", { class: "copies" }, h("h3", {}, w.copies),
      h("ul", {}, data.copies.map((one) => h("li", {}, h("span", { class: "tick" }, icon("check", 15)),
        h("div", {}, h("div", { class: "event" }, h("strong", {}, one.store), h("span", { class: "soft small" }, one.size)),
          h("div", { class: "soft small", "data-utc": one.utc, "data-local": one.when }, one.when),
          one.checksum ? hashLine("", one.checksum, `${w.copy_hash}: ${one.store}`) : null)))));
  }
  function hashLine(label, value, name) {
    return h("div", { class: "hash" }, label ? h("span", { class: "soft small" }, label) : null, h("code", {}, value),
      h("button", { type: "button", class: "copy", title: w.copy_hash, "aria-label": name,
        onclick: async (mouse) => { const button = mouse.currentTarget; await copyText(value); button.classList.add("done"); setTimeout(() => button.classList.remove("done"), 1500); } }, icon("copy", 16)));
  }
  function custody() {
    return h("section", { class: "panel" }, h("h3", {}, w.custody),
      data.custody.length === 0 ? h("p", { class: "soft" }, w.custody_none) : null,
      h("ol", { class: "custody" }, data.custody.map((event) => h("li", { class: event.tone },
        h("div", { class: "event" }, h("strong", {}, event.title), h("time", { class: "soft", "data-utc": event.utc, "data-local": event.when }, event.when)),
        event.by ? h("div", { class: "soft small" }, event.by) : null,
        event.text ? h("div", { class: "small long" }, event.text) : null,
        event.hashes.map((hash) => hashLine(hash.label, hash.value, `${w.copy_hash}: ${hash.label}`))))));
  }

  const onKey = (event) => {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable) return;
    const video = root.querySelector("video");
    const key = event.key.toLowerCase();
    if (key === "n" && data.next) setTriggerValue("open", data.next.id);
    else if (key === "p" && data.previous) setTriggerValue("open", data.previous.id);
    else if (!video) return;
    else if (key === " " && !/^(BUTTON|A|VIDEO|SUMMARY)$/.test(target.tagName)) { if (video.paused) video.play(); else video.pause(); }
    else if ((key === "arrowleft" || key === "arrowright") && target.tagName !== "VIDEO") video.currentTime += key === "arrowleft" ? -5 : 5;
    else if (key === "," || key === ".") { video.pause(); video.currentTime += (key === "," ? -1 : 1) / (data.fps || 15); }
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", onKey);
  return () => { document.removeEventListener("keydown", onKey); clearTimeout(timer); };
}
