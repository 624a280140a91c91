// Charts of the numeric keys of a comparison: parallel coordinates and a scatter plot. Brushes and selected points
// filter the columns of the table.
import { readBrushes, writeBrushes } from "./brushes.js";
import { coloring } from "./coloring.js";
import { showColumns } from "./columns.js";
import { shortNumber, sizeText } from "./numbers.js";
import { parallelCoordinates } from "./parallel.js";
import { fetchJSON } from "./plotting.js";
import { scatterPlot } from "./scatter.js";

const MAX_AXES = 12;
const STILL = 120; // ms without a move of a brush, before the table and the scatter plot follow
const FROM_PAGE = new Set(["as_of", "clock", "project"]); // parameters that fetchJSON adds

const isNumber = (cell) => typeof cell?.value === "number";

function fetchComparison(query) {
  const pairs = [...new URLSearchParams(query)].filter(([name]) => !FROM_PAGE.has(name));
  return fetchJSON("/api/v1/compare", pairs);
}

const numericRows = (rows) => rows.filter((row) => row.differs && row.values.filter(isNumber).length > 1);

function axisOf(row) {
  const sizes = row.values.every((cell) => !cell || cell.type === "StorageSize");
  return {
    name: row.path,
    format: sizes ? sizeText : shortNumber,
    values: row.values.map((cell) => (isNumber(cell) ? cell.value : null)),
  };
}

// As the table shows them: references of steps are long and begin alike.
const columnTitles = () =>
  [...document.querySelectorAll("thead th[data-column] > a:first-child")].map((link) => link.textContent.trim());

function fillAxisChoices({ x, y }, rows) {
  for (const select of [x, y]) rows.forEach((row, at) => select.add(new Option(row.path, at)));
  y.value = String(Math.min(1, rows.length - 1));
}

// The columns left by the brushes and by the selection in the scatter plot. `changed` is called when it is still.
function columnFilter(box, count, changed) {
  const sets = { brushed: null, selected: null }; // null: all columns
  let timer;
  const shown = () => {
    const { brushed, selected } = sets;
    return brushed && selected ? brushed.intersection(selected) : brushed ?? selected;
  };
  const apply = () => {
    const kept = shown();
    showColumns(count, kept);
    changed();
    box.dataset.settled = kept === null ? "" : kept.size;
  };
  const set = (name, columns) => {
    sets[name] = columns;
    const kept = shown();
    box.querySelector("[data-clear]").hidden = kept === null;
    box.querySelector("[data-brushed]").textContent = kept === null ? "" : `${kept.size} of ${count} columns`;
    clearTimeout(timer);
    timer = setTimeout(apply, STILL);
  };
  return { shown, set };
}

export async function comparisonCharts(box) {
  const data = await fetchComparison(box.dataset.query);
  const rows = numericRows(data.rows);
  box.hidden = !rows.length;
  if (box.hidden) {
    box.dataset.drawn = ""; // there is nothing to draw
    return;
  }
  const form = box.querySelector("[data-chart-controls]");
  const { colour, x, y } = form.elements;
  fillAxisChoices(form.elements, rows);
  const paint = coloring(data, colour, box.querySelector("[data-legend]"), columnTitles());

  const filter = columnFilter(box, data.columns.length, () => scatter.dim());
  const select = (columns) => filter.set("selected", columns);
  const scatter = scatterPlot(box.querySelector("[data-scatter]"), data.columns, filter.shown, select);
  const axes = rows.slice(0, MAX_AXES).map(axisOf);
  const axisNames = new Set(axes.map((axis) => axis.name));
  const brushed = (columns, brushes) => {
    filter.set("brushed", columns);
    writeBrushes(brushes);
  };
  const lines = parallelCoordinates(box.querySelector("[data-parallel]"), axes, data.columns, {
    colors: paint.colors, brushes: readBrushes(axisNames), changed: brushed,
  });

  const draw = async () => {
    lines.paint();
    paint.showLegend();
    await scatter.draw(rows[Number(x.value)], rows[Number(y.value)], paint.colors());
    box.dataset.drawn = "";
  };
  const clear = () => {
    filter.set("selected", null);
    lines.clear();
    scatter.clear();
  };
  form.addEventListener("change", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  box.querySelector("[data-clear]").addEventListener("click", clear);
  document.addEventListener("theme", draw);
  addEventListener("hashchange", () => lines.setBrushes(readBrushes(axisNames)));
  await draw();
}
