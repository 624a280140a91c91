// The slider: over an entity's own events where the page lists them, else over all events of the log.
import { localTime } from "./times.js";

const STILL = 120; // ms without a move before the time of an event is fetched

const bodyNumber = (name) => Number(document.body.dataset[name]);
const stops = (range) => range.dataset.positions?.split(" ").map(Number);
const chosenEvent = (range) => stops(range)?.[Number(range.value)] ?? Number(range.value);
const showEvent = (number) => {
  document.querySelector("[data-slider-position]").textContent = number.toLocaleString("en");
};

export function slider() {
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-slider]")) moved(event.target);
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-slider]")) travel(event.target);
  });
  // The log has grown, the page has been refreshed, or the browser has restored what was dragged before.
  for (const event of ["grown", "refreshed"]) document.addEventListener(event, settle);
  addEventListener("pageshow", () => {
    delete document.querySelector("[data-slider]")?.dataset.held;
    settle();
  });
  settle();
}

// Puts the slider where the page is, unless a visitor is moving it.
function settle() {
  const range = document.querySelector("[data-slider]");
  if (range?.dataset.held !== undefined) return;
  const shown = bodyNumber("position");
  if (document.querySelector("[data-slider-position]")) showEvent(shown);
  if (!range) return;
  const positions = stops(range);
  if (!positions && document.body.dataset.past === undefined) range.max = Math.max(1, bodyNumber("head"));
  range.value = positions ? positions.findLastIndex((position) => position <= shown) : shown;
  range.disabled = false;
}

let timer;

function moved(range) {
  range.dataset.held = "";
  showEvent(chosenEvent(range));
  clearTimeout(timer);
  timer = setTimeout(() => showTime(range, chosenEvent(range)), STILL);
}

async function showTime(range, wanted) {
  const url = new URL("/api/v1/moment", location.href);
  url.searchParams.set("as_of", wanted);
  const answer = await fetch(url);
  if (!answer.ok || wanted !== chosenEvent(range)) return;
  const { recorded_at: recorded } = await answer.json();
  document.querySelector("[data-slider-time]").textContent = recorded ? localTime(recorded) : "";
}

function travel(range) {
  const url = new URL(location.href);
  for (const name of ["after", "before", "from", "clock"]) url.searchParams.delete(name);
  const positions = stops(range);
  const last = positions ? Number(range.value) === positions.length - 1 : chosenEvent(range) >= bodyNumber("head");
  if (last) url.searchParams.delete("as_of");
  else url.searchParams.set("as_of", chosenEvent(range));
  if (url.href !== location.href) {
    location.assign(url);
    return;
  }
  delete range.dataset.held;
  settle();
}
