"""The live fold in small batches, with few and with many events in the view before: its cost must not grow.

`python -m benchmarks.live_fold --events 10000 100000 [--live 20000] [--batch 100] [--entities 10000]`

The fold process of the service folds what this process appends to log.db, batch by batch: its CPU, what it writes, and
the time from waking it until it reports the batch. Between the measured parts it catches up in large batches.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sqlite3
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import data_folder, figure
from benchmarks.folding import EPOCH, messages
from benchmarks.processes import children, load, usage, wait_until_idle
from runlore.projector.archiving.archive import Archive
from runlore.projector.fold.fold_stage import FoldStage
from runlore.projector.metrics import ProjectorMetrics
from runlore.projector.state import ServiceState
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received

EVENTS = (10_000, 100_000, 1_000_000)
GROW = 4000
LEAVES = 5
"""Values of one event of `five_values`, lists counted once."""


class Cost(NamedTuple):
    """Of one event of a measured part."""

    view: int
    """Events in the view before."""
    cpu: float
    others: float
    """CPU of the process's other threads, which look for damage."""
    p50: float
    """Of a batch, divided by its events: from waking the fold until its report."""
    p99: float
    calls: float
    disk: float


class Folding:
    """The fold process, fed through log.db as the archive does it."""

    def __init__(self, data: DataDir) -> None:
        data.projection.mkdir(parents=True)
        self._archive = Archive.open(data.log, EPOCH)
        self._state, self._ended = ServiceState(), threading.Event()
        before = set(children(os.getpid()))
        self._stage = FoldStage(data, self._state, ProjectorMetrics(self._state, data), self._ended.set)
        self._stage.start()
        self.pid = (set(children(os.getpid())) - before).pop()

    def add(self, batch: list[Received]) -> float:
        """Seconds from the moment when the batch is in log.db until it is folded."""
        self._archive.append(batch)
        started = time.perf_counter()
        self._stage.wake()
        while self._state.folded < batch[-1].position:
            if self._ended.is_set():
                raise SystemExit(f"the fold ended: {self._stage.failure}")
            time.sleep(0.0002)
        return time.perf_counter() - started

    def close(self) -> None:
        self._stage.stop()
        self._archive.close()


def _batches(source: Iterator[Received], count: int, size: int) -> Iterator[list[Received]]:
    while count > 0 and (batch := list(islice(source, min(size, count)))):
        count -= len(batch)
        yield batch


def _measure(folding: Folding, view: int, batches: Sequence[list[Received]]) -> Cost:
    wait_until_idle(folding.pid)
    before = usage(folding.pid)
    times = sorted(folding.add(batch) / len(batch) for batch in batches)
    used = usage(folding.pid).since(before)
    events = sum(map(len, batches))
    return Cost(
        view,
        used.main_cpu / events,
        (used.cpu - used.main_cpu) / events,
        statistics.median(times),
        times[int(len(times) * 0.99)],
        used.calls / events,
        used.disk / events,
    )


def _bare(folder: Path, events: int, size: int) -> float:
    """Seconds of CPU that the rows of one event cost in SQLite when they are only appended, in the same batches."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE rows (position INTEGER, entity INTEGER, path INTEGER, type TEXT, value ANY)")
    started = time.thread_time()
    for first in range(0, events, size):
        rows = [
            (n, n % 10_000, leaf, "float", random.random())
            for n in range(first, first + size)
            for leaf in range(LEAVES)
        ]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    seconds = time.thread_time() - started
    connection.close()
    return seconds / events


def _say(cost: Cost, payload: float, bare: float) -> None:
    figure(f"{cost.view:,} events in the view: CPU of the fold, an event", f"{cost.cpu * 1e6:.0f} us", "target 50 us")
    figure("  ratio to the floor", f"{cost.cpu / bare:.1f}")
    figure("  CPU of its other threads, which look for damage, an event", f"{cost.others * 1e6:.0f} us")
    figure("  appended to folded, an event of a batch: p50, p99", f"{cost.p50 * 1e6:.0f}, {cost.p99 * 1e6:.0f} us")
    figure(
        "  written to the device, an event; a payload byte",
        f"{cost.disk:,.0f}; {cost.disk / payload:.0f}",
        "target 2,000",
    )
    figure("  given to write calls, an event", f"{cost.calls:,.0f}")


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=EVENTS, help="in the view before each measurement")
    parser.add_argument("--live", type=int, default=20_000, help="events measured each time")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--entities", type=int, default=10_000)
    wanted = parser.parse_args(arguments)
    costs: list[Cost] = []
    with data_folder() as folder, contextlib.closing(Folding(DataDir(folder))) as folding:
        bare = _bare(folder, wanted.live, wanted.batch)
        figure("floor: CPU of its 5 values appended to one table, an event", f"{bare * 1e6:.0f} us", load())
        source, position = messages(sys.maxsize // 2, wanted.entities), 0
        for view in sorted(wanted.events):
            for batch in _batches(source, view - position, GROW):
                folding.add(batch)
            batches = list(_batches(source, wanted.live, wanted.batch))
            position = batches[-1][-1].position
            costs.append(_measure(folding, view, batches))
            _say(costs[-1], statistics.mean(len(one.payload) for one in batches[0]), bare)
    first, last = costs[0], costs[-1]
    figure(
        f"{last.view:,} against {first.view:,}: CPU; written",
        f"{last.cpu / first.cpu:.2f}; {last.disk / first.disk:.2f}",
        "target 1.0",
    )
    figure("load of the machine at the end", load())


if __name__ == "__main__":
    main(sys.argv[1:])
