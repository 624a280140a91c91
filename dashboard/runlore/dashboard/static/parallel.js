// Parallel coordinates as plain SVG. Plotly's version uses WebGL and compiles code at run time, which the
// Content-Security-Policy forbids.
import { drawAxis, HEIGHT, scaleOf } from "./axis.js";
import { setAttributes, svgElement } from "./svg.js";

const MIN_GAP = 110, EDGE = 60; // pixels between axes, and beside the first and last one

function drawLines(svg, columns) {
  return columns.map((name) => {
    const line = svgElement(svg, "polyline", { class: "run" });
    svgElement(line, "title", {}, name);
    return line;
  });
}

// The points of a column's line; axes without its value are skipped.
function linePoints(axes, scales, column, place) {
  const known = axes.map((axis, at) => [place(at), axis.values[column], scales[at]]);
  const points = known.filter(([, value]) => value !== null);
  return points.map(([x, value, scale]) => `${x.toFixed(1)},${scale.y(value).toFixed(1)}`).join(" ");
}

// A column is inside if each of its values is within the brush on its axis.
function insideBrushes(axes, brushes, column) {
  return axes.every((axis) => {
    const bounds = brushes.get(axis.name), value = axis.values[column];
    return !bounds || (value !== null && value >= bounds[0] && value <= bounds[1]);
  });
}

// At most one call per frame, as a pointer moves more often.
function oncePerFrame(action) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      action();
    });
  };
}

// `axes`: name, values (null where a column has none) and format of each. `colors()`: the colors of the columns.
// `brushes`: a Map of bounds by axis name. `changed`: called with the set of columns inside the brushes (null without a
// brush), and the brushes. Returns `paint` (new colors), `clear` and `setBrushes`.
export function parallelCoordinates(box, axes, columns, { colors, brushes, changed }) {
  const label = `Parallel coordinates of ${columns.length} columns over ${axes.map((axis) => axis.name).join(", ")}`;
  const svg = svgElement(null, "svg", { class: "parallel", role: "group", "aria-label": label });
  const scales = axes.map((axis) => scaleOf(axis.values));
  const lines = drawLines(svg, columns);
  const drawn = axes.map((axis, at) => drawAxis(svg, axis, scales[at], (low, high) => brush(at, low, high)));

  const show = () => {
    const kept = new Set(columns.keys().filter((column) => insideBrushes(axes, brushes, column)));
    lines.forEach((line, column) => line.classList.toggle("out", !kept.has(column)));
    drawn.forEach((axis, at) => axis.show(brushes.get(axes[at].name)));
    changed(brushes.size ? kept : null, brushes);
  };
  const showSoon = oncePerFrame(show);
  const brush = (at, low, high) => {
    const { name } = axes[at], scale = scales[at];
    if (low <= scale.low && high >= scale.high) brushes.delete(name);
    else brushes.set(name, [low, high]);
    showSoon();
  };
  const fit = () => {
    const gaps = Math.max(1, axes.length - 1);
    const gap = Math.max(MIN_GAP, (box.clientWidth - 2 * EDGE - 2) / gaps);
    const width = 2 * EDGE + gap * gaps, place = (at) => EDGE + at * gap;
    setAttributes(svg, { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` });
    drawn.forEach((axis, at) => axis.move(place(at)));
    lines.forEach((line, column) => line.setAttribute("points", linePoints(axes, scales, column, place)));
  };
  const paint = () => {
    const now = colors();
    lines.forEach((line, column) => line.setAttribute("stroke", now[column]));
  };
  const setBrushes = (others) => {
    brushes.clear();
    for (const [name, bounds] of others) brushes.set(name, bounds);
    show();
  };
  const clear = () => setBrushes([]);
  svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear();
  });
  box.replaceChildren(svg);
  fit();
  new ResizeObserver(fit).observe(box);
  paint();
  show();
  return { paint, clear, setBrushes };
}
