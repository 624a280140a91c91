// The keyboard: / search, j k move, Enter open, x select, c compare, [ ] earlier and later, Escape leave a box.
const typing = (element) => element.closest("input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");

// What one moves over: rows that lead somewhere, and the events of the log.
const ROWS = "[data-row], li.event";

let here = null;

function move(by) {
  const rows = [...document.querySelectorAll(ROWS)].filter((row) => row.offsetParent);
  if (!rows.length) return;
  // On from where one is: also by Tab or a click.
  const at = rows.indexOf(document.activeElement?.closest(ROWS) ?? here);
  here?.classList.remove("here");
  here = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  here.classList.add("here");
  here.scrollIntoView({ block: "nearest" });
  here.querySelector("a, button")?.focus({ preventScroll: true, focusVisible: true });
}

const click = (selector) => document.querySelector(selector)?.click();

const actions = {
  "/": () => { const box = document.querySelector("#search"); box?.focus(); box?.select(); },
  j: () => move(1),
  k: () => move(-1),
  x: () => {
    const row = document.activeElement?.closest(ROWS) ?? here;
    const box = row?.querySelector("input[type=checkbox]");
    if (box) { box.checked = !box.checked; box.dispatchEvent(new Event("change", { bubbles: true })); }
  },
  c: () => click("[data-selection] button.primary:not([disabled])"),
  "[": () => click(".moment a[aria-label$=earlier]"),
  "]": () => click(".moment a[aria-label$=later]"),
};
const HELD = "jk"; // keys that go on while they are held down

export function keyboard() {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    // AltGr is how many keyboards type a bracket; Windows says that it is Control and Alt.
    if ((event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph")) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) return; // what lies under it is not meant
    const action = Object.hasOwn(actions, event.key) && actions[event.key];
    if (!action) return;
    event.preventDefault();
    if (!event.repeat || HELD.includes(event.key)) action();
  });
}
