// Parallel coordinates as plain SVG. Plotly's own draws with WebGL and compiles code at run time, which our
// Content-Security-Policy forbids.
const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 300, TOP = 40, BOTTOM = 28, LEAST_GAP = 110, EDGE = 60;
const LINE = HEIGHT - TOP - BOTTOM;
const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };
const PARTS = 50; // steps from one end of an axis to the other

const set = (element, attributes) => { for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value); };
const make = (parent, name, attributes, text) => {
  const element = document.createElementNS(NS, name);
  set(element, attributes);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
};

// `axes`: `name`, `values` (a number or null a column) and `say`, which writes a number, of each. `brushes`: by axis name,
// what is brushed from the start. `changed` gets the columns inside all brushes (null without any), and the brushes.
export function parallel(box, axes, names, colours, brushes, changed) {
  const svg = document.createElementNS(NS, "svg");
  set(svg, { class: "parallel", role: "group", "aria-label": `Parallel coordinates of ${names.length} columns over ${axes.map((axis) => axis.name).join(", ")}` });
  const scales = axes.map(({ values }) => {
    const known = values.filter((value) => value !== null);
    const low = Math.min(...known), high = Math.max(...known), span = high - low || 1;
    return { low, high, span, y: (value) => HEIGHT - BOTTOM - ((value - low) / span) * LINE, value: (y) => low + ((HEIGHT - BOTTOM - y) / LINE) * span };
  });
  const runs = names.map((name) => {
    const line = make(svg, "polyline", { class: "run" });
    make(line, "title", {}, name);
    return line;
  });
  const drawn = axes.map((axis, at) => handles(svg, axis, scales[at], (low, high) => brush(at, low, high)));
  const inside = (column) => axes.every((axis) => {
    const bounds = brushes.get(axis.name), value = axis.values[column];
    return !bounds || (value !== null && value >= bounds[0] && value <= bounds[1]);
  });

  let waiting = false;
  const apply = () => {
    if (waiting) return;
    waiting = true;
    // A pointer moves more often than the screen is drawn.
    requestAnimationFrame(() => { waiting = false; show(); });
  };
  const show = () => {
    const kept = new Set(names.keys().filter(inside));
    runs.forEach((line, column) => line.classList.toggle("out", !kept.has(column)));
    drawn.forEach((axis, at) => axis.show(brushes.get(axes[at].name)));
    changed(brushes.size ? kept : null, brushes);
  };
  const brush = (at, low, high) => {
    const { name } = axes[at], scale = scales[at];
    if (low <= scale.low && high >= scale.high) brushes.delete(name);
    else brushes.set(name, [low, high]);
    apply();
  };
  const fit = () => {
    const gap = Math.max(LEAST_GAP, (box.clientWidth - 2 * EDGE - 2) / Math.max(1, axes.length - 1));
    const width = 2 * EDGE + gap * Math.max(1, axes.length - 1);
    set(svg, { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` });
    const place = (at) => EDGE + at * gap;
    drawn.forEach((axis, at) => axis.move(place(at)));
    runs.forEach((line, column) => {
      const points = axes.flatMap((axis, at) => (axis.values[column] === null ? [] : [`${place(at).toFixed(1)},${scales[at].y(axis.values[column]).toFixed(1)}`]));
      line.setAttribute("points", points.join(" "));
    });
  };
  const paint = () => { const now = colours(); runs.forEach((line, column) => line.setAttribute("stroke", now[column])); };
  const take = (others) => { brushes.clear(); for (const [name, bounds] of others) brushes.set(name, bounds); show(); };
  const clear = () => take([]);
  svg.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
  box.replaceChildren(svg);
  fit();
  new ResizeObserver(fit).observe(box);
  paint();
  show();
  return { paint, clear, take };
}

// One axis: its line and labels, the brush, and a handle at each end of it for keyboard and pointer.
function handles(svg, axis, scale, brush) {
  const group = make(svg, "g", {});
  make(group, "line", { class: "axis", y1: TOP, y2: HEIGHT - BOTTOM });
  const label = axis.name.length > 19 ? `…${axis.name.slice(-18)}` : axis.name;
  make(make(group, "text", { y: 14, "text-anchor": "middle" }, label), "title", {}, axis.name);
  make(group, "text", { y: TOP - 11, "text-anchor": "middle" }, axis.say(scale.high));
  make(group, "text", { y: HEIGHT - 6, "text-anchor": "middle" }, axis.say(scale.low));
  const area = make(group, "rect", { class: "brush", x: -8, width: 16 });
  const hit = make(group, "rect", { class: "hit", x: -16, y: TOP - 4, width: 32, height: LINE + 8 });
  let bounds = [scale.low, scale.high];
  const ends = ["lower", "upper"].map((word, end) => {
    const handle = make(group, "path", { class: "handle", d: end ? "M-8 -7 H8 L0 0 Z" : "M-8 7 H8 L0 0 Z", tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-label": `${axis.name}, ${word} bound`, "aria-valuemin": scale.low, "aria-valuemax": scale.high });
    handle.addEventListener("keydown", (event) => {
      const to = event.key === "Home" ? scale.low : event.key === "End" ? scale.high : STEPS[event.key] ? bounds[end] + (STEPS[event.key] * scale.span) / PARTS : null;
      if (to === null || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const moved = Math.min(scale.high, Math.max(scale.low, to));
      if (end) brush(Math.min(bounds[0], moved), moved);
      else brush(moved, Math.max(bounds[1], moved));
    });
    return handle;
  });

  const value = (event) => {
    const frame = svg.getBoundingClientRect();
    return scale.value(Math.min(HEIGHT - BOTTOM, Math.max(TOP, ((event.clientY - frame.top) * HEIGHT) / frame.height)));
  };
  let start = null, from = 0;
  const drag = (element, where) => {
    element.addEventListener("pointerdown", (event) => { start = where(event); from = event.clientY; element.setPointerCapture(event.pointerId); });
    element.addEventListener("pointermove", (event) => { if (start !== null) brush(Math.min(start, value(event)), Math.max(start, value(event))); });
    element.addEventListener("pointerup", (event) => {
      // A click without a drag takes the brush away.
      if (element === hit && Math.abs(event.clientY - from) < 3) brush(scale.low, scale.high);
      start = null;
    });
    element.addEventListener("pointercancel", () => { start = null; });
  };
  drag(hit, value);
  ends.forEach((handle, end) => drag(handle, () => bounds[1 - end]));

  return {
    move: (x) => group.setAttribute("transform", `translate(${x.toFixed(1)} 0)`),
    show: (now) => {
      bounds = now ?? [scale.low, scale.high];
      const top = scale.y(bounds[1]), bottom = scale.y(bounds[0]);
      set(area, { y: top, height: Math.max(2, bottom - top), display: now ? "inline" : "none" });
      ends.forEach((handle, end) => set(handle, { transform: `translate(0 ${end ? top : bottom})`, "aria-valuenow": bounds[end], "aria-valuetext": axis.say(bounds[end]) }));
    },
  };
}
