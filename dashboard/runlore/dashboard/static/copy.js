// Copy buttons. Links to the text itself stand in their place without JavaScript.
const say = (element, text) => {
  const before = element.dataset.label ?? element.textContent;
  element.dataset.label = before;
  element.textContent = text;
  setTimeout(() => { element.textContent = before; }, 1500);
};

const write = async (element, text) => {
  try {
    await navigator.clipboard.writeText(text);
    say(element, "copied");
  } catch {
    say(element, "not allowed");
  }
};

export function copying() {
  if (!navigator.clipboard) return;
  const show = () => { for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false; };
  show();
  document.addEventListener("refreshed", show); // for a part that came
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (button.dataset.copy !== undefined) return write(button, button.dataset.copy);
    event.preventDefault();
    const answer = await fetch(button.href);
    if (answer.ok) write(button, await answer.text());
    else say(button, "failed");
  });
}
