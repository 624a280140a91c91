"""Blocking time of one log_* call with 5 values, durable outbox, while the relay sends; a process's first calls too."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import runlore.producer as producer
from benchmarks.common import figure, five_values, quantiles, running_stack

CALLS = 20_000
FIRST = 550
"""Calls of a new process, during which its relay imports its client and connects."""

_FIRST_CALLS = """
import sys, time
from pathlib import Path
import runlore.producer as producer
from benchmarks.emit import _bare, _log, _times
with _bare(Path(sys.argv[1])) as bare:
    call = bare if sys.argv[2] == "floor" else _log
    print(*_times(call, 0.0, int(sys.argv[3])))
"""


@contextlib.contextmanager
def _bare(folder: Path) -> Iterator[Callable[[dict[str, Any]], object]]:
    """The bare floor in the same run: encode with msgspec and insert one row."""
    encode = msgspec.msgpack.Encoder().encode
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("DROP TABLE IF EXISTS outbox")
    connection.execute("CREATE TABLE outbox (seq INTEGER PRIMARY KEY, subject TEXT, payload BLOB)")

    def insert(values: dict[str, Any]) -> None:
        connection.execute("INSERT INTO outbox (subject, payload) VALUES (?, ?)", ("runlore.x", encode(values)))

    yield insert
    connection.close()


def _log(values: dict[str, Any]) -> None:
    producer.log_artifact_metadata(values, "bench", "1")


def _times(call: Callable[[dict[str, Any]], object], pause: float, count: int) -> list[float]:
    times = []
    for number in range(count):
        values = five_values(number)
        started = time.perf_counter()
        call(values)
        times.append(time.perf_counter() - started)
        if pause:
            time.sleep(pause)
    return times


def _cpu(call: Callable[[dict[str, Any]], object], count: int) -> float:
    """CPU time of one call, on its own thread."""
    values = [five_values(number) for number in range(count)]
    started = time.thread_time()
    for one in values:
        call(one)
    return (time.thread_time() - started) / count


@contextlib.contextmanager
def _busy_thread() -> Iterator[None]:
    """A thread that computes in Python beside the calls, as a training loop's data loader does."""
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(1000):
                number += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _compare(label: str, bare: list[float], ours: list[float], p50: str, p99: str) -> None:
    floor, floor_99, _ = quantiles(bare)
    figure(f"floor {label}: one SQLite row, p50", f"{floor * 1e6:.1f} us")
    figure(f"floor {label}: the same, p99", f"{floor_99 * 1e6:.0f} us")
    found, found_99, worst = quantiles(ours)
    figure(f"log_artifact_metadata {label}, p50", f"{found * 1e6:.1f} us", p50)
    figure(f"log_artifact_metadata {label}, p99", f"{found_99 * 1e6:.0f} us", p99)
    figure(f"log_artifact_metadata {label}, max", f"{worst * 1e3:.1f} ms")
    figure("  ratio to the floor, p50", f"{found / floor:.2f}")


def _first_calls(folder: Path, what: str) -> list[float]:
    """Times of the first calls of a process, of three processes."""
    command = [sys.executable, "-c", _FIRST_CALLS, str(folder), what, str(FIRST)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return [float(text) for run in runs for text in run.stdout.split()]


def main() -> None:
    with running_stack() as folder, _bare(folder) as bare:
        producer.log_artifact_metadata(five_values(0), "bench", "1").wait(20)
        for label, pause, count in (("in a tight loop", 0.0, CALLS), ("every millisecond", 0.001, 4000)):
            _compare(label, _times(bare, pause, count), _times(_log, pause, count), "target 20 us", "target 300 us")
            producer.flush(60)
        with _busy_thread():
            floor, ours = _times(bare, 0.001, 500), _times(_log, 0.001, 500)
        _compare("every millisecond beside a busy thread", floor, ours, "target 500 us", "target 1000 us")
        producer.flush(60)
        floor, ours = _first_calls(folder, "floor"), _first_calls(folder, "log")
        _compare(f"first {FIRST} calls of a process", floor, ours, "", "target 100 us")
        figure("floor: CPU of one row", f"{_cpu(bare, CALLS) * 1e6:.1f} us")
        figure("CPU of one log_artifact_metadata", f"{_cpu(_log, CALLS) * 1e6:.1f} us", "target 8 us")
        producer.flush(60)
