"""From log_* to queryable, sustained, with fsync before every acknowledgement: 1, 4, 50 and 200 producers.

All of them log about the same 250 entities. They have started and sent one event before the clock starts. 50 and more
are `Producer` objects in 4 processes: each has an outbox, a relay and a connection.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import figure, running_stack, wait_until_folded
from benchmarks.floor import bare_rows
from benchmarks.processes import Usage, children, load, role, usage
from runlore.query import Client
from runlore.store.folder import DataDir

EVENTS = int(os.environ.get("BENCH_EVENTS", "200000"))
PRODUCERS = (1, 4, 50, 200)
ENTITIES = 250
PROCESSES = 4

_PRODUCE = """
import sys
from benchmarks.common import five_values
from runlore.producer import Producer
from runlore.schemas import EntityRef, MetadataLogged
from runlore.schemas.values import pack_metadata
producers = [Producer() for _ in range(int(sys.argv[1]))]
count, entities, first = map(int, sys.argv[2:5])
def emit(producer, number):
    reference = EntityRef("artifact", f"data-{number % entities}", "1")
    return producer.emit_nowait(MetadataLogged((reference,), pack_metadata(five_values(number))))
for producer in producers:
    emit(producer, first).wait(120)
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    receipt = emit(producers[number % len(producers)], first + number)
for producer in producers:
    assert producer.flush(600).unsent == 0
print("done", flush=True)
sys.stdin.readline()
"""


class _Producers:
    """Processes that wait for `run`, with a number of producers in all."""

    def __init__(self, producers: int, events: int) -> None:
        processes = min(producers, PROCESSES)
        share = events // processes
        self.events = share * processes + producers
        """Those before the clock starts included."""
        self._running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _PRODUCE,
                    str(producers // processes + (place < producers % processes)),
                    str(share),
                    str(ENTITIES),
                    str(place * share),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for place in range(processes)
        ]
        self._expect("ready")
        self.pids = [process.pid for process in self._running]

    def run(self) -> None:
        self._go()
        self._expect("done")

    def end(self) -> None:
        self._go()
        assert all(process.wait() == 0 for process in self._running)

    def _go(self) -> None:
        for process in self._running:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()

    def _expect(self, word: str) -> None:
        for process in self._running:
            assert process.stdout
            assert process.stdout.readline().strip() == word


def _usages(producers: list[int]) -> dict[int, Usage]:
    return {pid: usage(pid) for pid in children(os.getpid()) if pid in producers or role(pid) != "other"}


def _missing(folder: Path, events: int) -> int:
    with Client(folder) as client:
        return events - client.position


def _payload(data: DataDir) -> int:
    connection = sqlite3.connect(data.log)
    try:
        return int(connection.execute("SELECT sum(length(payload)) FROM log").fetchone()[0])
    finally:
        connection.close()


def _kept(data: DataDir, payload: int) -> str:
    """Bytes on disk a payload byte: what has no write-ahead log any more is counted after the stack has stopped."""
    stream = sum(path.stat().st_size for path in data.nats.rglob("*") if path.is_file())
    log = sum(path.stat().st_size for path in data.projection.glob("log.db*"))
    view = sum(path.stat().st_size for path in data.projection.glob("view-*.db*"))
    parts = (stream / payload, log / payload, view / payload)
    return ", ".join(f"{part:.2f}" for part in (*parts, sum(parts)))


def _say(spent: dict[int, Usage], producers: list[int], events: int, payload: int) -> None:
    by_role: dict[str, list[float]] = {}
    for pid, used in spent.items():
        total = by_role.setdefault("producers" if pid in producers else role(pid), [0.0, 0.0])
        total[0] += used.cpu
        total[1] += used.disk
    cpu = {name: total[0] / events * 1e6 for name, total in sorted(by_role.items())}
    disk = {name: total[1] / payload for name, total in sorted(by_role.items())}
    figure(f"  CPU an event, us: {', '.join(cpu)}", ", ".join(f"{one:.0f}" for one in cpu.values()))
    figure(f"  written a payload byte: {', '.join(disk)}", ", ".join(f"{one:.1f}" for one in disk.values()))
    figure("  the same, all", f"{sum(disk.values()):.1f}", "target 12")


def _measure(producers: int) -> float:
    """Events a second."""
    with running_stack() as folder:
        data = DataDir(folder)
        bare = EVENTS / bare_rows(folder, EVENTS, ENTITIES)
        figure("floor: bare sqlite3 executemany of history, heads and events", f"{bare:,.0f} events/s", load())
        several = _Producers(producers, EVENTS)
        before, started = _usages(several.pids), time.perf_counter()
        several.run()
        wait_until_folded(folder, several.events)
        seconds = time.perf_counter() - started
        spent = {pid: used.since(before[pid]) for pid, used in _usages(several.pids).items() if pid in before}
        missing = _missing(folder, several.events)
        payload = _payload(data)
        rate = EVENTS / seconds
        target = {1: "target 25,000/s", 4: "target: not below one"}.get(producers, "")
        figure(f"{producers} producer(s), {EVENTS:,} events to queryable", f"{rate:,.0f} events/s", target)
        figure("  ratio to the floor", f"{rate / bare:.2f}")
        figure("  events missing", str(missing), "target 0")
        _say(spent, several.pids, EVENTS, payload)
        several.end()
        if producers == 1:
            figure("  kept a payload byte: stream, log, view, all", _kept(data, payload), "half of 6.55")
    return rate


def main() -> None:
    rates = {producers: _measure(producers) for producers in PRODUCERS}
    for producers in PRODUCERS[1:]:
        figure(f"{producers} producers against one", f"{rates[producers] / rates[1]:.2f}")
