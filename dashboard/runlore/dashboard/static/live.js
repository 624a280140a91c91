// Live updates: the server names the entities of new events. A page about one of them fetches itself again and applies
// the differences. A page of the past only updates the number of events since then.
import { patch } from "./patch.js";
import { localTimes } from "./times.js";

const PAUSE = 1000; // ms between two refreshes of one page, however fast the log grows
const RETRY = 3000; // ms until a refused stream or a failed refresh is tried again

const { follows = "", past, project } = document.body.dataset;
const now = past === undefined;
const parts = now ? ["form.moment", "main"] : [".banner"];
const loadedAt = Number(document.body.dataset.head);
let position = loadedAt;
let stream = null;
let sent = []; // the parts as the server sent them

// Called before any other script changes the page.
export function rememberPage() {
  if (now && !follows) return;
  sent = parts.map((part) => document.querySelector(part)?.cloneNode(true));
  for (const part of sent) if (part) localTimes(part);
}

export function followLog() {
  if (!document.querySelector("[data-slider-position]")) return; // by the producers' clocks nothing follows the log
  // A browser has few connections to one server for all its tabs: only visible ones hold one.
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect); // going back to a page that the browser has kept
  connect();
}

function disconnect() {
  stream?.close();
  stream = null;
}

function connect() {
  if (stream || document.hidden) return;
  const opened = stream = new EventSource("/live");
  opened.addEventListener("open", () => showBadge("live", "Live"));
  opened.addEventListener("news", (event) => receive(JSON.parse(event.data)));
  opened.addEventListener("error", () => {
    showBadge("lost", "Reconnecting");
    if (opened.readyState !== EventSource.CLOSED) return; // the browser reconnects by itself
    setTimeout(() => {
      if (stream !== opened) return;
      stream = null;
      connect();
    }, RETRY);
  });
}

function showBadge(state, text) {
  const badge = document.querySelector("[data-badge]");
  if (!badge) return;
  badge.className = `now ${state}`;
  if (badge.textContent !== text) badge.textContent = text; // screen readers announce each change
}

const events = (count) => `${count.toLocaleString("en")} ${count === 1 ? "event" : "events"}`;

// A page that follows nothing (a comparison, a search) shows how old it is.
function showState(lag) {
  const since = position - loadedAt;
  if (now && !follows) showBadge("", since ? `Loaded ${events(since)} ago` : "Not live");
  else showBadge("live", lag ? `Live, ${events(lag)} behind` : "Live");
}

// The same texts as in frame.py.
function showLag(lag) {
  const text = lag === null ? "projector not responding" : lag ? `${events(lag)} behind` : "up to date";
  const element = document.querySelector("[data-lag]");
  if (element && element.textContent !== text) element.textContent = text;
}

// References in news are of the server's own project: a page of another project follows all events of that.
function concerns(news) {
  if (project !== undefined) return news.projects.includes(project);
  return follows === "*" ? news.references.length > 0 : news.references.includes(follows);
}

let failed = false; // true after a refresh that failed: the page misses news

function receive(news) {
  if (!news.position && news.lag === null) return; // the server has just started
  showLag(news.lag);
  const grown = news.all || news.position > position;
  const unnamed = grown && !news.references.length && !news.projects.length;
  if (grown) {
    position = news.position;
    if (now) document.body.dataset.head = document.body.dataset.position = position;
    document.dispatchEvent(new Event("grown"));
  }
  showState(news.lag);
  const stale = now ? follows && (news.all || unnamed || concerns(news)) : grown;
  if (failed || stale) refreshSoon();
}

let due = false, running = false;

async function refreshSoon() {
  due = true;
  if (running) return;
  running = true;
  while (due) {
    due = false;
    failed = !(await refresh());
    await new Promise((done) => setTimeout(done, failed ? RETRY : PAUSE));
    // While the server is away the stream reconnects, and its first message refreshes the page.
    if (failed && stream?.readyState === EventSource.OPEN) due = true;
  }
  running = false;
}

async function fetchPage() {
  const url = new URL(location.href);
  if (!now) url.searchParams.set("as_of", document.body.dataset.position); // "2h ago" has moved on
  try {
    const answer = await fetch(url, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return null;
  }
}

// Returns whether the page is up to date.
async function refresh() {
  const fresh = await fetchPage();
  if (!fresh) return false;
  localTimes(fresh);
  const focus = document.activeElement;
  parts.forEach((part, at) => {
    const shown = document.querySelector(part), wanted = fresh.querySelector(part);
    if (!shown || !wanted || !sent[at] || shown.querySelector("[data-held]")) return;
    patch(shown, sent[at], wanted);
    sent[at] = wanted;
  });
  if (focus?.isConnected && focus !== document.activeElement) focus.focus({ preventScroll: true }); // its row has moved
  document.dispatchEvent(new Event("refreshed"));
  return true;
}
