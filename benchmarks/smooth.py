"""Comparing 200 entities of 500 keys in a browser: the wait, and frames and long tasks while it is scrolled and brushed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.common import data_folder, figure
from benchmarks.folding import Emission, messages_of, new_view, write_messages
from benchmarks.pages import CHROMIUM, ask, serve
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.views.rebuild import fold_log
from runlore.schemas import EntityRef, MetadataLogged
from runlore.schemas.values import pack_metadata
from runlore.store.folder import DataDir

if TYPE_CHECKING:
    from playwright.sync_api import Page

ENTITIES, NUMBERS, TEXTS = 200, 400, 100
REFERENCES = [f"model:wide@{number}" for number in range(1, ENTITIES + 1)]
WIDE = "/compare?all=1&" + "&".join(f"ref={reference}" for reference in REFERENCES)
WHEEL, STEPS = 300, 40
TIMES = 3

WATCH = """
window.tasks = []; window.at = {};
new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask", buffered: true });
new MutationObserver(() => {
  const seen = (name, what) => { if (!(name in at) && document.querySelector(what)) at[name] = performance.now(); };
  seen("table", "[data-table] tr[data-path] td"); seen("lines", "[data-parallel] > *"); seen("drawn", "[data-drawn]");
}).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-drawn"] });
window.begin = () => {
  tasks.length = 0; window.waits = []; window.going = true;
  let last = performance.now();
  const frame = (now) => { waits.push(now - last); last = now; if (going) requestAnimationFrame(frame); };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(frame); });
};
window.end = () => { window.going = false; return { waits: waits.sort((a, b) => a - b), tasks: [...tasks] }; };
"""
"""Before the page's own scripts: when what was there, and on demand how long each frame and each long task took."""


def main() -> None:
    with data_folder() as folder:
        _build(DataDir(folder))
        for _ in range(TIMES):  # a new process: nothing is kept
            process, url = serve(folder)
            try:
                cold, warm = ask(url, WIDE), ask(url, WIDE)
            finally:
                process.terminate()
                process.wait()
            figure("server time of the page: first, and again", f"{cold:.0f} ms, {warm:.0f} ms")
        process, url = serve(folder)
        try:
            if CHROMIUM is None:
                figure("the rest", "no chromium here")
            else:
                _browse(url)
        finally:
            process.terminate()
            process.wait()


def _emissions() -> Iterator[Emission]:
    values = random.Random(7)
    for reference in range(1, ENTITIES + 1):
        numbers = {f"m{key:03d}": values.random() for key in range(NUMBERS)}
        texts = {f"t{key:03d}": values.choice(("relu", "gelu", "tanh")) if key % 2 else f"text {values.random()}"
                 for key in range(TEXTS)}  # fmt: skip
        whole = pack_metadata({"metrics": numbers, "settings": texts})
        yield (MetadataLogged((EntityRef("model", "wide", str(reference)),), whole),)


def _build(data: DataDir) -> None:
    write_messages(data.log, messages_of(_emissions()))
    view = new_view(data)
    fold_log(ArchiveReader(data.log), view)
    view.close()


def _browse(url: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(WATCH)
        for visit in range(TIMES):
            _open(page, url, "first visit" if visit == 0 else "again")
        _scroll(page)
        _brush(page)
        browser.close()


def _open(page: Page, url: str, label: str) -> None:
    page.goto(url + WIDE, wait_until="load")
    page.wait_for_selector("[data-drawn]", timeout=120_000)
    page.wait_for_timeout(500)
    found: dict[str, Any] = page.evaluate(
        """() => { const start = performance.getEntriesByType("navigation")[0].responseStart;
        const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
        return { start, table: at.table, paint, lines: at.lines, drawn: at.drawn, tasks: [...tasks],
                 nodes: document.querySelectorAll("*").length }; }"""
    )
    figure(f"{label}: asked to first byte", f"{found['start']:.0f} ms")
    for name, text in (("paint", "painted"), ("table", "table there"), ("lines", "lines there"), ("drawn", "scatter drawn")):  # fmt: skip
        figure(f"{label}: asked to {text}", f"{found[name]:.0f} ms")
    figure(f"{label}: longest task, sum of long tasks, elements", f"{_tasks(found)}, {found['nodes']}")


def _scroll(page: Page) -> None:
    page.evaluate("document.querySelector('[data-table]').scrollIntoView()")
    box = page.locator("[data-table]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 500, box["y"] + 300)
    page.evaluate("begin()")
    late = time.monotonic() + 120
    # Asked without a walk over the document, which would itself be a long task.
    while page.evaluate("!document.querySelector('[data-next-link]').hidden") and time.monotonic() < late:
        for _ in range(4):
            page.mouse.wheel(0, WHEEL)
        page.wait_for_timeout(30)
    found = _stop(page)
    _say(f"down, to row {page.locator('tr[data-path]').count()}", found)
    for label, across, down in (("sideways", WHEEL, 0), ("up again", 0, -WHEEL), ("both", -WHEEL, WHEEL)):
        page.evaluate("begin()")
        for _ in range(STEPS):
            page.mouse.wheel(across, down)
            page.wait_for_timeout(16)
        _say(label, _stop(page))
    figure("elements of the whole table", str(page.evaluate("document.querySelectorAll('*').length")))


def _brush(page: Page) -> None:
    page.evaluate("scrollTo(0, 0)")
    hit = page.locator(".parallel .hit").nth(0).bounding_box()
    assert hit is not None
    across = hit["x"] + hit["width"] / 2
    page.wait_for_timeout(500)
    page.evaluate("begin()")
    page.mouse.move(across, hit["y"] + 60)
    page.mouse.down()
    for step in range(STEPS):
        page.mouse.move(across, hit["y"] + 60 + 3 * step)
        page.wait_for_timeout(16)
    _say("brushing, the whole table there", _stop(page))
    page.evaluate("begin()")
    page.mouse.up()
    page.wait_for_timeout(1500)
    _say("after the brush", _stop(page))
    page.evaluate("begin(), document.querySelector('[data-clear]').click()")
    page.wait_for_timeout(1500)
    _say("cleared", _stop(page))


def _stop(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("end()")
    return found


def _say(label: str, found: dict[str, Any]) -> None:
    waits = found["waits"] or [0.0]
    half, most, last = waits[len(waits) // 2], waits[int(len(waits) * 0.95)], waits[-1]
    figure(f"{label}: frames, p50, p95, longest", f"{len(waits)}, {half:.0f}, {most:.0f}, {last:.0f} ms")
    figure(f"{label}: longest task, sum of long tasks", _tasks(found))


def _tasks(found: dict[str, Any]) -> str:
    tasks: list[float] = found["tasks"]
    return f"{max(tasks, default=0):.0f} ms, {sum(tasks):.0f} ms"


if __name__ == "__main__":
    main()
