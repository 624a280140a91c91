// Which columns of the comparison show: one rule of a style sheet, whatever the number of rows, those to come included.
const sheet = new CSSStyleSheet();
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

// `kept`: a set of columns, null for all of them.
export function showColumns(many, kept) {
  const hidden = kept === null ? [] : [...Array(many).keys()].filter((column) => !kept.has(column));
  sheet.replaceSync(hidden.length ? `${hidden.map((column) => `.c${column}`).join(",")} { display: none !important; }` : "");
}
