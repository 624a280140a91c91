// Visible columns of the comparison: one rule of a style sheet for any number of rows, including those still to come.
const sheet = new CSSStyleSheet();
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

// `kept`: a set of column indexes, null for all columns.
export function showColumns(count, kept) {
  const hidden = kept === null ? [] : [...Array(count).keys()].filter((column) => !kept.has(column));
  const selector = hidden.map((column) => `.c${column}`).join(",");
  sheet.replaceSync(selector && `${selector} { display: none !important; }`);
}
