"""As-of reads, history, diff and times in a log of BENCH_EVENTS (1,000,000) events over 10,000 entities."""

from __future__ import annotations

import datetime as dt
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import data_folder, figure, quantiles
from benchmarks.folding import EPOCH, messages, new_view, write_log
from runlore.projector.archiving.archive import Archive, ArchiveReader
from runlore.projector.views.rebuild import fold_log
from runlore.query import Client
from runlore.store.folder import DataDir

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
ENTITIES = 10_000
LONG = 1_000
"""Values of the one key whose whole history is read; its entity takes that many events more."""


def _fill(data: DataDir) -> None:
    write_log(data.log, EVENTS, ENTITIES)
    archive = Archive.open(data.log, EPOCH)
    archive.append(list(messages(LONG, 1, start=EVENTS + 1, values=lambda n: {"loss": 1 / n, "n": n})))
    archive.close()
    view = new_view(data)
    fold_log(ArchiveReader(data.log), view)
    view.close()


def _p50(work: Callable[[], Any], times: int = 500) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return quantiles(taken)[0]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _as_of(client: Client, position: int) -> float:
    """An entity that was logged shortly before the position, another each time."""
    names = [f"artifact:data-{random.randrange(max(1, position - 900), position) % ENTITIES}@1" for _ in range(500)]
    repeated = iter(names * 2)
    assert client.get(names[0], as_of=position).metadata["epoch"] <= position
    return _p50(lambda: client.get(next(repeated), as_of=position).metadata)


def _measure(folder: Path) -> None:
    with Client(folder) as client:
        head = client.position
        early, late = _as_of(client, 1_000), _as_of(client, EVENTS)
        figure("one entity as of position 1,000, p50", _ms(early), "target 2 ms")
        figure(f"one entity as of position {EVENTS:,}, p50", _ms(late), "target 2 ms")
        figure("at the end against at 1,000", f"{late / early:.2f}", "1")
        long = client.get("artifact:data-0@1")
        assert len(long.history("loss")) == LONG
        figure("history of 1,000 values, p50", _ms(_p50(lambda: long.history("loss"), 50)), "target 10 ms")
        figure("series of 1,000 numbers, p50", _ms(_p50(lambda: long.series("loss"), 50)))
        one, other = client.get("artifact:data-1@1"), client.get("artifact:data-2@1")
        figure("diff of two entities, p50", _ms(_p50(lambda: client.diff(one, other))), "target 5 ms")
        figure("diff of one entity between two positions, p50",
               _ms(_p50(lambda: client.diff(one, since=ENTITIES + 1, until=head))), "target 5 ms")  # fmt: skip
        figure("blame of one entity, p50", _ms(_p50(one.blame)))
        start = one.created
        assert start is not None
        span = client.recorded_at - start
        moments = iter([start + span * random.random() for _ in range(500)])
        figure("position of a time, p50", _ms(_p50(lambda: client.position_at(next(moments)))))
        then = start + dt.timedelta(seconds=span.total_seconds() / 2)
        figure("one entity by the producers' clocks, p50", _ms(_p50(lambda: one.as_of(then, "occurred").metadata)))


def _measure_comparison(folder: Path) -> None:
    """200 entities of 500 keys."""
    data = DataDir(folder)
    archive = Archive.open(data.log, EPOCH)
    archive.append(list(messages(200, 200, values=lambda n: {f"key-{k}": n * k / 7 for k in range(500)})))
    archive.close()
    view = new_view(data)
    fold_log(ArchiveReader(data.log), view)
    view.close()
    with Client(folder) as client:
        entities = client.list_artifact_versions(limit=200)
        assert len(client.compare(entities).rows) == 500
        figure("compare 200 entities of 500 keys, p50", _ms(_p50(lambda: client.compare(entities, "max"), 5)))


def main() -> None:
    with data_folder() as folder:
        started = time.perf_counter()
        _fill(DataDir(folder))
        figure(f"(filling with {EVENTS:,} events)", f"{time.perf_counter() - started:.0f} s")
        _measure(folder)
    with data_folder() as folder:
        _measure_comparison(folder)
