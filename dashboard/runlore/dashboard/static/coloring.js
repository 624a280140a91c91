// Colors of the columns in the charts: one per column, or one per value of a key, with a legend.
import { hues } from "./plotting.js";

const MAX_VALUES = 12; // of a key that gives the colors: as many as there are hues
const MAX_LABEL = 40;

const serialized = (cell) => JSON.stringify(cell?.value ?? null);
const distinct = (row) => [...new Set(row.values.map(serialized))];
const label = (text) => (text === "null" ? "absent" : String(JSON.parse(text)));
const shortLabel = (text) => (text.length > MAX_LABEL ? `${text.slice(0, MAX_LABEL - 1)}…` : text);

// Rows whose few texts or booleans can give the colors.
function categorical(row) {
  const values = distinct(row);
  const named = row.values.some((cell) => typeof cell?.value === "string" || typeof cell?.value === "boolean");
  return row.differs && values.length > 1 && values.length <= MAX_VALUES && named;
}

// `select`: the choice of a key; `legend`: a list; `titles`: of the columns.
export function coloring(data, select, legend, titles) {
  data.rows.forEach((row, at) => {
    if (categorical(row)) select.add(new Option(row.path, at));
  });
  const chosenRow = () => (select.value === "" ? null : data.rows[Number(select.value)]);

  const colors = () => {
    const palette = hues(), row = chosenRow();
    if (row) {
      const known = distinct(row);
      return row.values.map((cell) => palette[known.indexOf(serialized(cell)) % palette.length]);
    }
    // With more columns than hues, a repeated color would suggest that two columns belong together.
    const enough = data.columns.length <= palette.length;
    return data.columns.map((_, at) => palette[enough ? at : 0]);
  };

  const showLegend = () => {
    const palette = hues(), row = chosenRow();
    const columns = data.columns.length <= palette.length ? titles : [];
    const labels = row ? distinct(row).map(label) : columns;
    legend.replaceChildren(...labels.map((text, at) => {
      const item = document.createElement("li"), mark = document.createElement("span");
      mark.style.background = palette[at % palette.length];
      item.append(mark, shortLabel(text));
      return item;
    }));
  };

  return { colors, showLegend };
}
