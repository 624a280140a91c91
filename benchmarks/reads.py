"""Reading current metadata and history, with few and with 100,000 older values of the same keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import data_folder, figure, quantiles
from benchmarks.folding import new_view, write_log
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.views.rebuild import fold_log
from runlore.query import Client
from runlore.store.folder import DataDir


def _median(work: Callable[[], Any], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return quantiles(taken)[0]


def _measure(folder: Path, events: int) -> tuple[float, float]:
    data = DataDir(folder)
    write_log(data.log, events, entities=1)
    view = new_view(data)
    fold_log(ArchiveReader(data.log), view)
    view.close()
    with Client(folder) as client:
        current = _median(lambda: client.get("artifact:data-0@1").metadata, 300)
        entity = client.get("artifact:data-0@1")
        history = _median(lambda: entity.history("metrics.loss", limit=1000), 50)
        assert len(entity.history("metrics.loss", limit=1000)) == 1000
    return current, history


def main() -> None:
    found = {}
    for events in (1_000, 101_000):
        with data_folder() as folder:
            found[events] = _measure(folder, events)
        current, history = found[events]
        figure(
            f"one entity's current metadata, {events:,} values a key, p50",
            f"{current * 1e3:.2f} ms",
            "target 1 ms",
        )
        figure(f"1,000 values of one key's history, {events:,} values a key, p50", f"{history * 1e3:.2f} ms", "target 10 ms")  # fmt: skip
    few, many = found.values()
    figure("with 100,000 older values against none: current", f"{many[0] / few[0]:.2f}")
    figure("with 100,000 older values against none: history", f"{many[1] / few[1]:.2f}")
