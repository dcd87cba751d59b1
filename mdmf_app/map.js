// The map: how it lies in its frame

const MOST = 16, WIDE = 2.6;
let view = {zoom: 1, x: 0, y: 0}, shown = "", current = null;
const image = () => find("#map img");
const frame = () => find("#map .image-frame");
const cells = () => {
  const text = find("#legend [data-cells]")?.dataset.cells ?? "";
  if (text !== cells.text) [cells.text, cells.known] = [text, text ? JSON.parse(text) : null];
  return cells.known;
};
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const hold = (offset, base, length, room) => {
  const size = view.zoom * length;
  return size <= room ? (room - size) / 2 - base : clamp(offset, room - size - base, -base);
};
const apply = () => {
  const img = image(), box = frame();
  if (!img || !box) return;
  view.zoom = clamp(view.zoom, 1, MOST);
  view.x = hold(view.x, img.offsetLeft, img.offsetWidth, box.clientWidth);
  view.y = hold(view.y, img.offsetTop, img.offsetHeight, box.clientHeight);
  img.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
  img.style.imageRendering = view.zoom * img.offsetWidth > 3 * img.naturalWidth ? "pixelated" : "";
  box.classList.toggle("near", view.zoom > 1.001);
};
const fit = () => {
  const img = image(), box = frame();
  if (!img?.naturalWidth) return;
  const ratio = img.naturalWidth / img.naturalHeight;
  box.style.setProperty("--ratio", ratio);
  view = {zoom: ratio > WIDE ? box.clientHeight / img.offsetHeight : 1, x: 0, y: 0};
  view.x = -img.offsetLeft;
  apply();
};
const zoom = (factor, x, y) => {
  const img = image(), box = frame();
  if (!img) return;
  const rect = box.getBoundingClientRect();
  const across = (x ?? rect.left + rect.width / 2) - rect.left - img.offsetLeft;
  const down = (y ?? rect.top + rect.height / 2) - rect.top - img.offsetTop;
  const before = view.zoom;
  view.zoom = clamp(before * factor, 1, MOST);
  view.x = across - (across - view.x) * view.zoom / before;
  view.y = down - (down - view.y) * view.zoom / before;
  apply();
};
document.addEventListener("load", ({target}) => {
  if (!target.matches?.("#map img")) return;
  target.alt = say("map");
  frame().style.setProperty("--ratio", target.naturalWidth / target.naturalHeight);
  const key = `${cells()?.key ?? target.naturalWidth / target.naturalHeight}`;
  if (key !== shown) { shown = key; current = null; fit(); } else apply();
  if (pointed && document.elementFromPoint(pointed.clientX, pointed.clientY)?.closest("#map .image-frame")) read(pointed);
}, true);
addEventListener("resize", apply);

// The map: read out, and from patch to patch

const shareOf = (event) => {
  const rect = image().getBoundingClientRect();
  return [(event.clientX - rect.left) / rect.width, (event.clientY - rect.top) / rect.height];
};
const tell = (index) => {
  const cell = cells()?.cells[index], output = find("#reading output");
  if (cell && output) output.textContent = say(cell[5] ? "patch_outlined" : "patch", {n: index + 1, value: cell[4]});
};
const under = ([across, down]) => cells()?.cells.findIndex(
  ([left, top, right, bottom]) => left <= across && across < right && top <= down && down < bottom) ?? -1;

let later = null, pointed = null;  // where a mouse rests on the map, which may be drawn anew under it
const setNumber = (index) => {
  const input = find("#number input");
  clearTimeout(later);
  later = null;
  if (!input) return false;
  input.value = index + 1;
  input.dispatchEvent(new Event("input", {bubbles: true}));
  return true;
};
const choose = (index) => {
  if (!find("#number input")) return;
  current = index;
  tell(index);
  magnifyPatch(index);
  raise(index, false);
  clearTimeout(later);
  later = setTimeout(setNumber, 120, index);
};
const walk = (key) => {
  const known = cells();
  if (!known) return false;
  const {cells: all, columns} = known, number = Number(find("#number input")?.value);
  const from = later || !number ? current : number - 1;
  if (from === null) { choose(0); return true; }
  const [row, column] = [Math.floor(from / columns), from % columns];
  const [down, right] = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[key];
  const to = clamp(row + down, 0, all.length / columns - 1) * columns + clamp(column + right, 0, columns - 1);
  if (to !== from) choose(to);
  return true;
};
const VIEWS = {
  closer: () => zoom(1.5),
  farther: () => zoom(1 / 1.5),
  fit: () => { view = {zoom: 1, x: 0, y: 0}; apply(); },
  full: () => fill(!find("#stage").classList.contains("full")),
  lens: () => useLens(!isMagnified()),
  mark: () => useMark(!find("#stage.marking")),
};
const KEYS = {"+": "closer", "=": "closer", "-": "farther", "0": "fit", f: "full", m: "lens", r: "mark"};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (find("#stage.full")) fill(false);
    useMark(false);
  }
  if (!event.target.closest?.("#map") || event.ctrlKey || event.metaKey || event.altKey) return;
  const walked = event.key.startsWith("Arrow") && walk(event.key);
  const viewed = KEYS[event.key.toLowerCase()];
  if (viewed) VIEWS[viewed]();
  if (walked || viewed) event.preventDefault();
});
const fill = (full) => {
  const stage = find("#stage");
  stage.classList.toggle("full", full);
  find("[data-view=full]")?.setAttribute("aria-pressed", full);
  const leave = () => { if (!stage.classList.contains("full")) document.exitFullscreen(); };  // the key came twice
  if (full) stage.requestFullscreen?.().then(leave).catch(() => {});
  else if (document.fullscreenElement) document.exitFullscreen();
  requestAnimationFrame(fit);
  find("#map .image-container > button")?.focus({preventScroll: true});
};
document.addEventListener("fullscreenchange", () => {
  if (!document.fullscreenElement && find("#stage.full")) fill(false);
  else requestAnimationFrame(fit);
});

// The map: mouse and fingers

const fingers = new Map(), TWICE = 350;  // milliseconds in which two taps are one gesture
let moved = false, tapped = {time: 0, x: 0, y: 0}, rising = null;
const onMap = (event) => event.target.closest?.("#map .image-frame");
document.addEventListener("wheel", (event) => {
  if (!onMap(event)) return;
  const top = frame().getBoundingClientRect().top;
  const closer = event.deltaY < 0, free = event.ctrlKey || find("#stage.full") || view.zoom > 1.001;
  if (!free && !(closer && top >= 0)) return;
  event.preventDefault();
  zoom(Math.exp(-clamp(event.deltaY, -200, 200) / 300), event.clientX, event.clientY);
}, {passive: false});
document.addEventListener("dragstart", (event) => { if (onMap(event)) event.preventDefault(); });
document.addEventListener("pointerdown", (event) => {
  if (!onMap(event)) return;
  if (!fingers.size) moved = false;
  fingers.set(event.pointerId, event);
  if (fingers.size === 1) beginBox(event); else leaveBox();
  if (isMagnified()) read(event);
});
const read = (event) => {
  if (!image()?.naturalWidth) return;
  const place = shareOf(event);
  tell(under(place));
  followed = null;
  magnify(place, event.clientX, event.clientY);
};
const spread = () => {
  const [first, second] = [...fingers.values()];
  return Math.hypot(first.clientX - second.clientX, first.clientY - second.clientY);
};
document.documentElement.addEventListener("pointerleave", () => { pointed = null; });
document.addEventListener("pointermove", (event) => {
  const last = fingers.get(event.pointerId);
  if (!last) {
    pointed = event.pointerType === "mouse" && event.target.closest?.("#map") ? event : null;
    if (onMap(event)) read(event);
    return;
  }
  const across = event.clientX - last.clientX, down = event.clientY - last.clientY;
  if (fingers.size === 1 && !moved && Math.hypot(across, down) < 5) return;
  moved = true;
  const before = fingers.size === 2 ? spread() : 0;
  fingers.set(event.pointerId, event);
  if (fingers.size === 1 && stretchBox(event)) return;
  if (fingers.size === 1 && isMagnified() && event.pointerType === "touch") { read(event); return; }
  if (fingers.size === 1) { view.x += across; view.y += down; apply(); return; }
  const [first, second] = [...fingers.values()];
  zoom(spread() / before, (first.clientX + second.clientX) / 2, (first.clientY + second.clientY) / 2);
});
const lift = (event) => {
  const held = fingers.delete(event.pointerId);
  endBox(event.type === "pointercancel");
  if (!held || event.type === "pointercancel" || moved) return;
  const near = Math.hypot(event.clientX - tapped.x, event.clientY - tapped.y) < 25;
  const twice = near && event.timeStamp - tapped.time < TWICE;
  if (twice) view.zoom > 2.2 ? VIEWS.fit() : zoom(2.5, event.clientX, event.clientY);
  tapped = {time: twice ? 0 : event.timeStamp, x: event.clientX, y: event.clientY};
};
document.addEventListener("pointerup", lift);
document.addEventListener("pointercancel", lift);

// Clicks: the patch that was told is chosen by its number, so that of two clicks the last counts, whichever answer
// comes first. Corners are places: Gradio takes a picture for never larger than its pixels, so it is told where a click
// would be then.

document.addEventListener("click", (event) => {
  const example = event.target.closest("#examples button.thumbnail-item");
  if (example) announce(example.innerText.trim(), example.querySelector("img").src);
  const copied = event.target.closest("[data-copy]");
  if (copied) copy(copied);
  const viewed = event.target.closest("[data-view]");
  if (viewed) VIEWS[viewed.dataset.view]();
  if (event.target.closest("#map .image-container > button") && !event.retold) retell(event);
}, true);
const retell = (event) => {
  event.stopImmediatePropagation();
  event.preventDefault();
  const img = image();
  if (moved || !event.detail || !img) return;
  const [across, down] = shareOf(event);
  if (across < 0 || across >= 1 || down < 0 || down >= 1) return;
  const rect = img.getBoundingClientRect();
  const scale = Math.min(rect.width / img.naturalWidth, rect.height / img.naturalHeight, 1);
  const click = new MouseEvent("click", {
    bubbles: true,
    clientX: rect.left + (rect.width - img.naturalWidth * scale) / 2 + across * img.naturalWidth * scale,
    clientY: rect.top + (rect.height - img.naturalHeight * scale) / 2 + down * img.naturalHeight * scale,
  });
  click.retold = true;
  current = under([across, down]);
  if (current < 0) current = null; else if (!isMagnified()) tell(current);
  const inspected = current !== null && !find("#mode")?.querySelectorAll("input")[1]?.checked;
  if (!inspected || !setNumber(current)) img.dispatchEvent(click);
  clearTimeout(rising);
  const first = event.pointerType === "touch" && tapped.time;  // what is raised at once would be under the second tap
  if (inspected && first) rising = setTimeout(raise, TWICE, current, true);
  else if (inspected && event.pointerType !== "touch") raise(current, true);
};
const copy = async (button) => {
  const told = button.dataset.told ??= button.textContent;
  try {
    await navigator.clipboard.writeText(summaryOf(button));
  } catch {
    const area = Object.assign(document.createElement("textarea"), {value: summaryOf(button)});
    body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = say("copied");
  setTimeout(() => { button.textContent = told; }, 1500);
};
