// One axis of the parallel coordinates: its line and labels, a brush, and a handle at each end of the brush.
import { setAttributes, svgElement } from "./svg.js";

export const HEIGHT = 300;
const TOP = 40, BOTTOM = 28;
const LENGTH = HEIGHT - TOP - BOTTOM;
const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
const PARTS = 50; // steps from one end of an axis to the other
const MAX_LABEL = 19;
const CLICK = 3; // pixels: a shorter drag is a click

// Values between the least and the largest of an axis, and their pixels.
export function scaleOf(values) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known), span = high - low || 1;
  return {
    low,
    high,
    span,
    y: (value) => HEIGHT - BOTTOM - ((value - low) / span) * LENGTH,
    value: (y) => low + ((HEIGHT - BOTTOM - y) / LENGTH) * span,
    clamp: (value) => Math.min(high, Math.max(low, value)),
  };
}

function drawLabels(group, axis, scale) {
  const anchor = { "text-anchor": "middle" };
  svgElement(group, "line", { class: "axis", y1: TOP, y2: HEIGHT - BOTTOM });
  const name = axis.name.length > MAX_LABEL ? `…${axis.name.slice(1 - MAX_LABEL)}` : axis.name;
  svgElement(svgElement(group, "text", { y: 14, ...anchor }, name), "title", {}, axis.name);
  svgElement(group, "text", { y: TOP - 11, ...anchor }, axis.format(scale.high));
  svgElement(group, "text", { y: HEIGHT - 6, ...anchor }, axis.format(scale.low));
}

function drawHandle(group, axis, scale, upper) {
  return svgElement(group, "path", {
    class: "handle",
    d: upper ? "M-8 -7 H8 L0 0 Z" : "M-8 7 H8 L0 0 Z",
    tabindex: 0,
    role: "slider",
    "aria-orientation": "vertical",
    "aria-label": `${axis.name}, ${upper ? "upper" : "lower"} bound`,
    "aria-valuemin": scale.low,
    "aria-valuemax": scale.high,
  });
}

// The value that a key moves a bound to, null for other keys.
function keyTarget(key, bound, scale) {
  if (key === "Home") return scale.low;
  if (key === "End") return scale.high;
  return STEPS[key] ? scale.clamp(bound + (STEPS[key] * scale.span) / PARTS) : null;
}

// Calls `moved` with the pixel and value range of a drag, `clicked` for a click. `anchor`: the value that a drag keeps.
function onDrag(element, valueAt, anchor, moved, clicked) {
  let start = null, from = 0;
  element.addEventListener("pointerdown", (event) => {
    start = anchor(event);
    from = event.clientY;
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const value = valueAt(event);
    moved(Math.min(start, value), Math.max(start, value));
  });
  element.addEventListener("pointerup", (event) => {
    if (Math.abs(event.clientY - from) < CLICK) clicked?.();
    start = null;
  });
  element.addEventListener("pointercancel", () => { start = null; });
}

// `brush` is called with the two bounds. Returns `move` (to an x) and `show` (the bounds, undefined without a brush).
export function drawAxis(svg, axis, scale, brush) {
  const group = svgElement(svg, "g", {});
  drawLabels(group, axis, scale);
  const area = svgElement(group, "rect", { class: "brush", x: -8, width: 16 });
  const hit = svgElement(group, "rect", { class: "hit", x: -16, y: TOP - 4, width: 32, height: LENGTH + 8 });
  const handles = [drawHandle(group, axis, scale, false), drawHandle(group, axis, scale, true)];
  let bounds = [scale.low, scale.high];

  const valueAt = (event) => {
    const frame = svg.getBoundingClientRect();
    const y = ((event.clientY - frame.top) * HEIGHT) / frame.height;
    return scale.value(Math.min(HEIGHT - BOTTOM, Math.max(TOP, y)));
  };
  onDrag(hit, valueAt, valueAt, brush, () => brush(scale.low, scale.high)); // a click removes the brush
  handles.forEach((handle, end) => {
    onDrag(handle, valueAt, () => bounds[1 - end], brush);
    handle.addEventListener("keydown", (event) => {
      const target = keyTarget(event.key, bounds[end], scale);
      if (target === null || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (end) brush(Math.min(bounds[0], target), target);
      else brush(target, Math.max(bounds[1], target));
    });
  });

  const show = (brushed) => {
    bounds = brushed ?? [scale.low, scale.high];
    const [bottom, top] = bounds.map(scale.y);
    setAttributes(area, { y: top, height: Math.max(2, bottom - top), display: brushed ? "inline" : "none" });
    handles.forEach((handle, end) => setAttributes(handle, {
      transform: `translate(0 ${end ? top : bottom})`,
      "aria-valuenow": bounds[end],
      "aria-valuetext": axis.format(bounds[end]),
    }));
  };
  return { move: (x) => group.setAttribute("transform", `translate(${x.toFixed(1)} 0)`), show };
}
