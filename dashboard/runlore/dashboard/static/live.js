// Live: the server says which entities the log mentioned; a page about one of them fetches itself anew and takes over
// the regions that differ. Scroll, open folds, selected rows, focus and zoomed charts stay as they are.
import { localTimes } from "./times.js";

const PAUSE = 1000; // ms between two refreshes of one page, however fast the log grows

export function live() {
  const { live: wanted, past } = document.body.dataset;
  const badge = document.querySelector("[data-badge]");
  if (past !== undefined || !badge) return;
  const references = new Set(wanted.split(" "));
  let position = Number(document.body.dataset.position);
  const news = new EventSource("/live");
  const show = (state, text) => { badge.className = `now ${state}`; badge.textContent = text; };
  news.addEventListener("open", () => show("live", "Live"));
  news.addEventListener("error", () => show("lost", "Reconnecting"));
  news.addEventListener("news", (event) => {
    const said = JSON.parse(event.data);
    lag(said.lag);
    show("live", said.lag ? `Live, ${said.lag.toLocaleString("en")} behind` : "Live");
    const missed = !said.references.length && said.position > position;
    const ours = said.all || missed || (references.has("*") ? said.references.length > 0 : said.references.some((name) => references.has(name)));
    if (said.position) {
      position = said.position;
      const label = document.querySelector("[data-slider-position]");
      if (label) label.textContent = position.toLocaleString("en");
      document.body.dataset.head = document.body.dataset.position = position;
    }
    if (ours && wanted) soon();
  });
  addEventListener("pagehide", () => news.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

function lag(count) {
  const text = count === null ? "no word from the projector" : count ? `${count.toLocaleString("en")} behind the log` : "level with the log";
  const element = document.querySelector("[data-lag]");
  if (element && element.textContent !== text) element.textContent = text;
}

let due = false, running = false;

async function soon() {
  due = true;
  if (running) return;
  running = true;
  while (due) {
    due = false;
    if (!document.hidden) await refresh();
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  running = false;
}

async function refresh() {
  let text;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    text = await answer.text();
  } catch {
    return; // the stream says when the server is back
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  localTimes(fresh);
  const before = [...document.querySelectorAll("[data-region]")].map((region) => region.dataset.region).join();
  const after = [...fresh.querySelectorAll("[data-region]")].map((region) => region.dataset.region).join();
  if (before !== after) {
    replace(document.querySelector("main"), fresh.querySelector("main")); // a part came or went
  } else {
    for (const region of document.querySelectorAll("[data-region]")) {
      if (region.dataset.chart !== undefined) continue;
      replace(region, fresh.querySelector(`[data-region="${region.dataset.region}"]`));
    }
  }
  document.dispatchEvent(new Event("refreshed"));
}

function replace(old, fresh) {
  // Compared with what the server sent, not with what visitors have opened or ticked since.
  const known = old.fresh ?? null;
  const now = fresh.innerHTML;
  if (known === now) return;
  old.fresh = now;
  const state = remember(old);
  const keys = new Set([...old.querySelectorAll("[data-key]")].map((element) => element.dataset.key));
  old.replaceChildren(...document.adoptNode(fresh).childNodes);
  for (const element of old.querySelectorAll("li[data-key], tr[data-key]")) {
    if (!keys.has(element.dataset.key)) element.classList.add("fresh");
  }
  restore(old, state);
}

function remember(root) {
  return {
    open: new Set([...root.querySelectorAll("details[open]")].map(place)),
    ticked: new Set([...root.querySelectorAll("input[type=checkbox]:checked")].map((box) => `${box.name} ${box.value}`)),
    here: root.querySelector(".here")?.dataset.key,
    focus: root.contains(document.activeElement) ? place(document.activeElement) : null,
    left: root.scrollLeft,
    top: root.scrollTop,
  };
}

function restore(root, state) {
  for (const details of root.querySelectorAll("details")) if (state.open.has(place(details))) details.open = true;
  for (const box of root.querySelectorAll("input[type=checkbox]")) if (state.ticked.has(`${box.name} ${box.value}`)) box.checked = true;
  for (const row of root.querySelectorAll("[data-row]")) if (state.here && row.dataset.key === state.here) row.classList.add("here");
  if (state.focus) [...root.querySelectorAll("a, button, input, summary, [tabindex]")].find((element) => place(element) === state.focus)?.focus({ preventScroll: true });
  root.scrollTo({ left: state.left, top: state.top });
}

// Where an element stands, in words that outlive a refresh: the nearest key, and what it is there.
function place(element) {
  const key = element.closest("[data-key]");
  const among = key ? [...key.querySelectorAll(element.tagName)].indexOf(element) : element.getAttribute("href") ?? element.name ?? "";
  return `${key?.dataset.key ?? ""} ${element.tagName} ${among}`;
}
