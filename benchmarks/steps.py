"""Opening and closing a step and a run: what they add to a function, without a server."""

from __future__ import annotations

import time
from collections.abc import Callable

import runlore.producer as producer
from benchmarks.common import data_folder, figure, quantiles

CALLS = 3000
TARGETS = {"disabled": "target 50 us", "offline": "target 180 us"}
"""For a decorated step, on an idle machine."""


@producer.step
def _decorated() -> None:
    pass


def _step() -> None:
    with producer.step_context("a"):
        pass


def _run() -> None:
    with producer.run_context("bench"):
        pass


def _p50(work: Callable[[], None]) -> float:
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return quantiles(times)[0]


def _log() -> None:
    producer.log_metadata({"a": 1}, "model:bench")


def main() -> None:
    with data_folder():
        for mode, target in TARGETS.items():
            producer.configure(mode=mode)
            with producer.run_context("bench"):
                log, step, decorated = _p50(_log), _p50(_step), _p50(_decorated)
            figure(f"{mode}: step_context, p50", f"{step * 1e6:.0f} us")
            figure(f"{mode}: @step, p50", f"{decorated * 1e6:.0f} us", target)
            figure(f"{mode}: run_context, p50", f"{_p50(_run) * 1e6:.0f} us")
            figure("  ratio of @step to one log_metadata, p50", f"{decorated / log:.1f}")
