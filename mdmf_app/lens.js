// The magnifier: the picture's own pixels, 8 times as large, from a piece around the pointer that the server cuts out

const SEEN = 15, SIDE = 248, AGAIN = 120;
let askedAt = 0, waiting = null, piece = {source: "", pen: null};
let followed = null;  // the patch that the magnifier stands on, as after an arrow key; null where it follows a pointer
const isMagnified = () => find("#stage.magnified");
const hideLens = () => find("#lens")?.classList.remove("on");
const magnify = ([across, down], x, y) => {
  const lens = find("#lens .lens"), key = cells()?.key;
  if (!lens || !key || !isMagnified()) return;
  const [left, top, width, height] = key.slice(1), root = document.documentElement.style;
  const pixel = [left + Math.floor(clamp(across, 0, 0.99999) * width), top + Math.floor(clamp(down, 0, 0.99999) * height)];
  const places = {"--lens-x": `${clamp(x - SIDE / 2, 0, innerWidth - SIDE)}px`, "--lens-across": pixel[0],
    "--lens-y": `${y > SIDE + 24 ? y - SIDE - 24 : y + 24}px`, "--lens-down": pixel[1]};
  Object.entries(places).forEach(([name, value]) => root.setProperty(name, value));
  lens.parentElement.closest("#lens").classList.add("on");
  const box = (lens.dataset.box ?? "").split(" ").map(Number);
  const missing = [0, 1].some((axis) => {
    const [low, high] = [[left, top][axis], [left, top][axis] + [width, height][axis]];
    const from = Math.max(low, pixel[axis] - SEEN), to = Math.min(high, pixel[axis] + SEEN);
    return !(box[axis] <= from && to <= box[axis] + box[axis + 2]);
  });
  if (missing || lens.dataset.of !== key[0]) askPiece(lens, pixel); else tellPixel(lens, box, pixel);
};
const askPiece = (lens, pixel) => {
  clearTimeout(waiting);
  const ask = () => {
    askedAt = Date.now();
    lens.dispatchEvent(new CustomEvent("ask", {bubbles: true, detail: pixel}));
  };
  waiting = setTimeout(ask, Math.max(0, askedAt + AGAIN - Date.now()));
};
const tellPixel = (lens, [left, top], [x, y]) => {
  if (piece.source !== lens.dataset.source) {
    const [source, loaded] = [lens.dataset.source, new Image()];
    piece = {source, pen: null};
    loaded.onload = () => {
      const pen = Object.assign(document.createElement("canvas"), {width: loaded.width, height: loaded.height}).getContext("2d");
      pen.drawImage(loaded, 0, 0);
      if (piece.source === source) piece.pen = pen;
    };
    loaded.src = source;
  }
  const values = piece.pen?.getImageData(x - left, y - top, 1, 1).data.slice(0, 3).join(", ");
  const output = find("#reading output");
  if (values && output) output.textContent += ` · x ${x}, y ${y}: RGB ${values}`;
};
const magnifyPatch = (index) => {
  const cell = cells()?.cells[index], rect = image()?.getBoundingClientRect();
  if (!cell || !rect) return;
  const middle = [(cell[0] + cell[2]) / 2, (cell[1] + cell[3]) / 2];
  [followed, pointed] = [index, null];
  magnify(middle, rect.left + middle[0] * rect.width, rect.top + middle[1] * rect.height);
};
const useLens = (used) => {
  find("#stage").classList.toggle("magnified", used);
  find("[data-view=lens]")?.setAttribute("aria-pressed", used);
  hideLens();
  if (used && current !== null) magnifyPatch(current);
};
document.addEventListener("scroll", () => {
  if (followed !== null && find("#lens.on")) magnifyPatch(followed); else hideLens();
}, true);
document.addEventListener("pointerout", (event) => {
  const left = event.target.closest?.("#map") && !event.relatedTarget?.closest?.("#map");
  if (event.pointerType !== "touch" && left && followed === null) hideLens();
});
