"""Rebuild of the view from log.db, and what log and view cost on disk; `throughput` has the stream too."""

from __future__ import annotations

import sqlite3

from benchmarks.common import data_folder, figure, timed
from benchmarks.floor import bare_rows
from benchmarks.folding import write_log
from benchmarks.processes import load
from runlore.projector.views.rebuild import rebuild_view
from runlore.store.folder import DataDir

EVENTS = 200_000


def main() -> None:
    for entities in (250, 10_000):
        with data_folder() as folder:
            data = DataDir(folder)
            write_log(data.log, EVENTS, entities)
            seconds = timed(lambda data=data: rebuild_view(data))  # type: ignore[misc]
            bare = bare_rows(folder, EVENTS, entities, batch=50_000)
            figure(
                "floor: bare sqlite3 executemany of history, heads and events", f"{EVENTS / bare:,.0f} events/s", load()
            )
            figure(f"rebuild, {EVENTS:,} events over {entities:,} entities", f"{EVENTS / seconds:,.0f} events/s", "target 20,000/s")  # fmt: skip
            figure("  ratio to the floor", f"{bare / seconds:.2f}")
            connection = sqlite3.connect(data.log)
            payload = connection.execute("SELECT sum(length(payload)) FROM log").fetchone()[0]
            connection.close()
            log, view = data.log.stat().st_size, data.current_view().stat().st_size
            figure("  bytes on disk a payload byte: log, view", f"{log / payload:.2f}, {view / payload:.2f}")
