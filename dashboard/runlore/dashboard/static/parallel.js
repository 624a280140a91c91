// Parallel coordinates as plain SVG. Plotly's own draws with WebGL and compiles code at run time, which our
// Content-Security-Policy forbids.
const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 300, TOP = 34, BOTTOM = 24, GAP = 130, LEFT = 60;

const make = (parent, name, attributes, text) => {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
};
const short = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(4));

// `axes`: name and values of each; `changed` gets the set of columns inside all brushes, null without any.
export function parallel(box, axes, names, colours, changed) {
  const width = LEFT * 2 + GAP * (axes.length - 1 || 1);
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("class", "parallel");
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", HEIGHT);
  const place = (at) => LEFT + at * GAP;
  const scales = axes.map(({ values }) => {
    const known = values.filter((value) => value !== null);
    const low = Math.min(...known), high = Math.max(...known);
    const span = high - low || 1;
    return {
      low, high,
      y: (value) => HEIGHT - BOTTOM - ((value - low) / span) * (HEIGHT - TOP - BOTTOM),
      value: (y) => low + ((HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM)) * span,
    };
  });
  const runs = names.map((name, column) => {
    const points = axes.map((axis, at) => [place(at), axis.values[column] === null ? null : scales[at].y(axis.values[column])]).filter(([, y]) => y !== null);
    const line = make(svg, "polyline", { class: "run", points: points.map((point) => point.join(",")).join(" ") });
    make(line, "title", {}, name);
    return line;
  });
  const brushes = axes.map(() => null);
  const boxes = [];
  const inside = (column) => axes.every((axis, at) => {
    const brush = brushes[at], value = axis.values[column];
    return !brush || (value !== null && value >= brush[0] && value <= brush[1]);
  });
  const apply = () => {
    const any = brushes.some(Boolean);
    const kept = new Set(names.keys().filter(inside));
    runs.forEach((line, column) => line.classList.toggle("out", !kept.has(column)));
    boxes.forEach((shape, at) => {
      shape.toggleAttribute("hidden", !brushes[at]);
      shape.setAttribute("display", brushes[at] ? "inline" : "none");
      if (!brushes[at]) return;
      const top = scales[at].y(brushes[at][1]), bottom = scales[at].y(brushes[at][0]);
      shape.setAttribute("y", top);
      shape.setAttribute("height", Math.max(2, bottom - top));
    });
    changed(any ? kept : null);
  };
  axes.forEach((axis, at) => {
    const x = place(at), scale = scales[at];
    make(svg, "line", { class: "axis", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
    const label = axis.name.length > 19 ? `…${axis.name.slice(-18)}` : axis.name;
    make(make(svg, "text", { x, y: 14, "text-anchor": "middle" }, label), "title", {}, axis.name);
    make(svg, "text", { x, y: TOP - 6, "text-anchor": "middle" }, short(scale.high));
    make(svg, "text", { x, y: HEIGHT - 8, "text-anchor": "middle" }, short(scale.low));
    boxes.push(make(svg, "rect", { class: "brush", x: x - 8, width: 16, display: "none" }));
    const hit = make(svg, "rect", { class: "hit", x: x - 16, y: TOP - 4, width: 32, height: HEIGHT - TOP - BOTTOM + 8 });
    const at_y = (event) => scale.value(Math.min(HEIGHT - BOTTOM, Math.max(TOP, (event.clientY - svg.getBoundingClientRect().top) * (HEIGHT / svg.getBoundingClientRect().height))));
    let start = null;
    hit.addEventListener("pointerdown", (event) => { start = at_y(event); hit.setPointerCapture(event.pointerId); });
    hit.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const now = at_y(event);
      brushes[at] = [Math.min(start, now), Math.max(start, now)];
      apply();
    });
    hit.addEventListener("pointerup", () => {
      const brush = brushes[at];
      // A click without a drag takes the brush away.
      if (brush && Math.abs(scale.y(brush[0]) - scale.y(brush[1])) < 3) { brushes[at] = null; apply(); }
      start = null;
    });
  });
  const paint = () => { const now = colours(); runs.forEach((line, column) => line.setAttribute("stroke", now[column])); };
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Parallel coordinates of ${names.length} columns over ${axes.map((axis) => axis.name).join(", ")}`);
  box.replaceChildren(svg);
  paint();
  return { paint, clear: () => { brushes.fill(null); apply(); } };
}
