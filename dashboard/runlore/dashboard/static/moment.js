// The time box: the page shows the visitor's time, so what is typed there without a zone is the visitor's, too. It is
// sent as UTC. Positions, times with a zone and phrases go as they are; phrases go by the server's clock.
const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?$/;
const SHOWN = /^\p{L}{3,}\.? \d{1,2}, \d{4}, .*\d:\d\d/u; // as an English page shows times

export function moments() {
  const form = document.querySelector("form.moment"), box = form?.elements.as_of;
  if (!box) return;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  box.title = `A position, a time (${zone}, unless it names a zone), or a phrase such as 2h ago`;
  form.addEventListener("submit", () => {
    const said = box.value.trim(), iso = ISO.exec(said);
    const when = iso ? new Date(`${iso[1]}T${iso[2] ?? "00:00"}`) : SHOWN.test(said) ? new Date(said.replaceAll(/\s/gu, " ")) : null;
    if (when && !Number.isNaN(when.getTime())) box.value = when.toISOString();
  });
}
