// Live: the server says which entities the log mentioned; a page about one of them fetches itself anew and takes over
// what differs. A page of the past stays as it is, but for how much has come since.
import { patch } from "./patch.js";
import { localTimes } from "./times.js";

const PAUSE = 1000; // ms between two refreshes of one page, however fast the log grows
const AGAIN = 3000; // ms until a stream that was refused, or a page that failed, is asked for anew

const { live: wanted = "", past, project } = document.body.dataset;
const now = past === undefined;
const parts = now ? ["form.moment", "main"] : [".banner"];
const references = new Set(wanted.split("\n")); // names may hold blanks;
const loaded = Number(document.body.dataset.head);
let position = loaded;
let news = null, sent = [];

// `live` comes last, `remember` before any other part of the page has changed what the server said.
export function remember() {
  if (now && !wanted) return;
  sent = parts.map((part) => document.querySelector(part)?.cloneNode(true));
  for (const part of sent) if (part) localTimes(part);
}

export function live() {
  if (!document.querySelector("[data-slider-position]")) return; // by the producers' clocks: nothing of it follows the log
  // A browser has few connections to one server for all its tabs: only those that are looked at hold one.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : listen()));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", listen); // Back, to a page that the browser has kept
  listen();
}

function stop() {
  news?.close();
  news = null;
}

function listen() {
  if (news || document.hidden) return;
  const stream = news = new EventSource("/live");
  stream.addEventListener("open", () => show("live", "Live"));
  stream.addEventListener("news", (event) => heard(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    show("lost", "Reconnecting");
    if (stream.readyState !== EventSource.CLOSED) return; // the browser asks again by itself
    setTimeout(() => { if (news === stream) { news = null; listen(); } }, AGAIN);
  });
}

function show(state, text) {
  const badge = document.querySelector("[data-badge]");
  if (!badge) return;
  badge.className = `now ${state}`;
  if (badge.textContent !== text) badge.textContent = text; // it is read out when it changes
}

let owed = false; // whether news were heard that the page could not get

function heard(said) {
  if (!said.position && said.lag === null) return; // a server that has just started has not looked yet
  lag(said.lag);
  const grown = said.all || said.position > position;
  const missed = !said.references.length && !said.projects.length && grown;
  // References are of the server's own project: of another, a page follows every event.
  const named = project !== undefined ? said.projects.includes(project)
    : references.has("*") ? said.references.length > 0 : said.references.some((name) => references.has(name));
  if (grown) {
    position = said.position;
    if (now) document.body.dataset.head = document.body.dataset.position = position;
    document.dispatchEvent(new Event("grown"));
  }
  level(said.lag);
  if (owed || (now ? wanted && (said.all || missed || named) : grown)) soon();
}

// A page that follows nothing (a comparison, a search) says how much it does not show.
function level(behind) {
  const since = position - loaded;
  if (now && !wanted) show("", since ? `As loaded, ${since.toLocaleString("en")} ${since === 1 ? "event" : "events"} ago` : "As loaded");
  else show("live", behind ? `Live, ${behind.toLocaleString("en")} behind` : "Live");
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
    owed = !(await refresh());
    await new Promise((done) => setTimeout(done, owed ? AGAIN : PAUSE));
    // While the server is away the stream asks for it, and its first word makes up for this.
    if (owed && news?.readyState === EventSource.OPEN) due = true;
  }
  running = false;
}

async function refresh() {
  const url = new URL(location.href);
  if (!now) url.searchParams.set("as_of", document.body.dataset.position); // "2h ago" has moved on
  let text;
  try {
    const answer = await fetch(url, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return false;
    text = await answer.text();
  } catch {
    return false;
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  localTimes(fresh);
  const focus = document.activeElement;
  parts.forEach((part, at) => {
    const shown = document.querySelector(part), says = fresh.querySelector(part);
    if (!shown || !says || !sent[at] || shown.querySelector("[data-held]")) return;
    patch(shown, sent[at], says);
    sent[at] = says;
  });
  if (focus?.isConnected && focus !== document.activeElement) focus.focus({ preventScroll: true }); // its row has moved
  document.dispatchEvent(new Event("refreshed"));
  return true;
}
