// Copy buttons. Without JavaScript, links to the text itself are in their place.
const LABEL_TIME = 1500; // ms

const showLabel = (element, text) => {
  element.dataset.label ??= element.textContent;
  element.textContent = text;
  setTimeout(() => { element.textContent = element.dataset.label; }, LABEL_TIME);
};

const copy = async (element, text) => {
  try {
    await navigator.clipboard.writeText(text);
    showLabel(element, "copied");
  } catch {
    showLabel(element, "blocked");
  }
};

const showButtons = () => {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
};

export function copyButtons() {
  if (!navigator.clipboard) return;
  showButtons();
  document.addEventListener("refreshed", showButtons); // those of a new part of the page
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (button.dataset.copy !== undefined) {
      copy(button, button.dataset.copy);
      return;
    }
    event.preventDefault();
    const answer = await fetch(button.href);
    if (answer.ok) copy(button, await answer.text());
    else showLabel(button, "failed");
  });
}
