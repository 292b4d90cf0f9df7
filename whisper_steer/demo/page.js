"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const audio = $("audio"), overview = $("overview"), scroll = $("scroll"), timeline = $("timeline");
  const length = Number(overview.getAttribute("aria-valuemax"));
  const perSecond = Number("{{per_second}}");
  const boxes = [...document.querySelectorAll(".box")], rows = [...document.querySelectorAll("tbody tr")];
  const lanes = [["now-heard", "heard"], ["now-stock", "stock"], ["now-steered", "steered"]];

  // Some browsers cannot seek in a data: address, all can in a blob.
  const packed = atob(audio.src.slice(audio.src.indexOf(",") + 1));
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  audio.src = URL.createObjectURL(new Blob([bytes], { type: "audio/flac" }));
  audio.hidden = true;
  $("play").hidden = $("follow-label").hidden = false;

  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const between = (el, t) => Number(el.dataset.start) <= t && t < Number(el.dataset.end);
  let started = false, dragging = false;

  function seek(seconds) {
    audio.currentTime = Math.min(Math.max(seconds, 0), length - 0.05);
    started = true;
    show();
  }

  function show() {
    const t = audio.currentTime;
    $("head").style.left = `${(100 * t) / length}%`;
    $("long-head").style.left = `${t * perSecond}px`;
    $("time").textContent = `${clock(t)} / ${clock(length)}`;
    overview.setAttribute("aria-valuenow", Math.round(t));
    overview.setAttribute("aria-valuetext", clock(t));
    if (!started) return;
    for (const box of boxes) box.classList.toggle("on", between(box, t));
    for (const row of rows) row.classList.toggle("on", between(row, t));
    for (const [id, lane] of lanes) {
      const box = boxes.find((each) => each.dataset.lane === lane && between(each, t));
      const p = $(id);
      p.textContent = box ? box.textContent : "nothing";
      p.className = !box ? "dim" : box.classList.contains("bad") ? "bad" : box.classList.contains("sound") ? "dim" : "";
    }
    if ($("follow").checked && !dragging) scroll.scrollLeft = t * perSecond - scroll.clientWidth * 0.4;
  }

  function frame() {
    show();
    if (!audio.paused) requestAnimationFrame(frame);
  }

  function looked() {
    $("view").style.left = `${(100 * scroll.scrollLeft) / timeline.offsetWidth}%`;
    $("view").style.width = `${Math.min(100, (100 * scroll.clientWidth) / timeline.offsetWidth)}%`;
  }

  const toggle = () => (audio.paused ? audio.play() : audio.pause());
  $("play").addEventListener("click", toggle);
  for (const event of ["play", "pause", "ended"])
    audio.addEventListener(event, () => {
      $("icon").setAttribute("d", audio.paused ? "M7 4l14 8-14 8z" : "M6 4h4v16H6zM14 4h4v16h-4z");
      $("play").setAttribute("aria-label", audio.paused ? "Play" : "Pause");
      if (!audio.paused) started = true;
      frame();
    });
  audio.addEventListener("seeked", show);

  const pointed = (event) => {
    const area = overview.getBoundingClientRect();
    seek(((event.clientX - area.left) / area.width) * length);
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    pointed(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (overview.hasPointerCapture(event.pointerId)) pointed(event);
  });
  timeline.addEventListener("click", (event) =>
    seek((event.clientX - timeline.getBoundingClientRect().left) / perSecond));
  for (const link of document.querySelectorAll("td a"))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      seek(Number(link.closest("tr").dataset.start));
      audio.play();
    });
  overview.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -5, ArrowRight: 5, PageDown: -30, PageUp: 30 }[event.key];
    if (step) seek(audio.currentTime + step);
    else if (event.key === " ") toggle();
    else return;
    event.preventDefault();
  });
  scroll.addEventListener("pointerdown", () => (dragging = true));
  addEventListener("pointerup", () => (dragging = false));
  scroll.addEventListener("wheel", (event) => {
    if (event.deltaX) $("follow").checked = false;
  }, { passive: true });
  scroll.addEventListener("touchmove", () => ($("follow").checked = false), { passive: true });
  scroll.addEventListener("scroll", looked, { passive: true });
  addEventListener("resize", looked);
  looked();
  show();
})();
