// What every page gets on top of its HTML. Each part works alone; without any of them the page still reads.
import { keyboard } from "./keys.js";
import { live, remember } from "./live.js";
import { copying } from "./copy.js";
import { localTimes } from "./times.js";
import { selection } from "./selection.js";
import { slider } from "./slider.js";
import { themeSwitch } from "./switch.js";

remember();
themeSwitch();
localTimes(document);
copying();
slider();
selection();
keyboard();
live();
document.querySelector("#project")?.addEventListener("change", (event) => event.target.form.requestSubmit());
if (document.querySelector("[data-chart]")) import("./history.js").then((module) => module.historyChart());
