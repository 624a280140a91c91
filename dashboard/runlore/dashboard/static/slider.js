// The slider: over an entity's own events where the page has them, else over the positions of the log.
import { localTime } from "./times.js";

const WAIT = 120; // ms of stillness before the time of a position is asked for

const number = (name) => Number(document.body.dataset[name]);
const stops = (range) => range.dataset.positions?.split(" ").map(Number);
const place = (range) => stops(range)?.[Number(range.value)] ?? Number(range.value);
const say = (text) => { document.querySelector("[data-slider-position]").textContent = text.toLocaleString("en"); };

export function slider() {
  document.addEventListener("input", (event) => { if (event.target.matches("[data-slider]")) moved(event.target); });
  document.addEventListener("change", (event) => { if (event.target.matches("[data-slider]")) travel(event.target); });
  // The log grows, the page has taken over more of it, or the browser has put back what was dragged here before.
  for (const event of ["grown", "refreshed"]) document.addEventListener(event, settle);
  addEventListener("pageshow", () => { delete document.querySelector("[data-slider]")?.dataset.held; settle(); });
  settle();
}

// The slider stands where the page is, unless a visitor is about to move it.
function settle() {
  const range = document.querySelector("[data-slider]");
  if (range?.dataset.held !== undefined) return;
  const shown = number("position");
  if (document.querySelector("[data-slider-position]")) say(shown);
  if (!range) return;
  const positions = stops(range);
  if (!positions && document.body.dataset.past === undefined) range.max = Math.max(1, number("head"));
  range.value = positions ? positions.findLastIndex((position) => position <= shown) : shown;
  range.disabled = false;
}

let waiting;

function moved(range) {
  range.dataset.held = "";
  say(place(range));
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    const wanted = place(range);
    const url = new URL("/api/v1/moment", location.href);
    url.searchParams.set("as_of", wanted);
    const answer = await fetch(url);
    if (answer.ok && wanted === place(range)) {
      const { recorded_at: recorded } = await answer.json();
      document.querySelector("[data-slider-time]").textContent = recorded ? localTime(recorded) : "";
    }
  }, WAIT);
}

function travel(range) {
  const url = new URL(location.href);
  for (const name of ["after", "before", "from", "clock"]) url.searchParams.delete(name);
  const last = stops(range) ? Number(range.value) === stops(range).length - 1 : place(range) >= number("head");
  if (last) url.searchParams.delete("as_of");
  else url.searchParams.set("as_of", place(range));
  if (url.href !== location.href) location.assign(url);
  else { delete range.dataset.held; settle(); }
}
