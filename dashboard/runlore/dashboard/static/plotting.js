// Plotly, loaded when a chart is first needed: the bundle is large, and most pages have no chart.
import { isDark } from "./switch.js";

const MAPS_STYLE = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

// Twelve hues that can be told apart on a light and on a dark ground.
const LIGHT = [
  "#2a5db0", "#b3541e", "#1d6b3c", "#a12c63", "#6b3fa0", "#7a6a00",
  "#0b7285", "#a4262c", "#5c6b1e", "#4a5c6b", "#8a5a2b", "#2b7a5e",
];
const DARK = [
  "#86aef0", "#f0a868", "#7fcf9b", "#e58fb1", "#c3a6ff", "#e0d06c",
  "#6fd0d6", "#f29a9a", "#b5bd89", "#9fb4c7", "#d7a27d", "#a8e0c4",
];

let loading;

export function plotly() {
  loading ??= new Promise((done, failed) => {
    // The bundle's map part would add an inline style sheet, which the Content-Security-Policy forbids and no chart
    // here needs. It adds none if an element with this ID exists.
    const maps = document.createElement("meta");
    maps.id = MAPS_STYLE;
    document.head.append(maps);
    const script = document.createElement("script");
    script.src = document.body.dataset.plotly;
    script.addEventListener("load", () => done(globalThis.Plotly));
    script.addEventListener("error", () => failed(new Error("the chart library did not load")));
    document.head.append(script);
  });
  return loading;
}

// Plotly reads texts as markup with links: names, which anybody may have logged, are escaped.
export const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export const themeColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const hues = () => (isDark() ? DARK : LIGHT);

export function layout(more = {}) {
  const line = themeColor("--line"), strong = themeColor("--strong-line");
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: strong, automargin: true };
  const { xaxis, yaxis, ...rest } = more;
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    colorway: hues(),
    font: { family: "system-ui, sans-serif", size: 12, color: themeColor("--muted") },
    margin: { l: 48, r: 16, t: 12, b: 44 },
    height: 300,
    hovermode: "closest",
    showlegend: false,
    uirevision: "kept",
    hoverlabel: { bgcolor: themeColor("--raised"), bordercolor: strong, font: { color: themeColor("--ink") } },
    xaxis: { ...axis, ...xaxis },
    yaxis: { ...axis, ...yaxis },
    ...rest,
  };
}

// The library has a button that sends a chart to its maker's cloud: not here.
const NO_CLOUD = ["sendChartToCloud"];
const common = { plotlyServerURL: "", displaylogo: false, responsive: true, displayModeBar: "hover" };
export const selectable = { ...common, modeBarButtonsToRemove: NO_CLOUD };
export const config = { ...common, modeBarButtonsToRemove: [...NO_CLOUD, "select2d", "lasso2d"] };

// Reads an endpoint of the API at the page's project and moment.
export async function fetchJSON(path, pairs) {
  const url = new URL(path, location.href);
  const here = new URL(location.href).searchParams;
  for (const name of ["project", "as_of", "clock"]) if (here.has(name)) url.searchParams.set(name, here.get(name));
  for (const [name, value] of pairs) url.searchParams.append(name, value);
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url.pathname}: ${answer.status}`);
  return answer.json();
}
