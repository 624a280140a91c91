"""Emit to an entry in a watch at low load, and what an idle watch costs."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import runlore.producer as producer
from benchmarks.common import figure, quantiles, running_stack
from runlore.query import Client

EVENTS = 200
IDLE_SECONDS = 10
CATCH_UP_EVENTS = 20_000

_IDLE = """
import asyncio, sys, time
from runlore.query import Client
async def idle(client, seconds):
    async for change in client.watch_async(timeout=seconds):
        pass
def idle_plainly(client, seconds):
    for change in client.watch(timeout=seconds):
        pass
async def measured(client, seconds):
    await idle(client, 1.5)  # imports, the worker thread, and slowing down are not what is measured
    started, before = time.perf_counter(), time.process_time()
    await idle(client, seconds) if sys.argv[3] == 'async' else idle_plainly(client, seconds)
    print((time.process_time() - before) / (time.perf_counter() - started))
with Client(sys.argv[1]) as client:
    asyncio.run(measured(client, float(sys.argv[2])))
"""


def _idle(folder: Path, kind: str) -> float:
    command = [sys.executable, "-c", _IDLE, str(folder), str(IDLE_SECONDS), kind]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def arrivals(client: Client, pause: float, events: int) -> list[float]:
    """The watch waits in its own thread, as it would in its own process."""
    watch, arrived = client.watch("artifact:bench", key="n"), dict[int, float]()

    def receive() -> None:
        while len(arrived) < events:
            change = next(watch)
            arrived[change.entry.value] = time.perf_counter()

    thread = threading.Thread(target=receive)
    thread.start()
    emitted: list[float] = []
    for number in range(events):
        time.sleep(pause * (0.5 + random.random()))
        emitted.append(time.perf_counter())
        producer.log_artifact_metadata({"n": number}, "bench", "1")
    thread.join(30)
    return [arrived[number] - moment for number, moment in enumerate(emitted)]


def main() -> None:
    with running_stack() as folder:
        first = producer.log_artifact_metadata({"n": -1}, "bench", "1")
        with Client(folder) as client:
            client.wait_for(first, timeout=30)
            for label, pause, events in (("20 events/s", 0.05, EVENTS), ("1 event/s", 1.0, 30)):
                p50, p99, worst = quantiles(arrivals(client, pause, events))
                figure(f"emit to arrival at {label}, p50", f"{p50 * 1e3:.1f} ms", "target 100 ms")
                figure(f"emit to arrival at {label}, p99", f"{p99 * 1e3:.1f} ms")
                figure(f"emit to arrival at {label}, max", f"{worst * 1e3:.1f} ms")
            for kind in ("plain", "async"):
                figure(f"an idle {kind} watch, share of a core", f"{_idle(folder, kind) * 100:.2f} %", "target 2 %")
            for number in range(CATCH_UP_EVENTS):
                producer.log_artifact_metadata({"n": number, "loss": number / 7}, "bench", "1")
            producer.flush(120)
            client.wait_for(producer.log_artifact_metadata({"n": 0}, "bench", "1"), timeout=120)
            started = time.perf_counter()
            seen = sum(1 for _ in client.watch(since=0, timeout=0))
            seconds = time.perf_counter() - started
            figure("catching up from position 0", f"{seen / seconds:,.0f} entries/s")
