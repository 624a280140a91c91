// Plotly, loaded when a chart is first wanted: the bundle is large, and most pages have none.
import { isDark } from "./switch.js";

const MAPS_STYLE = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

let loading;

export function plotly() {
  loading ??= new Promise((done, failed) => {
    // The bundle's map part would add its style sheet inline, which our policy forbids and no chart of ours needs. It
    // leaves out what is there already.
    const maps = document.createElement("meta");
    maps.id = MAPS_STYLE;
    document.head.append(maps);
    const script = document.createElement("script");
    script.src = document.body.dataset.plotly;
    script.onload = () => done(globalThis.Plotly);
    script.onerror = () => failed(new Error("the chart library did not load"));
    document.head.append(script);
  });
  return loading;
}

// The library reads what it writes as markup: links and bold, from names that anybody may have logged.
export const text = (said) => said.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Twelve hues that can be told apart on both grounds.
export const hues = () => isDark()
  ? ["#86aef0", "#f0a868", "#7fcf9b", "#e58fb1", "#c3a6ff", "#e0d06c", "#6fd0d6", "#f29a9a", "#b5bd89", "#9fb4c7", "#d7a27d", "#a8e0c4"]
  : ["#2a5db0", "#b3541e", "#1d6b3c", "#a12c63", "#6b3fa0", "#7a6a00", "#0b7285", "#a4262c", "#5c6b1e", "#4a5c6b", "#8a5a2b", "#2b7a5e"];

export function layout(more = {}) {
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--strong-line"), automargin: true };
  const { xaxis, yaxis, ...rest } = more;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: hues(),
    font: { family: "system-ui, sans-serif", size: 12, color: colour("--muted") },
    margin: { l: 48, r: 16, t: 12, b: 44 }, height: 300, hovermode: "closest", showlegend: false, uirevision: "kept",
    hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--strong-line"), font: { color: colour("--ink") } },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}

// Nothing that was logged leaves for anybody's cloud: the library has a button for that.
const NO_CLOUD = { plotlyServerURL: "", modeBarButtonsToRemove: ["sendChartToCloud"] };
export const selectable = { ...NO_CLOUD, displaylogo: false, responsive: true, displayModeBar: "hover" };
export const config = { ...selectable, modeBarButtonsToRemove: [...NO_CLOUD.modeBarButtonsToRemove, "select2d", "lasso2d"] };

export async function fetchJSON(path, pairs) {
  const url = new URL(path, location.href);
  const here = new URL(location.href).searchParams;
  for (const name of ["project", "as_of", "clock"]) if (here.has(name)) url.searchParams.set(name, here.get(name));
  for (const [name, value] of pairs) url.searchParams.append(name, value);
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url.pathname}: ${answer.status}`);
  return answer.json();
}

// Exponential smoothing that does not start low: each mean is divided by the weight it has gathered.
export function smoothed(values, weight) {
  if (!weight) return values;
  let mean = 0, gathered = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = mean * weight + value * (1 - weight);
    gathered = gathered * weight + (1 - weight);
    return mean / gathered;
  });
}
