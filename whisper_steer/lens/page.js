"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent), audio = $("audio");
  const { columns, heads, decoder_blocks: blocks } = data;
  const named = new Set(data.alignment_heads.map(([block, head]) => block * heads + head));
  const MEAN = -1; // in place of a head: the mean of the named ones
  let at = 0, chosen = 0, head = MEAN, bytes = null;

  // Some browsers cannot seek in a data: address, all can in a blob.
  const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  audio.src = URL.createObjectURL(new Blob([unpack(audio.src.slice(audio.src.indexOf(",") + 1))], { type: "audio/ogg" }));

  const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
  const percent = (p) => (p >= 0.0995 ? (100 * p).toFixed(0) : (100 * p).toPrecision(2)) + " %";
  const isTime = (token) => /^<\|[\d.]+\|>$/.test(token.text);
  const shown = (text) => text.replace(/\n/g, "⏎") || "∅";
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const row = (table, cells) => {
    const made = table.insertRow();
    for (const cell of cells) made.append(cell);
    return made;
  };

  // Dark violet to orange to pale yellow.
  const STOPS = [[11, 10, 26], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
  const SCALE = Array.from({ length: 256 }, (_, v) => {
    const x = (v / 255) * (STOPS.length - 1), i = Math.min(Math.floor(x), STOPS.length - 2);
    return STOPS[i].map((c, k) => c + (x - i) * (STOPS[i + 1][k] - c));
  });

  const tokens = () => data.windows[at].tokens;
  const size = () => tokens().length * columns;
  function weights(which) {
    if (which !== MEAN) return bytes.subarray(which * size(), (which + 1) * size());
    const sum = new Float32Array(size());
    for (const one of named) weights(one).forEach((v, i) => (sum[i] += (v * v) / named.size));
    return sum.map(Math.sqrt);
  }
  function draw(canvas, which) {
    const n = tokens().length;
    canvas.width = columns;
    canvas.height = Math.max(n, 1);
    if (!n) return;
    const context = canvas.getContext("2d"), image = context.createImageData(columns, n);
    weights(which).forEach((v, i) => {
      const [r, g, b] = SCALE[Math.round(v)];
      image.data.set([r, g, b, 255], 4 * i);
    });
    context.putImageData(image, 0, 0);
  }
  const nameOf = (which) =>
    which === MEAN ? "mean of ★" : `${Math.floor(which / heads)}.${which % heads}${named.has(which) ? " ★" : ""}`;

  function look(which) {
    head = which;
    draw($("large"), which);
    $("looked").textContent = `${which === MEAN ? "mean of the heads that openai-whisper names (★)"
      : `block ${Math.floor(which / heads)}, head ${which % heads}`}; across: time in the window, down: tokens as written`;
    for (const button of $("heads").children) button.classList.toggle("on", Number(button.dataset.head) === which);
  }

  function seek(seconds) {
    audio.currentTime = Math.min(seconds, Math.max(data.seconds - 0.05, 0));
    moved();
  }

  function choose(i, play) {
    const token = tokens()[i];
    if (!token) return;
    chosen = i;
    for (const el of document.querySelectorAll("[data-token]"))
      el.classList.toggle("on", Number(el.dataset.token) === i);
    $("row").style.top = `${(100 * i) / tokens().length}%`;
    $("row").style.height = `${100 / tokens().length}%`;
    $("chosen").textContent = `Token ${i}: “${shown(token.text)}” at ${clock(token.time)}`;
    const table = $("token");
    table.replaceChildren();
    row(table, ["block", "its probability", "rank", "entropy, nats", "likeliest"].map((name) => element("th", name)))
      .lastChild.colSpan = token.top[0].length;
    for (let b = blocks - 1; b >= 0; b--)
      row(table, [
        element("td", b), element("td", percent(token.probability[b])), element("td", token.rank[b] + 1),
        element("td", token.entropy[b].toFixed(2)),
        ...token.top[b].map(([text, p], k) =>
          element("td", `${shown(text)} ${percent(p)}`, k === token.rank[b] ? "own" : "")),
      ]);
    const cell = $("grid").querySelector(`th[data-token="${i}"]`);
    if (cell) $("scroll").scrollLeft = cell.offsetLeft - $("scroll").clientWidth / 2;
    if (play) seek(token.time);
  }

  function grid() {
    const table = $("grid");
    table.replaceChildren();
    const top = table.createTHead();
    const first = row(top, [element("th", "block")]);
    tokens().forEach((token, i) => {
      const cell = element("th", shown(token.text));
      cell.dataset.token = i;
      first.append(cell);
    });
    const body = table.createTBody();
    for (let b = blocks - 1; b >= 0; b--) {
      const line = row(body, [element("th", b)]);
      tokens().forEach((token, i) => {
        const [text, p] = token.top[b][0];
        const cell = element("td", shown(text), token.rank[b] === 0 ? "own" : "");
        cell.append(element("small", percent(p)));
        cell.style.setProperty("--p", p);
        cell.dataset.token = i;
        line.append(cell);
      });
    }
  }

  function open(which) {
    at = Math.min(Math.max(which, 0), data.windows.length - 1);
    const found = data.windows[at];
    bytes = unpack(found.attention);
    $("window").value = at;
    $("back").disabled = at === 0;
    $("next").disabled = at === data.windows.length - 1;
    $("written").replaceChildren(...found.tokens.map((token, i) => {
      const el = element("b", isTime(token) ? token.text.slice(2, -2) : shown(token.text), isTime(token) ? "time" : "");
      if (!isTime(token)) {
        const unsure = Math.round(70 * (1 - token.probability[blocks - 1]));
        el.style.background = `color-mix(in srgb, var(--bad-bg) ${unsure}%, transparent)`;
      }
      el.dataset.token = i;
      return el;
    }));
    if (!found.tokens.length) $("written").textContent = "nothing";
    $("scores").textContent = `avg_logprob ${found.avg_logprob.toFixed(2)}, no_speech_prob ${found.no_speech_prob.toFixed(3)}, `
      + `temperature ${found.temperature}, ${found.seconds.toFixed(1)} s of audio from ${clock(found.start)}`;
    grid();
    $("heads").replaceChildren(...[MEAN, ...Array(blocks * heads).keys()].map((which) => {
      const button = element("button", undefined, which === MEAN || named.has(which) ? "named" : "");
      button.type = "button";
      button.dataset.head = which;
      const canvas = element("canvas");
      draw(canvas, which);
      button.append(canvas, element("span", nameOf(which)));
      button.addEventListener("click", () => look(which));
      return button;
    }));
    $("axis").replaceChildren(...[0, 5, 10, 15, 20, 25, 30].map((s) => element("span", clock(found.start + s))));
    const table = $("encoder");
    table.replaceChildren();
    row(table, ["block", "", "text"].map((name) => element("th", name)));
    found.encoder.forEach((heard, b) => {
      const text = element("td");
      text.append(element("div", heard.text || "nothing", heard.text ? "text" : "dim"));
      row(table, [
        element("td", b === data.encoder_blocks - 1 ? `${b}, the last` : b),
        element("td", heard.loops ? "loops" : heard.text ? "" : "empty", "bad"), text,
      ]);
    });
    look(head);
    choose(Math.max(found.tokens.findIndex((token) => !isTime(token)), 0), false);
    moved();
  }

  function moved() {
    const found = data.windows[at], t = audio.currentTime;
    if (!found) return;
    const place = (t - found.start) / 30;
    $("head").hidden = place < 0 || place > 1;
    $("head").style.left = `${100 * place}%`;
    let now = -1;
    if (t > 0 && place >= 0 && t <= found.start + found.seconds)
      found.tokens.forEach((token, i) => { if (!isTime(token) && token.time <= t + 0.01) now = i; });
    for (const el of $("written").children) el.classList.toggle("now", Number(el.dataset.token) === now);
  }
  function follow() {
    const found = data.windows[at], t = audio.currentTime;
    if (!found) return;
    const other = data.windows.findIndex((each) => each.start <= t && t < each.start + each.seconds);
    if (!audio.paused && other >= 0 && (t < found.start || t >= found.start + found.seconds)) open(other);
    moved();
    if (!audio.paused) requestAnimationFrame(follow);
  }

  const what = data.steering ? `the speech that its gate hears` : "all of it, as stock decodes it";
  $("about").textContent = `${data.model} on ${clock(data.seconds)}: ${what}, in ${data.windows.length} `
    + `window${data.windows.length === 1 ? "" : "s"}` + (data.dropped ? `; ${data.dropped} more dropped by Whisper's own rule` : "")
    + `. Language ${data.language}.`;
  $("main").hidden = $("windows").hidden = !data.windows.length;
  $("nothing").hidden = Boolean(data.windows.length);
  if (!data.windows.length) return;
  data.windows.forEach((each, i) => {
    const option = element("option", `${i + 1} of ${data.windows.length}: from ${clock(each.start)}`);
    option.value = i;
    $("window").append(option);
  });
  const start = () => seek(data.windows[at].start);
  $("window").addEventListener("change", () => { open(Number($("window").value)); start(); });
  $("back").addEventListener("click", () => { open(at - 1); start(); });
  $("next").addEventListener("click", () => { open(at + 1); start(); });
  document.addEventListener("click", (event) => {
    const el = event.target.closest("[data-token]");
    if (el) choose(Number(el.dataset.token), true);
  });
  $("map").addEventListener("click", (event) => {
    const area = $("map").getBoundingClientRect();
    choose(Math.min(Math.floor(((event.clientY - area.top) / area.height) * tokens().length), tokens().length - 1), false);
    seek(data.windows[at].start + (30 * (event.clientX - area.left)) / area.width);
  });
  for (const event of ["play", "seeked", "timeupdate"]) audio.addEventListener(event, follow);
  open(0);
})();
