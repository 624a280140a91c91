// A dialog with the histories of one key, one line for each entity of the comparison.
import { config, escaped, fetchJSON, hues, layout, plotly } from "./plotting.js";
import { downsampled, traces } from "./series.js";

const MAX_LINES = 50;
const POINTS = 2000; // of one line, approximately

async function fetchSeries(reference, path) {
  const pairs = [["ref", reference], ["path", path], ["points", POINTS]];
  const series = await fetchJSON("/api/v1/series", pairs).catch(() => null);
  return series?.total ? [[reference, series]] : [];
}

function linesOf([reference, series], hue) {
  const hover = (at) => `entry ${series.entries[at]}, event ${series.positions[at]}`;
  return traces(series, series.entries, hue, hover, {
    name: escaped(reference),
    legendgroup: reference,
    hovertemplate: "%{y}<br>%{text}<extra>%{fullData.name}</extra>",
  });
}

async function showHistories(dialog, path) {
  dialog.querySelector("[data-overlay-title]").textContent = path;
  dialog.showModal();
  const target = dialog.querySelector("[data-overlay-plot]");
  const references = [...new Set(new URLSearchParams(location.search).getAll("ref"))].slice(0, MAX_LINES);
  const reads = references.map((reference) => fetchSeries(reference, path));
  const [Plotly, ...found] = await Promise.all([plotly(), ...reads]);
  const named = found.flat();
  const palette = hues();
  const lines = named.flatMap((pair, at) => linesOf(pair, palette[at % palette.length]));
  dialog.querySelector("[data-thinned]").textContent = downsampled(named);
  const legend = { orientation: "h", y: -0.2 };
  const xaxis = { title: { text: "entry" } };
  await Plotly.react(target, lines, layout({ height: 420, showlegend: named.length > 1, legend, xaxis }), config);
  target.dataset.drawn = named.length;
}

export function historyDialog(dialog) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-history]");
    if (button) showHistories(dialog, button.dataset.history);
  });
}
