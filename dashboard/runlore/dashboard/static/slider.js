// The slider: over an entity's own events where the page has them, else over the positions of the log.
import { localTime } from "./times.js";

const WAIT = 120; // ms of stillness before the time of a position is asked for

export function slider() {
  const range = document.querySelector("[data-slider]");
  if (!range) return;
  const positions = range.dataset.positions?.split(" ").map(Number);
  const shown = Number(document.body.dataset.position);
  const head = Number(document.body.dataset.head);
  const label = document.querySelector("[data-slider-position]");
  const time = document.querySelector("[data-slider-time]");
  const at = () => (positions ? positions[Number(range.value)] : Number(range.value));
  if (positions) range.value = positions.findLastIndex((position) => position <= shown);
  range.disabled = false;
  let waiting;
  range.addEventListener("input", () => {
    label.textContent = at().toLocaleString("en");
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const wanted = at();
      const url = new URL("/api/v1/moment", location.href);
      url.searchParams.set("as_of", wanted);
      const answer = await fetch(url);
      if (answer.ok && wanted === at()) {
        const { recorded_at: recorded } = await answer.json();
        time.textContent = recorded ? localTime(recorded) : "";
      }
    }, WAIT);
  });
  range.addEventListener("change", () => {
    const url = new URL(location.href);
    for (const name of ["after", "before", "from", "clock"]) url.searchParams.delete(name);
    const last = positions ? Number(range.value) === positions.length - 1 : at() >= head;
    if (last) url.searchParams.delete("as_of");
    else url.searchParams.set("as_of", at());
    if (url.href !== location.href) location.assign(url);
  });
}
