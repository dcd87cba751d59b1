// A part of the map, drawn as a box by mouse or finger: it is analysed alone, in place

const SMALLEST = 8;
let drawn = null;
const isMarking = (event) => find("#stage.marking") || (event.shiftKey && event.pointerType === "mouse");
const useMark = (used) => {
  find("#stage")?.classList.toggle("marking", used);
  find("[data-view=mark]")?.setAttribute("aria-pressed", used);
  if (!used) leaveBox();
};
const leaveBox = () => {
  drawn?.box.remove();
  drawn = null;
};
const beginBox = (event) => {
  leaveBox();
  if (!image()?.naturalWidth || !isMarking(event)) return;
  const box = Object.assign(document.createElement("div"), {className: "drawn-box"});
  frame().append(box);
  drawn = {box, from: event, to: event};
};
const stretchBox = (event) => {
  if (!drawn) return false;
  drawn.to = event;
  const {from, to, box} = drawn, rect = frame().getBoundingClientRect();
  Object.assign(box.style, {
    left: `${Math.min(from.clientX, to.clientX) - rect.left}px`, width: `${Math.abs(to.clientX - from.clientX)}px`,
    top: `${Math.min(from.clientY, to.clientY) - rect.top}px`, height: `${Math.abs(to.clientY - from.clientY)}px`,
  });
  return true;
};
const endBox = (canceled) => {
  if (!drawn) return;
  const {from, to} = drawn, [, left, top, width, height] = cells()?.key ?? [];
  leaveBox();
  if (canceled || width === undefined || Math.hypot(to.clientX - from.clientX, to.clientY - from.clientY) < SMALLEST) return;
  const pixel = (event) => {
    const [across, down] = shareOf(event);
    return [left + Math.round(clamp(across, 0, 1) * width), top + Math.round(clamp(down, 0, 1) * height)];
  };
  const [one, other] = [pixel(from), pixel(to)];
  const corner = [0, 1].map((axis) => Math.min(one[axis], other[axis]));
  const detail = [...corner, ...[0, 1].map((axis) => Math.abs(one[axis] - other[axis]))];
  find("#drawn .drawn").dispatchEvent(new CustomEvent("ask", {bubbles: true, detail}));
  useMark(false);
};
