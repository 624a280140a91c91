// Scripts of every page. Each part works alone; without any of them the page is still complete.
import { keyboard } from "./keys.js";
import { keepPageState } from "./page_state.js";
import { followLog, rememberPage } from "./live.js";
import { copyButtons } from "./copy.js";
import { localTimeBox } from "./moment.js";
import { localTimes } from "./times.js";
import { rowSelection } from "./selection.js";
import { slider } from "./slider.js";
import { themeSwitch } from "./switch.js";

rememberPage();
themeSwitch();
localTimes(document);
copyButtons();
slider();
localTimeBox();
keepPageState();
rowSelection();
keyboard();
if ("follows" in document.body.dataset) followLog(); // not on error pages
document.querySelector("#project")?.addEventListener("change", (event) => event.target.form.requestSubmit());

// A key gets its chart with its second number, which may arrive while the page is open.
const drawChart = async () => {
  const section = document.querySelector("[data-chart]:not([data-begun])");
  if (!section) return;
  section.dataset.begun = "";
  const { historyChart } = await import("./history.js");
  historyChart(section);
};
drawChart();
document.addEventListener("refreshed", drawChart);
