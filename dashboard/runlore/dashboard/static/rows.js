// The rest of a long table, fetched as it is scrolled to.
const AHEAD = "800px";

export function moreRows(box, link) {
  if (!link) return;
  const table = box.querySelector("table");
  // The end of the table stands for the part that comes next.
  const end = table.createTFoot();
  end.insertRow().insertCell();
  const ending = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) load(); }, { root: box, rootMargin: AHEAD });
  let loading = false;
  const load = async () => {
    if (loading || link.hidden) return;
    loading = true;
    const url = new URL(link.href);
    url.searchParams.set("part", "1");
    const answer = await fetch(url);
    if (answer.ok) {
      const next = answer.headers.get("X-Next");
      const part = new DOMParser().parseFromString(`<table>${await answer.text()}</table>`, "text/html");
      for (const body of part.querySelectorAll("tbody")) table.insertBefore(body, end);
      if (next) link.href = next;
      else link.hidden = true;
    }
    loading = false;
    ending.unobserve(end);
    if (answer.ok && !link.hidden) ending.observe(end); // says at once whether the end is still in sight
  };
  ending.observe(end);
  link.addEventListener("click", (event) => { event.preventDefault(); load(); });
}
