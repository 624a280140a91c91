// Times in the visitor's time zone; UTC stays in the title.
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const localTime = (iso) => format.format(new Date(iso));

export function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const iso = element.getAttribute("datetime");
    if (!iso || element.classList.contains("age") || Number.isNaN(Date.parse(iso))) continue;
    if (!element.title) element.title = element.textContent;
    else if (!element.title.includes("UTC")) element.title += ` (${element.textContent})`;
    element.textContent = localTime(iso);
  }
}
