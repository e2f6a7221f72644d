// A panel of the page: what the server sends is worked into what is there, so that a press on a button is not lost,
// a video plays on, an opened fold stays open, and the focus stays where it is.

const host = () => element.querySelector(".wan-host");

function attributes(old, next) {
  for (const { name, value } of [...next.attributes])
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    // these belong to the reader, or to the page's own script
    const own = (old.tagName === "DETAILS" && name === "open") || (old.tagName === "CANVAS" && /width|height/.test(name));
    if (!next.hasAttribute(name) && !own) old.removeAttribute(name);
  }
}

function alike(old, next) {
  return old.nodeName === next.nodeName && (old.nodeType !== 1 || (old.dataset.key || "") === (next.dataset.key || ""));
}

function children(old, next) {
  if (old.nodeType === 1 && old.hasAttribute("data-own") && old.dataset.own === next.dataset.own) return;
  let place = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    let found = place;
    while (found && !alike(found, wanted)) found = found.nextSibling;
    if (!found) { old.insertBefore(wanted, place); continue; }
    while (place !== found) { const gone = place; place = place.nextSibling; gone.remove(); }
    place = found.nextSibling;
    if (found.nodeType === 3) { if (found.data !== wanted.data) found.data = wanted.data; continue; }
    if (found.nodeType !== 1) continue;
    const source = found.getAttribute("src");
    attributes(found, wanted);
    if (found.tagName === "VIDEO" && found.getAttribute("src") !== source) found.load();
    children(found, wanted);
  }
  while (place) { const gone = place; place = place.nextSibling; gone.remove(); }
}

// Where a button has gone that had the focus: the same button, or else the first one of the same run, never another's.
function refocus({ key, name }) {
  const all = [...host().querySelectorAll("[data-key]")];
  (all.find((one) => one.dataset.key === key) || all.find((one) => name && one.dataset.name === name))?.focus();
}

function show() {
  const next = document.createElement("div");
  next.innerHTML = props.value || "";
  const focused = host().contains(document.activeElement) ? document.activeElement : null;
  children(host(), next);
  if (focused && !focused.isConnected) refocus(focused.dataset);
}

watch("value", show);
show();
element.addEventListener("click", (event) => {
  const one = event.target.closest("[data-act]");
  if (!one || (one.dataset.confirm && !confirm(one.dataset.confirm))) return;
  trigger("click", { act: one.dataset.act, name: one.dataset.name });
});
