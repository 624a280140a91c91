// Series of numbers from the API (with `points`), as Plotly draws them.
import { themeColor } from "./plotting.js";

const NUMERIC = new Set(["int", "float", "decimal", "StorageSize"]);
const FEW = 60; // up to this many numbers, each has a mark

const withCommas = (number) => number.toLocaleString("en");

// A note about downsampled series, each [name or "", series]; "" if all are complete.
export function downsampled(named) {
  const notes = named.flatMap(([name, { total, types }]) => {
    const drawn = types.filter((type) => NUMERIC.has(type)).length;
    if (drawn === total) return [];
    return [`${name && `${name}: `}${withCommas(total)} numbers, downsampled to ${withCommas(drawn)}`];
  });
  return notes.length ? `${notes.join("; ")}: minimum and maximum of each interval` : "";
}

// The type of the entry after each number where that entry is not a number, else "".
function endings({ values, types, entries }) {
  return values.map((_, at) => {
    const breaks = entries[at + 1] === entries[at] + 1 && values[at + 1] === null;
    return breaks ? types[at + 1] : "";
  });
}

const withdrawn = (type) => type === "retracted" || type === "removed";

function hoverText(type, position) {
  if (withdrawn(type)) return `<br>${type} by event ${position}`;
  return type && `<br>not a number in event ${position}`;
}

// Plotly's traces of a series: a line that breaks where an entry is not a number, a cross on each number that was
// withdrawn, and a point on each number without neighbours. `hover`: the text of a point; `more`: options of the line.
export function traces(series, x, hue, hover, more) {
  const { values, positions } = series;
  const few = values.length < FEW;
  const next = endings(series);
  const text = next.map((type, at) => hover(at) + hoverText(type, positions[at + 1]));
  const alone = (at) => (values[at - 1] ?? values[at + 1] ?? null) === null;
  const marked = (at) => values[at] !== null && (withdrawn(next[at]) || (!few && alone(at)));
  const marks = [...values.keys()].filter(marked);
  const line = {
    x,
    y: values,
    text,
    mode: few ? "lines+markers" : "lines",
    line: { color: hue, width: 1.6 },
    hovertemplate: "%{y}<br>%{text}<extra></extra>",
    ...more,
  };
  if (!marks.length) return [line];
  const pick = (list) => marks.map((at) => list[at]);
  const marker = {
    symbol: marks.map((at) => (withdrawn(next[at]) ? "x" : "circle")),
    size: marks.map((at) => (withdrawn(next[at]) ? 10 : 5)),
    color: marks.map((at) => (withdrawn(next[at]) ? themeColor("--bad") : hue)),
  };
  const points = { x: pick(x), y: pick(values), text: pick(text), mode: "markers", marker };
  return [line, { ...line, ...points, opacity: 1, showlegend: false }];
}

// Exponential smoothing without a bias at the start: each mean is divided by the weight gathered so far.
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
