// The page of a comparison: the rest of a long table, histories of a key in a dialog, and charts.
import { comparisonCharts } from "./charts.js";
import { historyDialog } from "./overlay.js";
import { loadMoreRows } from "./rows.js";

const table = document.querySelector("[data-table]");
const dialog = document.querySelector("[data-overlay]");
const charts = document.querySelector("[data-charts]");
if (table) loadMoreRows(table, document.querySelector("[data-next-link]"));
if (dialog) historyDialog(dialog);
if (charts) comparisonCharts(charts);
