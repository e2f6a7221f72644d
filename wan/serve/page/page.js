// What the page does in the browser alone: players that run together, copying, and the language of the document.
// Whatever decides something is on the server.

function wanReady(root, selector, begin) {
  const look = () => root.querySelectorAll(selector).forEach((one) => {
    if (!one.wanBegun) { one.wanBegun = true; begin(one); }
  });
  look();
  new MutationObserver(look).observe(root, { childList: true, subtree: true });
}

// Two videos as one: what is done to the first is done to the second, and the difference is drawn from what both show.
function wanDuo(box) {
  const [first, second] = box.querySelectorAll("video");
  const canvas = box.querySelector("canvas"), seek = box.querySelector("[data-seek]");
  const play = box.querySelector("[data-play]"), frame = box.querySelector("output");
  const fps = Number(box.dataset.fps), frames = Number(box.dataset.frames);
  const at = () => Math.min(frames - 1, Math.floor(first.currentTime * fps + 0.01));
  const draw = () => {
    if (!first.videoWidth || !second.videoWidth) return;
    if (canvas.width !== first.videoWidth) { canvas.width = first.videoWidth; canvas.height = first.videoHeight; }
    const pen = canvas.getContext("2d");
    pen.globalCompositeOperation = "copy";
    pen.drawImage(first, 0, 0, canvas.width, canvas.height);
    pen.globalCompositeOperation = "difference";
    pen.drawImage(second, 0, 0, canvas.width, canvas.height);
  };
  const show = () => {
    draw();
    const now = at();
    seek.value = now;
    frame.textContent = `${now + 1} / ${frames}`;
    box.querySelectorAll(".playhead").forEach((line) => {
      const { left, right } = line.closest("svg").dataset;
      const x = Number(left) + (Number(right) - Number(left)) * now / Math.max(1, frames - 1);
      line.setAttribute("x1", x); line.setAttribute("x2", x);
    });
  };
  const go = (number) => {
    const time = (Math.max(0, Math.min(frames - 1, number)) + 0.5) / fps;
    first.currentTime = time; second.currentTime = time;
  };
  const run = (wanted) => {
    if (wanted) {
      if (first.ended || at() >= frames - 1) go(0);
      second.currentTime = first.currentTime;
      Promise.all([first.play(), second.play()]).catch(() => {});
    } else { first.pause(); second.pause(); second.currentTime = first.currentTime; }
    play.setAttribute("aria-pressed", String(wanted));
    play.textContent = wanted ? play.dataset.pause : play.dataset.play;
  };
  const tick = () => {
    if (!box.isConnected) return;
    if (!first.paused) {
      if (Math.abs(first.currentTime - second.currentTime) > 0.5 / fps) second.currentTime = first.currentTime;
      show();
    }
    requestAnimationFrame(tick);
  };
  first.addEventListener("ended", () => { go(0); setTimeout(() => { if (box.isConnected) run(true); }, 60); });
  for (const one of [first, second]) for (const name of ["seeked", "loadeddata"]) one.addEventListener(name, show);
  play.addEventListener("click", () => run(first.paused));
  seek.addEventListener("input", () => { run(false); go(Number(seek.value)); });
  box.querySelectorAll("[data-step]").forEach((one) => one.addEventListener("click", () => {
    run(false); go(at() + Number(one.dataset.step));
  }));
  box.querySelector("[data-speed]").addEventListener("change", (event) => {
    for (const one of [first, second]) one.playbackRate = Number(event.target.value);
  });
  box.querySelector("[data-gain]").addEventListener("change", (event) => {
    canvas.style.filter = `brightness(${event.target.value})`;
  });
  box.querySelectorAll(".curves svg").forEach((one) => one.addEventListener("click", (event) => {
    const { left, right } = one.dataset;
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(one.getScreenCTM().inverse());
    run(false); go(Math.round((point.x - left) / (right - left) * (frames - 1)));
  }));
  // keys work everywhere in the box where no control needs them itself
  box.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT|BUTTON|SUMMARY)$/.test(event.target.tagName)) return;
    const keys = { " ": () => run(first.paused), ArrowLeft: () => { run(false); go(at() - 1); },
      ArrowRight: () => { run(false); go(at() + 1); } };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  requestAnimationFrame(tick);
  run(!matchMedia("(prefers-reduced-motion: reduce)").matches);
}

function wanCopy(text) {
  if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  wanCopy(button.dataset.copy);
  const text = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = text; }, 1500);
});
// a card's video plays while the pointer or the focus is on the card
for (const [name, plays] of [["mouseover", true], ["focusin", true], ["mouseout", false], ["focusout", false]])
  document.addEventListener(name, (event) => {
    const card = event.target.closest?.(".card"), video = card && card.querySelector("video");
    if (!video || (!plays && card.contains(event.relatedTarget))) return;
    if (plays) video.play().catch(() => {}); else video.pause();
  });
// Ctrl+Enter makes the video, from any field of the form while it is seen
document.addEventListener("keydown", (event) => {
  const button = document.querySelector("#generate:not([disabled])");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && button?.offsetParent) button.click();
});
wanReady(document.body, ".duo-box", wanDuo);
// the arrow keys go from tab to tab, as they do in every list of tabs
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.("[role=tab]"), way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!tab || !way) return;
  const all = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  const next = all[(all.indexOf(tab) + way + all.length) % all.length];
  event.preventDefault(); next.focus(); next.click();
});
// the address names the run that is watched, also in the other language
wanReady(document.body, "[data-link]", (one) => history.replaceState(null, "", one.dataset.link));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-language]");
  if (link) link.href = link.getAttribute("href").split("?")[0] + location.search;
}, true);
