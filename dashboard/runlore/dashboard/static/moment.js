// The time box: the page shows times in the visitor's time zone, so a time typed without a zone is in that zone, too,
// and is sent as UTC. Event numbers, times with a zone and phrases are sent unchanged; phrases use the server's clock.
const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?$/;
const SHOWN = /^\p{L}{3,}\.? \d{1,2}, \d{4}, .*\d:\d\d/u; // as pages in English show times

function parseLocalTime(text) {
  const iso = ISO.exec(text);
  if (iso) return new Date(`${iso[1]}T${iso[2] ?? "00:00"}`);
  return SHOWN.test(text) ? new Date(text.replaceAll(/\s/gu, " ")) : null;
}

export function localTimeBox() {
  const form = document.querySelector("form.moment"), box = form?.elements.as_of;
  if (!box) return;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  box.title = `An event number, a time (in ${zone} unless it names a zone), or a phrase such as 2h ago`;
  form.addEventListener("submit", () => {
    const time = parseLocalTime(box.value.trim());
    if (time && !Number.isNaN(time.getTime())) box.value = time.toISOString();
  });
}
