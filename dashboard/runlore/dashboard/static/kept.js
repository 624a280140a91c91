// What browsers forget of a page that one goes back to: open folds, ticked rows, and how far its tables were scrolled. It is
// kept with the entry of the history, so that another visit to the same address begins afresh.
const STILL = 150; // ms after the last change

const among = (selector) => [...document.querySelectorAll(`main ${selector}`)];
// Words for an element that outlive a page that grows: the nearest key, and which of its kind it is there.
const place = (element) => {
  const around = element.parentElement.closest("[data-key], [data-region], main");
  const { key, region } = around.dataset;
  return element.dataset.key ?? `${key ?? region ?? ""} ${[...around.querySelectorAll(element.nodeName)].indexOf(element)}`;
};
const tick = (box) => `${box.name} ${box.value}`;

function keep() {
  const open = among("details").filter((fold) => fold.open).map(place);
  const ticked = among("input[type=checkbox]").filter((box) => box.checked).map(tick);
  const scrolled = among(".scroll").map((box) => [place(box), box.scrollLeft, box.scrollTop]).filter(([, left, top]) => left || top);
  history.replaceState({ ...history.state, kept: { open, ticked, scrolled } }, "");
}

export function kept() {
  const before = history.state?.kept;
  if (before) {
    for (const fold of among("details")) fold.open = before.open.includes(place(fold));
    for (const box of among("input[type=checkbox]")) box.checked = before.ticked.includes(tick(box));
    for (const [where, left, top] of before.scrolled) among(".scroll").find((box) => place(box) === where)?.scrollTo(left, top);
  }
  let waiting = null;
  const now = () => { clearTimeout(waiting); waiting = null; keep(); };
  const soon = (event) => {
    if (event.target === document) return;
    clearTimeout(waiting);
    waiting = setTimeout(now, STILL);
  };
  // Neither toggle nor scroll bubbles.
  document.addEventListener("toggle", soon, true);
  document.addEventListener("scroll", soon, { capture: true, passive: true });
  document.addEventListener("change", soon);
  // What leads away does not wait.
  for (const leading of ["click", "submit"]) document.addEventListener(leading, () => { if (waiting !== null) now(); }, true);
}
