// Comparing: charts over numeric keys, brushing that filters the table's columns, the history of one key overlaid, and
// the rest of a long table as it is scrolled to.
import { config, fetchJSON, hues, layout, linesOf, plotly, selectable, text, thinned } from "./plotting.js";
import { parallel } from "./parallel.js";
import { moreRows } from "./rows.js";
import { showColumns } from "./columns.js";

const COLUMNS_OF_CHARTS = 12;
const SETTLED = 120; // milliseconds without another step of a brush, before the table and the other chart follow
const POINTS = 2000; // of one line, about
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

const table = document.querySelector("[data-table]");
if (table) moreRows(table, document.querySelector("[data-next-link]"));
overlays();
charts();

function overlays() {
  const dialog = document.querySelector("[data-overlay]");
  if (!dialog) return;
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-history]");
    if (!button) return;
    const path = button.dataset.history;
    dialog.querySelector("[data-overlay-title]").textContent = path;
    dialog.showModal();
    const target = dialog.querySelector("[data-overlay-plot]");
    const asked = new URLSearchParams(location.search).getAll("ref");
    const references = [...new Set(asked)].slice(0, 50);
    const [Plotly, ...found] = await Promise.all([plotly(), ...references.map((ref) =>
      fetchJSON("/api/v1/series", [["ref", ref], ["path", path], ["points", POINTS]]).catch(() => null))]);
    const palette = hues();
    const named = references.flatMap((ref, at) => (found[at]?.total ? [[ref, found[at]]] : []));
    const traces = named.flatMap(([ref, series], at) => linesOf(series, series.entries, palette[at % palette.length], (point) => `entry ${series.entries[point]}, position ${series.positions[point]}`, {
      name: text(ref), legendgroup: ref, hovertemplate: "%{y}<br>%{text}<extra>%{fullData.name}</extra>",
    }));
    dialog.querySelector("[data-thinned]").textContent = thinned(named);
    await Plotly.react(target, traces, layout({ height: 420, showlegend: named.length > 1, legend: { orientation: "h", y: -0.2 }, xaxis: { title: { text: "entry" } } }), config);
    target.dataset.drawn = named.length;
  });
}

// Four digits, and as many more as it takes not to look whole.
const short = (value) => {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const cut = [4, 8, 12].map((digits) => Number(value.toPrecision(digits))).find((each) => !Number.isInteger(each) || Math.abs(value) >= 1e15);
  return String(cut ?? value);
};
const size = (value) => {
  const step = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, Math.abs(value))) / 3)));
  return `${(value / 1000 ** step).toFixed(step ? 1 : 0)} ${UNITS[step]}`;
};

// Brushes in the address, behind the #, so that a link shows a colleague the same.
const readBrushes = () => new Map([...new URLSearchParams(location.hash.slice(1))].flatMap(([name, text]) => {
  const bounds = text.split("..").map(Number);
  return bounds.length === 2 && bounds.every(Number.isFinite) ? [[name, bounds]] : [];
}));
const writeBrushes = (brushes) => {
  const said = new URLSearchParams([...brushes].map(([name, bounds]) => [name, bounds.map((value) => Number(value.toPrecision(6))).join("..")]));
  history.replaceState(history.state, "", `${location.pathname}${location.search}${brushes.size ? `#${said}` : ""}`);
};

async function charts() {
  const box = document.querySelector("[data-charts]");
  if (!box) return;
  const data = await fetchJSON("/api/v1/compare", new URLSearchParams(box.dataset.query).entries().filter(([name]) => !["as_of", "clock", "project"].includes(name)));
  const numeric = data.rows.filter((row) => row.differs && row.values.filter((value) => typeof value?.value === "number").length > 1);
  box.hidden = !numeric.length;
  if (box.hidden) {
    box.dataset.drawn = ""; // there is nothing to draw
    return;
  }
  const sayer = (row) => (row.values.every((value) => !value || value.type === "StorageSize") ? size : short);
  const axes = numeric.slice(0, COLUMNS_OF_CHARTS).map((row) => ({ name: row.path, say: sayer(row), values: row.values.map((value) => (typeof value?.value === "number" ? value.value : null)) }));
  const form = box.querySelector("[data-chart-controls]");
  const legend = box.querySelector("[data-legend]");
  const { colour, x, y } = form.elements;
  for (const select of [x, y]) numeric.forEach((row, at) => select.add(new Option(row.path, at)));
  y.value = String(Math.min(1, numeric.length - 1));
  // As the table heads them: references of steps begin alike, and are long.
  const titles = [...document.querySelectorAll("thead th[data-column] > a:first-child")].map((link) => link.textContent);
  const kinds = data.rows.map((row) => [...new Set(row.values.map((value) => JSON.stringify(value?.value ?? null)))]);
  data.rows.forEach((row, at) => {
    if (row.differs && kinds[at].length > 1 && kinds[at].length <= 12 && row.values.some((value) => typeof value?.value === "string" || typeof value?.value === "boolean")) colour.add(new Option(row.path, at));
  });
  const colours = () => {
    const palette = hues();
    // More columns than hues: a colour that came again would say that two belong together.
    if (colour.value === "") return data.columns.map((_, at) => palette[data.columns.length <= palette.length ? at : 0]);
    const row = Number(colour.value);
    return data.rows[row].values.map((value) => palette[kinds[row].indexOf(JSON.stringify(value?.value ?? null)) % palette.length]);
  };
  const explain = () => {
    const palette = hues();
    const named = colour.value === "" ? (data.columns.length <= palette.length ? titles : []) : kinds[Number(colour.value)].map((text) => (text === "null" ? "absent" : String(JSON.parse(text))));
    legend.replaceChildren(...named.map((name, at) => {
      const item = document.createElement("li"), mark = document.createElement("span");
      mark.style.background = palette[at % palette.length];
      item.append(mark, name.length > 40 ? `${name.slice(0, 39)}…` : name);
      return item;
    }));
  };

  // What the brushes and a selection in the scatter leave; null: all.
  let brushed = null, selected = null, settling;
  const kept = () => (brushed && selected ? brushed.intersection(selected) : brushed ?? selected);
  const filter = () => {
    const now = kept();
    form.querySelector("[data-clear]").hidden = now === null;
    form.querySelector("[data-brushed]").textContent = now === null ? "" : `${now.size} of ${data.columns.length} columns`;
    clearTimeout(settling);
    settling = setTimeout(() => { showColumns(data.columns.length, now); dim(); box.dataset.settled = now === null ? "" : now.size; }, SETTLED);
  };
  const target = box.querySelector("[data-scatter]");
  let points = [], Plotly;
  const opacity = () => { const now = kept(); return points.map((point) => (now === null || now.has(point.at) ? 0.9 : 0.12)); };
  const dim = () => { if (Plotly && target.data) Plotly.restyle(target, { "marker.opacity": [opacity()] }); };
  const scatter = async () => {
    const first = !Plotly;
    Plotly = await plotly();
    const across = numeric[Number(x.value)], up = numeric[Number(y.value)];
    const paint = colours();
    points = data.columns.map((name, at) => ({ name, at, x: across.values[at]?.value, y: up.values[at]?.value })).filter((point) => typeof point.x === "number" && typeof point.y === "number");
    await Plotly.react(target, [{
      x: points.map((point) => point.x), y: points.map((point) => point.y), text: points.map((point) => text(point.name)), mode: "markers",
      marker: { size: 9, color: points.map((point) => paint[point.at]), opacity: opacity() },
      hovertemplate: "%{text}<br>%{x}, %{y}<extra></extra>",
    }], layout({ xaxis: { title: { text: text(across.path), standoff: 6 } }, yaxis: { title: { text: text(up.path), standoff: 6 } } }), selectable);
    if (first) {
      target.on("plotly_selected", (event) => { if (event) { selected = new Set(event.points.map((point) => points[point.pointIndex].at)); filter(); } });
      target.on("plotly_deselect", () => { selected = null; filter(); });
    }
    box.dataset.drawn = "";
  };
  const known = new Set(axes.map((axis) => axis.name));
  const asked = () => new Map([...readBrushes()].filter(([name]) => known.has(name)));
  const lines = parallel(box.querySelector("[data-parallel]"), axes, data.columns, colours, asked(), (now, brushes) => { brushed = now; filter(); writeBrushes(brushes); });
  const redraw = () => { lines.paint(); explain(); scatter(); };
  const clear = () => { selected = null; lines.clear(); if (Plotly) Plotly.restyle(target, { selectedpoints: [null] }); };
  form.addEventListener("change", redraw);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("[data-clear]").addEventListener("click", clear);
  document.addEventListener("theme", redraw);
  addEventListener("hashchange", () => lines.take(asked()));
  explain();
  scatter();
}
