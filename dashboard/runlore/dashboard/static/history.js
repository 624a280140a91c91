// The chart of one key: linear or logarithmic, over positions or time, smoothed; it grows with the log.
import { config, fetchJSON, hues, layout, linesOf, plotly, smoothed, thinned } from "./plotting.js";

const PAPER = 660; // CSS pixels that fit between the margins of A4

export async function historyChart(section) {
  const form = section.querySelector("[data-controls]");
  const target = section.querySelector("[data-plot]");
  const note = section.querySelector("[data-thinned]");
  const { ref, path, points } = section.dataset;
  const read = () => fetchJSON("/api/v1/series", [["ref", ref], ["path", path], ["points", points]]);
  let series = await read();
  const Plotly = await plotly();
  form.hidden = false;

  const draw = () => {
    const weight = Number(form.elements.smooth.value);
    const over = form.elements.x.value;
    const x = over === "time" ? series.times.map((seconds) => new Date(seconds * 1000).toISOString()) : series.positions;
    const says = (at) => `position ${series.positions[at]}<br>${new Date(series.times[at] * 1000).toLocaleString()}`;
    const traces = linesOf(series, x, hues()[0], says, { opacity: weight ? 0.35 : 1 });
    if (weight) traces.push({ x, y: smoothed(series.values, weight), mode: "lines", line: { width: 2, color: hues()[0] }, hovertemplate: "smoothed %{y}<extra></extra>" });
    note.textContent = thinned([["", series]]);
    note.hidden = !note.textContent;
    return Plotly.react(target, traces, layout({
      xaxis: { type: over === "time" ? "date" : "linear", title: { text: over === "time" ? "recorded" : "position in the log", standoff: 6 } },
      yaxis: { type: form.elements.log.checked ? "log" : "linear" },
      uirevision: `${over} ${form.elements.log.checked}`,
    }), config);
  };

  target.replaceChildren();
  await draw();
  section.dataset.drawn = "";
  form.addEventListener("input", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("theme", draw);
  // A drawing has the screen's width, which paper may not have.
  addEventListener("beforeprint", () => Plotly.relayout(target, { autosize: false, width: Math.min(target.clientWidth, PAPER) }));
  addEventListener("afterprint", () => Plotly.relayout(target, { autosize: true, width: null }));
  document.addEventListener("refreshed", async () => {
    const grown = await read().catch(() => null); // the next refresh asks again
    if (grown) { series = grown; draw(); }
  });
}
