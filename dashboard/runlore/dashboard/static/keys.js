// Keyboard: / search, j k move, Enter open, x select, c compare, [ ] earlier and later, Escape leaves a text box.
const TEXT_BOX = "input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]";
const ROWS = "[data-row], li.event"; // rows that lead somewhere, and events of the log
const REPEATED = "jk"; // keys that repeat while they are held down

let current = null;

const click = (selector) => document.querySelector(selector)?.click();
const focusedRow = () => document.activeElement?.closest(ROWS) ?? current;

function move(by) {
  const rows = [...document.querySelectorAll(ROWS)].filter((row) => row.offsetParent);
  if (!rows.length) return;
  // From the focused row, which may have been reached by Tab or a click.
  const at = rows.indexOf(focusedRow());
  current?.classList.remove("here");
  current = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  current.classList.add("here");
  current.scrollIntoView({ block: "nearest" });
  current.querySelector("a, button")?.focus({ preventScroll: true, focusVisible: true });
}

function toggleRow() {
  const box = focusedRow()?.querySelector("input[type=checkbox]");
  if (!box) return;
  box.checked = !box.checked;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

function focusSearch() {
  const box = document.querySelector("#search");
  box?.focus();
  box?.select();
}

const actions = {
  "/": focusSearch,
  j: () => move(1),
  k: () => move(-1),
  x: toggleRow,
  c: () => click("[data-selection] button.primary:not([disabled])"),
  "[": () => click(".moment a[aria-label$=earlier]"),
  "]": () => click(".moment a[aria-label$=later]"),
};

export function keyboard() {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    // Many keyboards type a bracket with AltGr, which Windows reports as Control and Alt.
    if ((event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph")) return;
    if (event.target.closest(TEXT_BOX)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) return; // keys are not for the page below it
    const action = Object.hasOwn(actions, event.key) && actions[event.key];
    if (!action) return;
    event.preventDefault();
    if (!event.repeat || REPEATED.includes(event.key)) action();
  });
}
