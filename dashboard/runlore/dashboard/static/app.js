// What every page gets on top of its HTML. Each part works alone; without any of them the page still reads.
import { keyboard } from "./keys.js";
import { kept } from "./kept.js";
import { live, remember } from "./live.js";
import { copying } from "./copy.js";
import { moments } from "./moment.js";
import { localTimes } from "./times.js";
import { selection } from "./selection.js";
import { slider } from "./slider.js";
import { themeSwitch } from "./switch.js";

remember();
themeSwitch();
localTimes(document);
copying();
slider();
moments();
kept();
selection();
keyboard();
if ("live" in document.body.dataset) live(); // an error follows nothing
document.querySelector("#project")?.addEventListener("change", (event) => event.target.form.requestSubmit());

// A key gets its chart with its second number, which may come while one looks.
const chart = () => {
  const section = document.querySelector("[data-chart]:not([data-begun])");
  if (!section) return;
  section.dataset.begun = "";
  import("./history.js").then((module) => module.historyChart(section));
};
chart();
document.addEventListener("refreshed", chart);
