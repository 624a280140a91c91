"""Emit to queryable at low load."""

from __future__ import annotations

import time

import runlore.producer as producer
from benchmarks.common import figure, five_values, quantiles, running_stack
from runlore.query import Client

EVENTS = 200


def main() -> None:
    with running_stack() as folder:
        producer.log_artifact_metadata(five_values(0), "bench", "1").wait(20)
        times = []
        with Client(folder) as client:
            for number in range(EVENTS):
                started = time.perf_counter()
                client.wait_for(producer.log_artifact_metadata(five_values(number), "bench", "1"), timeout=30)
                times.append(time.perf_counter() - started)
                time.sleep(0.05)
        p50, p99, worst = quantiles(times)
        figure("emit to queryable, p50", f"{p50 * 1e3:.1f} ms", "target 50 ms")
        figure("emit to queryable, p99", f"{p99 * 1e3:.1f} ms")
        figure("emit to queryable, max", f"{worst * 1e3:.1f} ms")
