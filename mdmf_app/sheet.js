// The patch on a phone: a sheet from below, over the page, as long as somebody looks at it

const NARROW = matchMedia("(max-width: 700px)"), SWIPE = 60;
const panel = () => find("#right");
const isRaised = () => panel()?.classList.contains("sheet");
let awaited = null, swiped = null;
const shownPatch = () => Number(find("#patch h3[data-number]")?.dataset.number) - 1;
const raise = (index, focused) => {
  if (!NARROW.matches || find("#stage.full") || isMagnified()) return;
  awaited = {index, focused, before: shownPatch()};
  raiseAwaited();
};
const raiseAwaited = () => {
  if (!awaited || (awaited.index === null ? shownPatch() === awaited.before : shownPatch() !== awaited.index)) return;
  const {focused} = awaited, sheet = panel(), first = !isRaised();
  awaited = null;
  sheet.classList.add("sheet");
  sheet.setAttribute("role", "dialog");
  sheet.setAttribute("aria-label", find("#grip strong").textContent);
  if (first) sheet.scrollTop = 0;
  if (focused) find("#grip button").focus({preventScroll: true});
  keepInView(sheet);
};
// What was tapped stays in sight above the sheet.
const keepInView = (sheet) => {
  const cell = cells()?.cells[current], rect = image()?.getBoundingClientRect();
  if (!cell || !rect) return;
  const hidden = rect.top + cell[3] * rect.height - (innerHeight - sheet.offsetHeight - 16);
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  if (hidden > 0) scrollBy({top: hidden, behavior});
};
const lower = () => {
  awaited = null;
  if (!isRaised()) return;
  const sheet = panel(), within = sheet.contains(document.activeElement);
  sheet.classList.remove("sheet");
  sheet.removeAttribute("role");
  sheet.removeAttribute("aria-label");
  if (within) find("#map .image-container > button")?.focus({preventScroll: true});
};
NARROW.addEventListener("change", lower);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") lower();
  if (event.key !== "Enter") return;
  if (current !== null && event.target.closest?.("#map")) {
    event.preventDefault();  // else the same key would press the button that gets the focus
    raise(current, true);
  }
  if (event.target.closest?.("#table")) raise(null, true);
});
document.addEventListener("click", ({target}) => {
  if (target.closest?.("#table tbody")) raise(null, true);
  else if (!target.closest?.("#right, #map, #stage button") || target.closest("#grip button")) lower();
});
document.addEventListener("touchstart", ({target, touches}) => {
  const held = isRaised() && touches.length === 1 && target.closest?.("#right");
  const atTop = held && (panel().scrollTop <= 0 || target.closest("#grip"));
  swiped = atTop ? {x: touches[0].clientX, y: touches[0].clientY, down: 0} : null;
}, {passive: true});
document.addEventListener("touchmove", ({touches}) => {
  if (!swiped) return;
  const down = touches[0].clientY - swiped.y, across = Math.abs(touches[0].clientX - swiped.x);
  if (!swiped.down && across > Math.abs(down)) { swiped = null; return; }
  swiped.down = Math.max(0, down);
  panel().style.translate = `0 ${swiped.down}px`;
}, {passive: true});
for (const end of ["touchend", "touchcancel"]) {
  document.addEventListener(end, () => {
    if (!swiped) return;
    const {down} = swiped;
    swiped = null;
    panel().style.removeProperty("translate");
    if (down > SWIPE) lower();
  });
}
