// The keyboard: / search, j k move, Enter open, x select, c compare, [ ] earlier and later, Escape leave a box.
const typing = (element) => element.closest("input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");

let at = -1;

function move(by) {
  const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent);
  if (!rows.length) return;
  rows[at]?.classList.remove("here");
  at = Math.min(rows.length - 1, Math.max(0, at + by));
  rows[at].classList.add("here");
  rows[at].scrollIntoView({ block: "nearest" });
  rows[at].querySelector("a, button")?.focus({ preventScroll: true });
}

const click = (selector) => document.querySelector(selector)?.click();

const actions = {
  "/": () => { const box = document.querySelector("#search"); box?.focus(); box?.select(); },
  j: () => move(1),
  k: () => move(-1),
  x: () => {
    const box = document.querySelector(".here input[type=checkbox]");
    if (box) { box.checked = !box.checked; box.dispatchEvent(new Event("change", { bubbles: true })); }
  },
  c: () => click("[data-selection] button.primary:not([disabled])"),
  "[": () => click(".moment a[aria-label$=earlier]"),
  "]": () => click(".moment a[aria-label$=later]"),
};

export function keyboard() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const action = actions[event.key];
    if (action) { event.preventDefault(); action(); }
  });
  document.addEventListener("refreshed", () => { at = Math.max(-1, [...document.querySelectorAll("[data-row]")].findIndex((row) => row.matches(".here"))); });
}
