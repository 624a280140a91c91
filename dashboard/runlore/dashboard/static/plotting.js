// Plotly, loaded when a chart is first wanted: the bundle is large, and most pages have none.
import { isDark } from "./switch.js";

const MAPS_STYLE = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

const NUMERIC = ["int", "float", "decimal", "StorageSize"];
const FEW = 60; // numbers that each have a mark

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

// How series (from the API, with `points`) are drawn that were thinned, each named or ""; "" where all are whole.
export function thinned(named) {
  const number = (value) => value.toLocaleString("en");
  const said = named.flatMap(([name, { total, types }]) => {
    const drawn = types.filter((type) => NUMERIC.includes(type)).length;
    return drawn === total ? [] : [`${name && `${name}: `}${number(total)} numbers, drawn as ${number(drawn)}`];
  });
  return said.length ? `${said.join("; ")}: the least and largest of each stretch` : "";
}

// Traces of such a series: its line, which breaks where no number was logged, a cross on each number that was withdrawn,
// and a point on each that stands alone between breaks. `says` is the hover's text.
export function linesOf(series, x, hue, says, more) {
  const { values, types, entries, positions } = series;
  const few = values.length < FEW;
  const next = values.map((_, at) => (entries[at + 1] === entries[at] + 1 && values[at + 1] === null ? types[at + 1] : ""));
  const gone = next.map((type) => type === "retracted" || type === "removed");
  const text = next.map((type, at) => `${says(at)}${gone[at] ? `<br>${type} at position ${positions[at + 1]}` : type && `<br>no number follows at position ${positions[at + 1]}`}`);
  const alone = (at) => (values[at - 1] ?? values[at + 1] ?? null) === null;
  const marks = [...values.keys()].filter((at) => values[at] !== null && (gone[at] || (!few && alone(at))));
  const line = { x, y: values, text, mode: few ? "lines+markers" : "lines", line: { color: hue, width: 1.6 }, hovertemplate: "%{y}<br>%{text}<extra></extra>", ...more };
  if (!marks.length) return [line];
  const marker = { symbol: marks.map((at) => (gone[at] ? "x" : "circle")), size: marks.map((at) => (gone[at] ? 10 : 5)), color: marks.map((at) => (gone[at] ? colour("--bad") : hue)) };
  return [line, { ...line, x: marks.map((at) => x[at]), y: marks.map((at) => values[at]), text: marks.map((at) => text[at]), mode: "markers", marker, opacity: 1, showlegend: false }];
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
