// State of a page that browsers forget when a visitor goes back to it: open details, ticked rows, scrolled tables. It
// is stored with the history entry, so that a new visit to the same address starts fresh.
const STILL = 150; // ms after the last change

const all = (selector) => [...document.querySelectorAll(`main ${selector}`)];

// A name for an element that survives a growing page: the nearest key, and the element's index of its kind in there.
const identity = (element) => {
  const around = element.parentElement.closest("[data-key], [data-region], main");
  const { key, region } = around.dataset;
  if (element.dataset.key !== undefined) return element.dataset.key;
  return `${key ?? region ?? ""} ${[...around.querySelectorAll(element.nodeName)].indexOf(element)}`;
};
const boxName = (box) => `${box.name} ${box.value}`;

function store() {
  const open = all("details").filter((details) => details.open).map(identity);
  const ticked = all("input[type=checkbox]").filter((box) => box.checked).map(boxName);
  const scrolled = all(".scroll")
    .map((box) => [identity(box), box.scrollLeft, box.scrollTop])
    .filter(([, left, top]) => left || top);
  history.replaceState({ ...history.state, page: { open, ticked, scrolled } }, "");
}

function restore({ open, ticked, scrolled }) {
  for (const details of all("details")) details.open = open.includes(identity(details));
  for (const box of all("input[type=checkbox]")) box.checked = ticked.includes(boxName(box));
  for (const [name, left, top] of scrolled) all(".scroll").find((box) => identity(box) === name)?.scrollTo(left, top);
}

export function keepPageState() {
  if (history.state?.page) restore(history.state.page);
  let timer = null;
  const storeNow = () => {
    clearTimeout(timer);
    timer = null;
    store();
  };
  const storeSoon = (event) => {
    if (event.target === document) return;
    clearTimeout(timer);
    timer = setTimeout(storeNow, STILL);
  };
  // Neither toggle nor scroll bubbles.
  document.addEventListener("toggle", storeSoon, true);
  document.addEventListener("scroll", storeSoon, { capture: true, passive: true });
  document.addEventListener("change", storeSoon);
  const storePending = () => {
    if (timer !== null) storeNow();
  };
  for (const leaving of ["click", "submit"]) document.addEventListener(leaving, storePending, true);
}
