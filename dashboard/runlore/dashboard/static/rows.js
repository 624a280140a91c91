// The rest of a long table, fetched as it is scrolled to.
const AHEAD = "800px";

async function appendPart(table, end, link) {
  const url = new URL(link.href);
  url.searchParams.set("part", "1");
  const answer = await fetch(url);
  if (!answer.ok) return false;
  const next = answer.headers.get("X-Next");
  const part = new DOMParser().parseFromString(`<table>${await answer.text()}</table>`, "text/html");
  for (const body of part.querySelectorAll("tbody")) table.insertBefore(body, end);
  if (next) link.href = next;
  else link.hidden = true;
  return true;
}

export function loadMoreRows(box, link) {
  if (!link) return;
  const table = box.querySelector("table");
  // A footer marks the end of the table: when it is visible, the next part is loaded.
  const end = table.createTFoot();
  end.insertRow().insertCell();
  let loading = false;
  const load = async () => {
    if (loading || link.hidden) return;
    loading = true;
    const done = await appendPart(table, end, link);
    loading = false;
    observer.unobserve(end);
    if (done && !link.hidden) observer.observe(end); // reports at once if the end is still visible
  };
  const seen = (entries) => {
    if (entries.some((entry) => entry.isIntersecting)) load();
  };
  const observer = new IntersectionObserver(seen, { root: box, rootMargin: AHEAD });
  observer.observe(end);
  link.addEventListener("click", (event) => {
    event.preventDefault();
    load();
  });
}
