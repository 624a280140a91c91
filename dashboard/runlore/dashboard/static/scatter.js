// The scatter plot of two keys. Points can be selected, and points of filtered columns are dimmed.
import { escaped, layout, plotly, selectable } from "./plotting.js";

const isNumber = (cell) => typeof cell?.value === "number";

function pointsOf(columns, x, y) {
  const drawn = [...columns.keys()].filter((column) => isNumber(x.values[column]) && isNumber(y.values[column]));
  return drawn.map((column) => ({
    name: columns[column], column, x: x.values[column].value, y: y.values[column].value,
  }));
}

const axis = (row) => ({ title: { text: escaped(row.path), standoff: 6 } });

// `shown()`: the set of columns that are not filtered out, null for all. `selected`: called with the set of selected
// columns, null without a selection.
export function scatterPlot(target, columns, shown, selected) {
  let Plotly, points = [];

  const opacity = () => {
    const kept = shown();
    return points.map((point) => (kept === null || kept.has(point.column) ? 0.9 : 0.12));
  };

  const listen = () => {
    target.on("plotly_selected", (event) => {
      if (event) selected(new Set(event.points.map((point) => points[point.pointIndex].column)));
    });
    target.on("plotly_deselect", () => selected(null));
  };

  const draw = async (x, y, colors) => {
    const first = !Plotly;
    Plotly = await plotly();
    points = pointsOf(columns, x, y);
    const trace = {
      x: points.map((point) => point.x),
      y: points.map((point) => point.y),
      text: points.map((point) => escaped(point.name)),
      mode: "markers",
      marker: { size: 9, color: points.map((point) => colors[point.column]), opacity: opacity() },
      hovertemplate: "%{text}<br>%{x}, %{y}<extra></extra>",
    };
    await Plotly.react(target, [trace], layout({ xaxis: axis(x), yaxis: axis(y) }), selectable);
    if (first) listen();
  };

  const dim = () => {
    if (Plotly && target.data) Plotly.restyle(target, { "marker.opacity": [opacity()] });
  };
  const clear = () => {
    if (Plotly) Plotly.restyle(target, { selectedpoints: [null] });
  };
  return { draw, dim, clear };
}
