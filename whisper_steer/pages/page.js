"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const L = data.latents, n = L.auroc.length, shown = new Set(data.shown);
  const ROW = 30; // pixels, as in page.css

  // Everything that comes from labels and file names is set as text, never as HTML.
  function make(tag, attributes = {}, ...children) {
    const svg = ["svg", "path", "rect", "text", "title"].includes(tag);
    const el = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
      if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
      else if (value !== null) el.setAttribute(name, value);
    el.append(...children);
    return el;
  }
  const digits = (v, d) => (v === null || v === undefined ? "–" : v.toFixed(d).replace(/^-(0\.?0*)$/, "$1"));
  const percent = (v) => (v === null ? "–" : `${(100 * v).toFixed(v < 0.01 ? 2 : 1)} %`);

  const columns = [
    { key: "latent", title: "latent", width: 70, value: (j) => j, show: String, number: true },
    { key: "auroc", title: "speech", width: 74, value: (j) => L.auroc[j], show: (v) => digits(v, 3), number: true,
      long: "tells speech (AUROC)", help: "AUROC of the activation, frames of speech against other frames" },
    { key: "density", title: "active", width: 78, value: (j) => L.density[j], show: percent, number: true, scale: 100,
      long: "frames on which it is active", help: "share of all frames on which the latent is active" },
    { key: "domain", title: "domain", width: 106, value: (j) => L.domain[j], show: (v) => v || "–",
      long: "domain", help: `largest gap of activation frequency inside and outside, above ${data.thresholds.at(-1)}` },
    { key: "gap", title: "gap", width: 66, value: (j) => L.gap[j], show: (v) => digits(v, 2), number: true,
      long: "gap of frequencies", help: "activation frequency inside its domain less that outside" },
    { key: "effect", title: "effect", width: 76, value: (j) => L.effect[j], show: (v) => digits(v, 3), number: true,
      long: "effect on the decoder", help: "gain in the log odds that the decoder writes nothing, when clamped, on sound without speech" },
    { key: "stability", title: "stable", width: 72, value: (j) => L.stability[j], show: (v) => digits(v, 2), number: true,
      long: "stability", help: "IoU of its active frames with those of its best match in SAEs of other seeds" },
    { key: "name", title: "name", value: (j) => L.name[j], show: String },
  ].filter((c) => c.key === "latent" || (L[c.key] !== null && (c.key !== "name" || L.name.some(Boolean))));

  // ---- which latents, in which order
  let sort = { key: "auroc", down: true };
  let order = [], chosen = null;
  const haystack = Array.from({ length: n }, (_, j) => `${j} ${L.name[j]} ${L.domain[j]}`.toLowerCase());
  const limits = {}; // column -> [least, most]

  function filter() {
    const wanted = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), domain = $("domain").value;
    const ranges = columns.filter((c) => limits[c.key]);
    order = [];
    for (let j = 0; j < n; j++) {
      if ($("full").checked && !shown.has(j)) continue;
      if (domain !== "any" && L.domain[j] !== domain) continue;
      if (!wanted.every((word) => (/^\d+$/.test(word) ? String(j).startsWith(word) : haystack[j].includes(word)))) continue;
      if (ranges.some((c) => {
        const v = c.value(j), [least, most] = limits[c.key];
        return v === null || v < least || v > most;
      })) continue;
      order.push(j);
    }
    const column = columns.find((c) => c.key === sort.key), sign = sort.down ? -1 : 1;
    const missing = (v) => v === null || v === "";
    order.sort((a, b) => {
      const x = column.value(a), y = column.value(b);
      if (missing(x) || missing(y)) return missing(x) - missing(y) || a - b;
      return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
    });
    $("count").textContent = `${order.length} of ${n} latents`;
    document.querySelector("table").setAttribute("aria-rowcount", order.length);
    for (const [k, th] of [...$("head").children].entries())
      if (columns[k].key === sort.key) th.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    draw();
  }

  // ---- the table: only the rows in view exist
  const block = () => Math.floor($("scroll").scrollTop / ROW / 10);
  let drawn = 0;
  function draw() {
    drawn = block();
    const first = Math.max(0, 10 * drawn - 10);
    const last = Math.min(order.length, first + Math.ceil($("scroll").clientHeight / ROW) + 30);
    const space = (rows) => make("tr", { class: "space", style: `height:${rows * ROW}px`, "aria-hidden": "true" });
    const rows = order.slice(first, last).map((j, k) =>
      make("tr", { class: j === chosen ? "row on" : "row", "data-latent": j, "aria-rowindex": first + k + 1 },
        ...columns.map((c) => {
          const kind = c.key === "domain" ? L.domain[j] : c.key === "latent" && shown.has(j) ? "full" : "";
          const text = c.show(c.value(j));
          return make("td", { class: `${c.number ? "number" : ""} ${kind}`, title: c.key === "name" ? text : null }, text);
        })));
    $("rows").replaceChildren(space(first), ...rows, space(order.length - last));
  }

  function reveal(j) {
    const top = order.indexOf(j) * ROW, height = $("scroll").clientHeight - 2 * ROW;
    if (top < 0) return;
    if (top < $("scroll").scrollTop) $("scroll").scrollTop = top;
    else if (top > $("scroll").scrollTop + height) $("scroll").scrollTop = top - height;
  }

  // ---- one latent: its numbers at once, the rest from its file
  const files = new Map();
  window.latent = (content) => files.set(content.latent, content);
  let waiting = 0;

  function choose(j, focus) {
    if (!Number.isInteger(j) || j < 0 || j >= n) return;
    chosen = j;
    history.replaceState(null, "", `#${j}`);
    reveal(j);
    draw();
    stop();
    $("panel").replaceChildren(...overview(j), make("div", { id: "rest" }));
    clearTimeout(waiting);
    if (files.has(j)) rest(j);
    else if (shown.has(j)) waiting = setTimeout(() => fetchLatent(j), 60);
    else $("rest").append(make("p", { class: "dim" }, "Its moments were not written: make the pages with --latents."));
    if (focus) {
      $("panel").focus();
      $("panel").scrollIntoView({ block: "nearest" });
    }
  }

  function fetchLatent(j) {
    const element = make("script", { src: `latent-${j}.js` });
    element.onload = () => { if (chosen === j && files.has(j)) rest(j); };
    element.onerror = () => {
      if (chosen === j) $("rest").append(make("p", {}, `latent-${j}.js is not beside this page: keep the folder whole.`));
    };
    document.head.append(element);
    element.remove();
  }

  function overview(j) {
    const fact = (name, value, help) => make("div", { title: help || null }, make("dt", {}, name), make("dd", {}, value));
    const facts = columns.filter((c) => c.long).map((c) => fact(c.long, c.show(c.value(j)), c.help));
    if (L.gradient)
      facts.push(fact("silences the decoder at", L.gradient[j] > 0 ? "its high value" : "0",
        "the value that raises the log odds of writing nothing, to first order"));
    facts.push(fact("high value, largest", `${digits(L.high[j], 3)}, ${digits(L.largest[j], 3)}`,
      "95th percentile where it is active, and the largest activation"));
    const step = (by, text, title) => make("button", { type: "button", title, onclick: () => move(by) }, text);
    return [
      make("div", { class: "top" },
        make("h2", {}, L.name[j] ? `Latent ${j}: ${L.name[j]}` : `Latent ${j}`),
        make("span", {},
          make("button", { type: "button", id: "back", onclick: () => $("scroll").scrollIntoView() }, "All latents"),
          step(-1, "←", "The one before in the table"), step(1, "→", "The next in the table"))),
      make("dl", {}, ...facts),
      make("h3", {}, "Activations, where it is active (heights logarithmic)"), histogram(j),
      make("h3", {}, "Share of frames on which it is active, in a domain and (thin) in the others"), domains(j),
    ];
  }

  function histogram(j) {
    const counts = L.histogram[j], most = Math.log1p(Math.max(...counts, 1)), wide = 480 / counts.length;
    const bars = counts.map((count, k) => {
      const high = (70 * Math.log1p(count)) / most;
      const [from, to] = [k, k + 1].map((edge) => digits((edge * L.largest[j]) / counts.length, 3));
      return make("rect", { x: k * wide, y: 72 - high, width: wide - 1, height: high },
        make("title", {}, `${count} frames from ${from} to ${to}`));
    });
    return make("svg", { viewBox: "0 0 480 88", class: "histogram", role: "img", "aria-label": "Histogram of activations" },
      ...bars, make("text", { x: 0, y: 85 }, "0"),
      make("text", { x: 480, y: 85, "text-anchor": "end" }, digits(L.largest[j], 3)));
  }

  function domains(j) {
    const most = Math.max(...L.inside.map((row) => row[j] ?? 0), ...L.outside.map((row) => row[j] ?? 0), 1e-9);
    const bar = (v) => make("i", { style: `width:${(100 * (v ?? 0)) / most}%` });
    return make("div", { class: "bars" }, ...data.domains.flatMap((name, d) => [
      make("span", {}, name), make("div", { class: name }, bar(L.inside[d][j]), bar(L.outside[d][j])),
      make("span", {}, `${percent(L.inside[d][j])}, others ${percent(L.outside[d][j])}`),
    ]));
  }

  function rest(j) {
    const { moments, labels, texts } = files.get(j), parts = [];
    if (labels.length) {
      const most = labels[0][1];
      parts.push(make("h3", {}, "Labels of the clips on which it is most often active"),
        make("div", { class: "bars labels" }, ...labels.flatMap(([name, share]) => [
          make("span", {}, name), make("div", {}, make("i", { style: `width:${(100 * share) / most}%` })),
          make("span", {}, percent(share))])));
    }
    parts.push(make("h3", {}, "Where it is strongest: play a moment, its activation runs below"),
      make("div", { class: "moments" }, ...moments.map(moment)));
    if (texts.length) {
      parts.push(make("h3", {}, "What clamping it does to the text"));
      for (const t of texts) parts.push(text(t));
    }
    $("rest").replaceChildren(...parts);
  }

  function moment(m) {
    const top = Math.max(...m.curve, 1e-9), points = m.curve.map((v, k) => `${k + 0.5} ${(30 - (28 * v) / top).toFixed(2)}`);
    const curve = make("svg", { class: "curve", viewBox: `0 0 ${m.curve.length} 30`, preserveAspectRatio: "none", "aria-hidden": "true" },
      make("path", { d: `M0 30L${points.join("L")}L${m.curve.length} 30Z` }));
    const head = make("i", { hidden: "" }), icon = make("b", {}, "▶");
    const what = m.label || (m.kind === "speech" ? "speech" : m.dataset);
    const sound = make("button", { type: "button", class: "sound", "aria-label": `Play: ${what}, ${m.value}` },
      make("img", { src: m.picture, alt: "" }), curve, head, icon);
    sound.addEventListener("click", () => play(m, sound, head, icon));
    const said = m.text ? ` “${m.text}”` : "";
    return make("div", { class: "moment" }, sound,
      make("p", {}, make("strong", {}, m.value.toFixed(3)), ` ${what}${said}`, make("br"),
        make("span", { class: "dim" }, `${m.clip}, ${m.start.toFixed(1)} to ${(m.start + m.seconds).toFixed(1)} s`)));
  }

  function text(t) {
    const same = (a, b) => a.trim().replace(/\s+/g, " ") === b.trim().replace(/\s+/g, " ");
    const line = (name, value) => [make("span", {}, name),
      make("q", { class: same(value, t.plain) ? "" : "other" }, value.trim() || "nothing")];
    return make("div", {}, make("p", { class: "dim" }, `${t.label || t.kind}: ${t.clip}`),
      make("div", { class: "text" }, ...(t.said ? [make("span", {}, "said"), make("q", {}, t.said)] : []),
        ...line("as it is", t.plain), ...line("clamped to 0", t.zero), ...line("clamped high", t.high)));
  }

  // ---- sound
  let playing = null;
  function stop() {
    if (!playing) return;
    playing.audio.pause();
    playing.icon.textContent = "▶";
    playing.head.hidden = true;
    playing = null;
  }
  function play(m, sound, head, icon) {
    const again = playing && playing.head === head;
    stop();
    if (again) return;
    const audio = new Audio(m.audio), mine = { audio, head, icon };
    playing = mine;
    icon.textContent = "■";
    head.hidden = false;
    audio.addEventListener("ended", () => { if (playing === mine) stop(); });
    const follow = () => {
      if (playing !== mine) return;
      head.style.left = `${Math.min(100, (100 * audio.currentTime) / m.seconds)}%`;
      requestAnimationFrame(follow);
    };
    audio.play().then(follow, () => { if (playing === mine) stop(); });
  }

  // ---- keys and controls
  function move(by) {
    const at = order.indexOf(chosen);
    const next = order[at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + by))];
    if (next !== undefined) choose(next);
  }
  const page = () => Math.max(1, Math.floor($("scroll").clientHeight / ROW) - 2);
  $("scroll").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page(), PageUp: -page(), Home: -n, End: n }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== $("scroll")) return;
    if (by) move(by);
    else if (event.key === "Enter" && chosen !== null) choose(chosen, true);
    else return;
    event.preventDefault();
  });
  addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing) $("search").focus();
    else if (event.key === "Escape") { stop(); $("scroll").focus(); }
    else return;
    event.preventDefault();
  });
  $("rows").addEventListener("click", (event) => {
    const row = event.target.closest("tr.row");
    if (!row) return;
    const narrow = matchMedia("(max-width:900px)").matches; // there the panel lies below, as in page.css
    choose(Number(row.dataset.latent), narrow);
    if (!narrow) $("scroll").focus({ preventScroll: true });
  });
  $("scroll").addEventListener("scroll", () => { if (block() !== drawn) draw(); }, { passive: true });
  addEventListener("resize", draw);
  addEventListener("hashchange", () => choose(parseInt(location.hash.slice(1), 10)));

  for (const c of columns) {
    const button = make("button", { type: "button", title: c.help || null, onclick: () => {
      sort = { key: c.key, down: sort.key === c.key ? !sort.down : Boolean(c.number) && c.key !== "latent" };
      $("scroll").scrollTop = 0;
      filter();
    } }, c.title);
    $("head").append(make("th", { class: c.number ? "number" : "", style: c.width ? `width:${c.width}px` : "", scope: "col" }, button));
    if (!c.number || c.key === "latent") continue;
    limits[c.key] = null;
    const bound = (side) => make("input", { type: "number", step: "any", "aria-label": `${c.title} ${side}`, placeholder: side });
    const both = [bound("at least"), bound("at most")];
    for (const input of both) input.addEventListener("input", () => {
      const [least, most] = both.map((each) => (each.value === "" ? null : Number(each.value) / (c.scale || 1)));
      limits[c.key] = least === null && most === null ? null : [least ?? -Infinity, most ?? Infinity];
      filter();
    });
    $("ranges").append(make("span", { title: c.help }, c.scale ? `${c.title} (%)` : c.title), ...both);
  }
  for (const name of data.domains) $("domain").append(make("option", { value: name }, name));
  for (const id of ["search", "domain", "full"]) $(id).addEventListener("input", () => { $("scroll").scrollTop = 0; filter(); });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => setTimeout(() => {
    for (const key of Object.keys(limits)) limits[key] = null;
    filter();
  }));
  const a = data.about;
  $("about").textContent = `Measured on ${a.data}: clips ${a.clips}, ${a.frames} frames of 20 ms.`
    + (a.effect_clips ? ` Effect on the decoder on ${a.effect_clips} clips without speech.` : "")
    + ` ${data.shown.length} latents have moments (bold numbers). Keys: arrows choose, Enter goes to the moments, / searches.`;
  filter();
  const asked = parseInt(location.hash.slice(1), 10);
  choose(Number.isInteger(asked) && asked < n ? asked : order[0]);
})();
