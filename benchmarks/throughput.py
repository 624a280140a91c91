"""From log_* to queryable, sustained, with fsync before every acknowledgement; against bare sqlite3."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import figure, running_stack, wait_until_folded
from runlore.query import Client
from runlore.store.folder import DataDir

EVENTS = int(os.environ.get("BENCH_EVENTS", "200000"))

_PRODUCE = """
import sys
import runlore.producer as producer
from benchmarks.common import five_values
name, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    receipt = producer.log_artifact_metadata(five_values(number), f"{name}-{number % 250}", "1")
left = producer.flush(600)
assert left.unsent == 0, left
print(receipt.wait(60))
"""


def _produce(producers: int, events: int, folder: Path) -> float:
    """Seconds from the start of the producers until the last event is queryable."""
    started = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _PRODUCE, f"p{number}", str(events // producers)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(producers)
    ]
    positions = [int(process.communicate()[0]) for process in running]
    assert all(process.returncode == 0 for process in running)
    wait_until_folded(folder, max(positions))
    return time.perf_counter() - started


def _bare_rows(view: Path, folder: Path) -> float:
    """Seconds that executemany needs for the same final rows, in batches of 4,000 of each table."""
    source = sqlite3.connect(f"file:{view}?mode=ro", uri=True)
    tables = {t: source.execute(f"SELECT * FROM {t}").fetchall() for t in ("events", "history", "heads")}
    schema = {t: source.execute("SELECT sql FROM sqlite_master WHERE name = ?", (t,)).fetchone()[0] for t in tables}
    source.close()
    target = sqlite3.connect(folder / "bare.db", isolation_level=None)
    target.execute("PRAGMA journal_mode = WAL")
    target.execute("PRAGMA synchronous = NORMAL")
    started = time.perf_counter()
    for table, rows in tables.items():
        target.execute(schema[table])
        marks = ", ".join("?" * len(rows[0]))
        for first in range(0, len(rows), 4000):
            target.execute("BEGIN")
            target.executemany(f"INSERT INTO {table} VALUES ({marks})", rows[first : first + 4000])
            target.execute("COMMIT")
    seconds = time.perf_counter() - started
    target.close()
    return seconds


def _missing(folder: Path, events: int) -> int:
    with Client(folder) as client:
        return events - client.position


def main() -> None:
    rates = {}
    for producers in (1, 4):
        with running_stack() as folder:
            rates[producers] = EVENTS / _produce(producers, EVENTS, folder)
            target = "target 15,000/s" if producers == 1 else "target: not below one"
            figure(f"{producers} producer process(es), {EVENTS:,} events to queryable", f"{rates[producers]:,.0f} events/s", target)  # fmt: skip
            figure("  events missing", str(_missing(folder, EVENTS)), "target 0")
            if producers == 1:
                bare = EVENTS / _bare_rows(DataDir(folder).current_view(), folder)
                figure("floor: bare sqlite3 executemany of the same final rows", f"{bare:,.0f} events/s")
                figure("  ratio to the floor", f"{rates[1] / bare:.2f}")
    figure("four producers against one", f"{rates[4] / rates[1]:.2f}")
