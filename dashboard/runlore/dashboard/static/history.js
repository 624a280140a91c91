// The chart of one key: linear or logarithmic, over events or time, smoothed. It grows with the log.
import { config, fetchJSON, hues, layout, plotly } from "./plotting.js";
import { downsampled, smoothed, traces } from "./series.js";

const PAPER = 660; // CSS pixels between the margins of A4

function tracesOf(series, overTime, weight) {
  const x = overTime ? series.times.map((seconds) => new Date(seconds * 1000).toISOString()) : series.positions;
  const hover = (at) => `event ${series.positions[at]}<br>${new Date(series.times[at] * 1000).toLocaleString()}`;
  const drawn = traces(series, x, hues()[0], hover, { opacity: weight ? 0.35 : 1 });
  if (!weight) return drawn;
  const line = { width: 2, color: hues()[0] };
  const hovertemplate = "smoothed %{y}<extra></extra>";
  return [...drawn, { x, y: smoothed(series.values, weight), mode: "lines", line, hovertemplate }];
}

function layoutOf(overTime, logarithmic) {
  const title = { text: overTime ? "recorded" : "event", standoff: 6 };
  return layout({
    xaxis: { type: overTime ? "date" : "linear", title },
    yaxis: { type: logarithmic ? "log" : "linear" },
    uirevision: `${overTime} ${logarithmic}`,
  });
}

// A drawing has the width of the screen, which paper may not have.
function fitPaper(Plotly, target) {
  addEventListener("beforeprint", () => {
    Plotly.relayout(target, { autosize: false, width: Math.min(target.clientWidth, PAPER) });
  });
  addEventListener("afterprint", () => Plotly.relayout(target, { autosize: true, width: null }));
}

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
    const { smooth, x, log } = form.elements;
    const overTime = x.value === "time";
    note.textContent = downsampled([["", series]]);
    note.hidden = !note.textContent;
    const drawn = tracesOf(series, overTime, Number(smooth.value));
    return Plotly.react(target, drawn, layoutOf(overTime, log.checked), config);
  };

  target.replaceChildren();
  await draw();
  section.dataset.drawn = "";
  form.addEventListener("input", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("theme", draw);
  fitPaper(Plotly, target);
  document.addEventListener("refreshed", async () => {
    const grown = await read().catch(() => null); // the next refresh tries again
    if (!grown) return;
    series = grown;
    draw();
  });
}
