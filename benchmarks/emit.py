"""Blocking time of one log_* call with 5 values, durable outbox, while the relay sends."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import runlore.producer as producer
from benchmarks.common import figure, five_values, quantiles, running_stack

CALLS = 20_000


def _floor(folder: Path, pause: float, count: int) -> float:
    """The bare floor in the same run: encode with msgspec and insert one row, p50."""
    import msgspec

    encode = msgspec.msgpack.Encoder().encode
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("DROP TABLE IF EXISTS outbox")
    connection.execute("CREATE TABLE outbox (seq INTEGER PRIMARY KEY, subject TEXT, payload BLOB)")
    times = []
    for number in range(count):
        values = five_values(number)
        started = time.perf_counter()
        payload = encode(values)
        connection.execute("INSERT INTO outbox (subject, payload) VALUES (?, ?)", ("runlore.x", payload))
        times.append(time.perf_counter() - started)
        if pause:
            time.sleep(pause)
    connection.close()
    return quantiles(times)[0]


def _calls(pause: float, count: int) -> tuple[float, float, float]:
    times = []
    for number in range(count):
        values = five_values(number)
        started = time.perf_counter()
        producer.log_artifact_metadata(values, "bench", "1")
        times.append(time.perf_counter() - started)
        if pause:
            time.sleep(pause)
    return quantiles(times)


def main() -> None:
    with running_stack() as folder:
        producer.log_artifact_metadata(five_values(0), "bench", "1").wait(20)
        for label, pause, count in (("in a tight loop", 0.0, CALLS), ("every millisecond", 0.001, 4000)):
            floor = _floor(folder, pause, count)
            figure(f"floor {label}: encode and insert one row, p50", f"{floor * 1e6:.1f} us")
            p50, p99, worst = _calls(pause, count)
            figure(f"log_artifact_metadata {label}, p50", f"{p50 * 1e6:.1f} us", "target 20 us")
            figure(f"log_artifact_metadata {label}, p99", f"{p99 * 1e6:.0f} us", "target 300 us")
            figure(f"log_artifact_metadata {label}, max", f"{worst * 1e3:.1f} ms")
            figure("  ratio to the floor, p50", f"{p50 / floor:.2f}")
            producer.flush(60)
