// Comparing: charts over numeric keys, brushing that filters the table's columns, the history of one key overlaid, and
// the rest of a long table as it is scrolled to.
import { config, fetchJSON, hues, layout, plotly } from "./plotting.js";
import { parallel } from "./parallel.js";

const COLUMNS_OF_CHARTS = 12;

moreRows();
overlays();
charts();

function moreRows() {
  const box = document.querySelector("[data-table]");
  const link = document.querySelector("[data-next-link]");
  if (!box || !link) return;
  link.hidden = false;
  let loading = false;
  const load = async () => {
    if (loading || !link.href || link.hidden) return;
    loading = true;
    const url = new URL(link.href);
    url.searchParams.set("part", "1");
    const answer = await fetch(url);
    if (answer.ok) {
      const next = answer.headers.get("X-Next");
      const part = new DOMParser().parseFromString(`<table>${await answer.text()}</table>`, "text/html");
      box.querySelector("table").append(...part.querySelectorAll("tbody"));
      document.dispatchEvent(new Event("more"));
      if (next) link.href = next;
      else link.hidden = true;
    }
    loading = false;
  };
  link.addEventListener("click", (event) => { event.preventDefault(); load(); });
  box.addEventListener("scroll", () => { if (box.scrollTop + box.clientHeight > box.scrollHeight - 600) load(); }, { passive: true });
}

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
      fetchJSON("/api/v1/series", [["ref", ref], ["path", path], ["limit", 2000]]).catch(() => null))]);
    const traces = found.flatMap((series, at) => series && series.values.length ? [{
      x: series.values.map((_, step) => step + 1), y: series.values, name: references[at],
      mode: series.values.length < 60 ? "lines+markers" : "lines",
      text: series.positions.map((position) => `position ${position}`), hovertemplate: "%{y}<br>%{text}<extra>%{fullData.name}</extra>",
    }] : []);
    await Plotly.react(target, traces, layout({ height: 420, showlegend: traces.length > 1, legend: { orientation: "h", y: -0.2 }, xaxis: { title: { text: "entry" } } }), config);
    target.dataset.drawn = traces.length;
  });
}

async function charts() {
  const box = document.querySelector("[data-charts]");
  if (!box) return;
  const data = await fetchJSON("/api/v1/compare", new URLSearchParams(box.dataset.query).entries().filter(([name]) => name !== "as_of" && name !== "project"));
  const numeric = data.rows.filter((row) => row.differs && row.values.filter((value) => typeof value?.value === "number").length > 1);
  if (!numeric.length) return;
  box.hidden = false;
  const axes = numeric.slice(0, COLUMNS_OF_CHARTS).map((row) => ({ name: row.path, values: row.values.map((value) => (typeof value?.value === "number" ? value.value : null)) }));
  const form = box.querySelector("[data-chart-controls]");
  const { colour, x, y } = form.elements;
  for (const select of [x, y]) numeric.forEach((row, at) => select.add(new Option(row.path, at)));
  y.value = String(Math.min(1, numeric.length - 1));
  data.rows.forEach((row, at) => {
    const kinds = new Set(row.values.map((value) => JSON.stringify(value?.value ?? null)));
    if (row.differs && kinds.size > 1 && kinds.size <= 12 && row.values.some((value) => typeof value?.value === "string" || typeof value?.value === "boolean")) colour.add(new Option(row.path, at));
  });
  let kept = null; // null: all
  const colours = () => {
    const palette = hues();
    if (colour.value === "") return data.columns.map((_, at) => palette[at % palette.length]);
    const values = data.rows[Number(colour.value)].values.map((value) => JSON.stringify(value?.value ?? null));
    const kinds = [...new Set(values)];
    return values.map((value) => palette[kinds.indexOf(value) % palette.length]);
  };
  const filter = () => {
    const hidden = (column) => kept !== null && !kept.has(Number(column));
    for (const cell of document.querySelectorAll("[data-table] [data-column]")) cell.hidden = hidden(cell.dataset.column);
    form.querySelector("[data-clear]").hidden = kept === null;
    form.querySelector("[data-brushed]").textContent = kept === null ? "" : `${kept.size} of ${data.columns.length} columns`;
  };
  const lines = parallel(box.querySelector("[data-parallel]"), axes, data.columns, colours, (now) => { kept = now; filter(); scatter(); });
  const scatter = async () => {
    const Plotly = await plotly();
    const across = numeric[Number(x.value)], up = numeric[Number(y.value)];
    const paint = colours();
    const points = data.columns.map((name, at) => ({ name, at, x: across.values[at]?.value, y: up.values[at]?.value })).filter((point) => typeof point.x === "number" && typeof point.y === "number");
    await Plotly.react(box.querySelector("[data-scatter]"), [{
      x: points.map((point) => point.x), y: points.map((point) => point.y), text: points.map((point) => point.name), mode: "markers",
      marker: { size: 9, color: points.map((point) => paint[point.at]), opacity: points.map((point) => (kept === null || kept.has(point.at) ? 0.9 : 0.12)) },
      hovertemplate: "%{text}<br>%{x}, %{y}<extra></extra>",
    }], layout({ xaxis: { title: { text: across.path } }, yaxis: { title: { text: up.path } } }), config);
    box.dataset.drawn = "";
  };
  const redraw = () => { lines.paint(); scatter(); };
  form.addEventListener("change", redraw);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("[data-clear]").addEventListener("click", () => lines.clear());
  document.addEventListener("theme", redraw);
  document.addEventListener("more", filter);
  scatter();
}
