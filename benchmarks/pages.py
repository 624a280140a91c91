"""The web page over 1,000,000 events of 100,000 entities: server time of each page, memory, and a browser's wait."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.common import data_folder, figure, quantiles
from benchmarks.folding import EPOCH, Emission, messages, messages_of, new_view, write_messages
from runlore.projector.archiving.archive import Archive, ArchiveReader
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.views.rebuild import fold_log
from runlore.projector.views.search_index import sync_search
from runlore.query import Client
from runlore.schemas import EntityRef, MetadataLogged
from runlore.schemas.events import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from runlore.schemas.values import pack_metadata
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import DashboardStatus

EVENTS = int(os.environ.get("RUNLORE_BENCH_EVENTS", "1000000"))
ARTIFACTS = EVENTS * 8 // 100
RUNS = EVENTS // 500
"""Each of 50 events: three steps that read the one before and write, and the numbers they log."""
STEPS = ("load", "fit", "rate")
LOGGED = 11
TIMES = 15
VISITORS, LISTENERS = 8, 20
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def main() -> None:
    with data_folder() as folder:
        _build(DataDir(folder))
        with Client(folder) as client:
            pages = _pages(client)
        process, url = serve(folder)
        try:
            for label, paths in pages.items():
                asked = itertools.cycle(paths)
                taken = [ask(url, next(asked)) for _ in range(TIMES)]
                figure(f"{label}, p50", f"{statistics.median(taken):.1f} ms", "target 150 ms")
            figure("memory (RSS) after all of them", _memory(process), "target 150 MiB")
            _crowd(url, [paths[0] for paths in pages.values()])
            figure(f"memory (RSS) after {VISITORS} visitors at once", _memory(process), "target 150 MiB")
            _browse(url, {label: paths[0] for label, paths in pages.items()})
            figure("memory (RSS) at the end", _memory(process), "target 150 MiB")
        finally:
            process.terminate()
            process.wait()


def _pages(client: Client) -> dict[str, list[str]]:
    """Addresses of each page, several where an answer might be kept."""
    artifacts = [entity.reference for entity in client.find("artifact", "exists metrics", limit=400)]
    runs = [entity.reference for entity in client.list_entities("run", limit=20)]
    models = [entity.reference for entity in client.list_entities("model", limit=20)]
    steps = [f"{run.replace('run:', 'step:', 1)}/fit" for run in runs]
    head = client.position
    past = f"as_of={head // 2}"

    def compared(many: int) -> list[str]:
        parts = (artifacts[first : first + many] for first in range(TIMES))
        return ["/compare?" + "&".join(f"ref={reference}" for reference in part) for part in parts]

    return {
        "home": ["/"],
        "home, half the log ago": [f"/?{past}"],
        "list": ["/list?kind=artifact"],
        "list, filtered and ordered": ["/list?kind=artifact&where=metrics.accuracy+>+0.9&order_by=metrics.loss&desc=1"],
        "list, half the log ago": [f"/list?kind=artifact&{past}"],
        "artifact of ten events": [f"/entity?ref={reference}" for reference in artifacts[:TIMES]],
        "run with its steps": [f"/entity?ref={reference}" for reference in runs],
        "step": [f"/entity?ref={reference}" for reference in steps],
        "step, two events ago": [f"/entity?ref={reference}&as_of={head - 10}" for reference in steps[:1]],
        "history": [f"/history?ref={reference}&path=metrics.loss" for reference in steps],
        "lineage of a model, 10 links far": [f"/lineage?ref={reference}&depth=10" for reference in models],
        "compare 10": compared(10),
        "compare 200": compared(200),
        "log": ["/trail"],
        "trail of a step": [f"/trail?ref={reference}" for reference in steps],
        "an event and its proof": [f"/event?position={position}" for position in range(head // 3, head, head // 20)],
        "audit": ["/audit"],
        "search, two words": ["/search?q=sklearn+framework"],
        "search, a name": [f"/search?q=data-{number}" for number in range(100, 100 + TIMES)],
        "quarantine": ["/quarantine"],
    }


# -- the log ---------------------------------------------------------------------------------------------


def _values(number: int) -> dict[str, Any]:
    return {
        "metrics": {"accuracy": random.random(), "loss": random.random()},
        "epoch": number,
        "framework": ("sklearn", "torch")[number % 2],
    }


def _runs() -> Iterator[Emission]:
    for number in range(RUNS):
        run = f"run-{number:06d}"
        yield RunStarted("training", f"night {number}", model=EntityRef("model", f"model-{number % 50}")), run
        before: EntityRef | None = None
        for name in STEPS:
            step = EntityRef("step", name, run=run)
            yield StepStarted(), run, name
            if before is not None:
                yield ArtifactVersionConsumed(before), run, name
            for epoch in range(LOGGED):
                yield MetadataLogged((step,), pack_metadata(_values(epoch))), run, name
            before = EntityRef("artifact", f"{name}-output")
            yield ArtifactVersionProduced(before), run, name
            yield StepFinished("completed"), run, name
        yield RunFinished("completed"), run


def _build(data: DataDir) -> None:
    random.seed(7)
    runs = RUNS * (2 + len(STEPS) * (LOGGED + 3) + len(STEPS) - 1)
    plain = EVENTS - runs
    write_messages(
        data.log, itertools.chain(messages(plain, ARTIFACTS, values=_values), messages_of(_runs(), plain + 1))
    )
    archive = Archive.open(data.log, EPOCH)
    CheckpointWriter(archive, data.checkpoint_key).sign()
    archive.close()
    view = new_view(data)
    with contextlib.closing(ArchiveReader(data.log)) as log:
        fold_log(log, view)
    view.close()
    _index(data.current_view())


def _index(path: Path) -> None:
    """Fill the full-text index, as the fold does beside its work."""
    from runlore.projector.database import open_writer

    db = open_writer(path)
    complete = False
    while not complete:
        with db.atomic():
            complete = sync_search(db.conn, 100_000)
    db.conn.close()


# -- the page --------------------------------------------------------------------------------------------


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    environ = {**os.environ, "RUNLORE_DATA_DIR": str(folder), "RUNLORE_DASHBOARD_NO_TOKEN": "on"}
    process = subprocess.Popen([sys.executable, "-m", "runlore.dashboard"], env=environ)
    while True:
        status = read_struct(DataDir(folder).dashboard, DashboardStatus)
        if status is not None and status.pid == process.pid:
            return process, status.http
        if process.poll() is not None:
            raise RuntimeError("the page did not start")
        time.sleep(0.05)


def _memory(process: subprocess.Popen[bytes]) -> str:
    return f"{psutil.Process(process.pid).memory_info().rss / 2**20:.0f} MiB"


def ask(url: str, path: str) -> float:
    """Milliseconds that the server says it took."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", path.replace(">", "%3E"))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path[:100]}: {answer.status}")
    found = re.search(r"dur=([\d.]+)", answer.headers["Server-Timing"])
    assert found is not None
    return float(found[1])


def _crowd(url: str, paths: list[str]) -> None:
    """Visitors who walk all pages at once, while others listen to what is new."""
    listening = [http.client.HTTPConnection(urlsplit(url).netloc) for _ in range(LISTENERS)]
    for connection in listening:
        connection.request("GET", "/live")
        connection.getresponse().readline()
    waits: list[float] = []

    def walk(first: int) -> None:
        for place in range(len(paths) * 2):
            started = time.perf_counter()
            ask(url, paths[(first + place) % len(paths)])
            waits.append(time.perf_counter() - started)

    visitors = [threading.Thread(target=walk, args=(number * 3,)) for number in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    for connection in listening:
        connection.close()
    half, _, most = quantiles(waits)
    figure(f"{VISITORS} visitors at once, wait p50 and longest", f"{half * 1e3:.0f} ms, {most * 1e3:.0f} ms")


def _browse(url: str, pages: dict[str, str]) -> None:
    """From the first byte of a page until its scripts ran and its charts are drawn, in a real browser."""
    if CHROMIUM is None:
        figure("first byte to interactive", "no chromium here")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for label in ("home", "list", "run with its steps", "history", "compare 10", "compare 200"):
            waits: list[float] = []
            for _ in range(5):
                page.goto(url + pages[label].replace(">", "%3E"), wait_until="load")
                if page.locator("[data-chart], [data-charts]:not([hidden])").count():
                    page.wait_for_selector("[data-drawn]", timeout=60_000)
                waits.append(
                    page.evaluate("performance.now() - performance.getEntriesByType('navigation')[0].responseStart")
                )
            figure(f"{label}: first byte to interactive, first and p50", f"{waits[0]:.0f} ms, {statistics.median(waits):.0f} ms", "target 1000 ms")  # fmt: skip
        browser.close()


if __name__ == "__main__":
    main()
