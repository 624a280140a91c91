"""Shared by the benchmarks: the measured call, the stack, and printing figures."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.query import Client
from runlore.schemas import read_settings


def five_values(number: int) -> dict[str, Any]:
    """A group of two floats, an int, a string and a list of three strings."""
    return {
        "metrics": {"accuracy": random.random(), "loss": random.random()},
        "epoch": number,
        "note": f"epoch {number} done",
        "columns": ["age", "income", "score"],
    }


def quantiles(seconds: list[float]) -> tuple[float, float, float]:
    """p50, p99 and the maximum."""
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1]


def figure(label: str, value: str, target: str = "") -> None:
    print(f"  {label:<62} {value:>22}  {target}")


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def data_folder() -> Iterator[Path]:
    """A fresh data folder that this process and its children log into."""
    with tempfile.TemporaryDirectory(prefix="runlore-bench-") as folder:
        os.environ["RUNLORE_DATA_DIR"] = folder
        try:
            yield Path(folder)
        finally:
            producer.configure(mode="disabled")
            del os.environ["RUNLORE_DATA_DIR"]


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@contextmanager
def running_stack(queries: bool = False) -> Iterator[Path]:
    """The embedded stack over a fresh data folder; with the query service, if wanted."""
    with data_folder() as folder, EmbeddedStack(read_settings(), lambda text: None, with_queries=queries) as stack:
        assert stack.wait_ready(_sleep)
        producer.configure()
        yield folder


def wait_until_folded(folder: Path, position: int, timeout: float = 300.0) -> None:
    """Until the view holds everything up to a position."""
    with Client(folder) as client:
        client.wait_for(position, timeout=timeout)
