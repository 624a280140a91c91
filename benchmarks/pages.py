"""The web page over 100,000 entities and 1,000,000 events: server time of each page, and its memory."""

from __future__ import annotations

import http.client
import os
import random
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.common import data_folder, figure
from benchmarks.folding import EPOCH, messages
from runlore.projector.archive import Archive, ArchiveReader
from runlore.projector.rebuild import fold_log
from runlore.projector.view import View
from runlore.query import Client
from runlore.schemas.layout import DashboardStatus, DataDir, read_struct

ENTITIES = 100_000
EVENTS = 1_000_000
TIMES = 15


def main() -> None:
    with data_folder() as folder:
        _build(DataDir(folder))
        with Client(folder) as client:
            references = [entity.reference for entity in client.find(None, limit=400)]
            head = client.position
        process, url = _serve(folder)
        try:
            for label, path in _pages(references, head).items():
                taken = [_ask(url, path) for _ in range(TIMES)]
                figure(f"{label}, p50", f"{statistics.median(taken):.1f} ms", "target 150 ms")
            figure("memory (RSS) after all of them", f"{psutil.Process(process.pid).memory_info().rss / 2**20:.0f} MiB", "target 150 MiB")  # fmt: skip
        finally:
            process.terminate()
            process.wait()


def _pages(references: list[str], head: int) -> dict[str, str]:
    one, ten = references[0], "&".join(f"ref={reference}" for reference in references[:10])
    kind, past = one.partition(":")[0], f"&as_of={head // 2}"
    return {
        "home": "/",
        "home, half the log ago": f"/?{past[1:]}",
        "list": f"/list?kind={kind}",
        "list, filtered and ordered": f"/list?kind={kind}&where=metrics.accuracy+>+0.9&order_by=metrics.loss&desc=1",
        "list, half the log ago": f"/list?kind={kind}{past}",
        "entity": f"/entity?ref={one}",
        "history": f"/history?ref={one}&path=metrics.loss",
        "lineage": f"/lineage?ref={one}",
        "compare 10": f"/compare?{ten}",
        "compare 200": "/compare?" + "&".join(f"ref={reference}" for reference in references[:200]),
        "log": "/trail",
        "trail of an entity": f"/trail?ref={one}",
        "search": "/search?q=sklearn+data",
        "quarantine": "/quarantine",
    }


def _values(number: int) -> dict[str, Any]:
    return {
        "metrics": {"accuracy": random.random(), "loss": random.random()},
        "epoch": number,
        "framework": ("sklearn", "torch")[number % 2],
    }


def _build(data: DataDir) -> None:
    random.seed(7)
    archive = Archive.open(data.log, EPOCH)
    batch: list[Any] = []
    for message in messages(EVENTS, ENTITIES, values=_values):
        batch.append(message)
        if len(batch) == 4000:
            archive.append(batch)
            batch = []
    archive.append(batch)
    archive.close()
    view = View.open_or_create(data, EPOCH)
    fold_log(ArchiveReader(data.log), view)
    view.close()


def _serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    process = subprocess.Popen([sys.executable, "-m", "runlore.dashboard"], env={**os.environ, "RUNLORE_DATA_DIR": str(folder)})  # fmt: skip
    while True:
        said = read_struct(DataDir(folder).dashboard, DashboardStatus)
        if said is not None and said.pid == process.pid:
            return process, said.http
        if process.poll() is not None:
            raise RuntimeError("the page did not start")
        time.sleep(0.05)


def _ask(url: str, path: str) -> float:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", path.replace(">", "%3E"))
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path[:100]}: {answer.status}")
    found = re.search(r"dur=([\d.]+)", answer.headers["Server-Timing"])
    assert found is not None
    return float(found[1])


if __name__ == "__main__":
    main()
