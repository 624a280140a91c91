"""Reading over NATS and over HTTP, against files in the same run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil

import runlore.producer as producer
from benchmarks.common import data_folder, figure, quantiles, running_stack, timed
from benchmarks.folding import new_view, write_log
from benchmarks.watch import arrivals
from runlore.cli.server import EmbeddedServer
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.views.rebuild import fold_log
from runlore.query import Client
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import DashboardStatus, Endpoint

EVENTS, ENTITIES = 20_000, 200
READ_SECONDS = 5.0
READERS = 4

_READER = """
import itertools, sys, time
from runlore.query import Client
with Client(sys.argv[1]) as client:
    client.get("artifact:data-0@1")
    print("ready", flush=True)
    sys.stdin.readline()
    late, count = time.perf_counter() + float(sys.argv[2]), 0
    for number in itertools.count():
        if time.perf_counter() > late:
            break
        client.get(f"artifact:data-{number % 200}@1")
        count += 1
    print(count)
"""


@contextmanager
def _process(module: str, **variables: str) -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-m", module], env={**os.environ, **variables}) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def _latencies(clients: dict[str, Client]) -> None:
    """In turns, so that whatever else the machine does meets all of them."""
    compared = [f"artifact:data-{number}@1" for number in range(20)]
    entities = {name: client.get(compared[0]) for name, client in clients.items()}
    works: dict[str, tuple[Callable[[str], Any], int]] = {
        "one entity": (lambda name: clients[name].get(compared[0]), 1000),
        "its metadata": (lambda name: entities[name].metadata, 1000),
        "compare of 20": (lambda name: clients[name].compare(compared), 200),
    }
    for label, (work, times) in works.items():
        taken: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(times):
            for name in clients:
                taken[name].append(timed(partial(work, name)))
        local = quantiles(taken["local"])[0]
        target = "target 3 x local" if label == "compare of 20" else "target 1.5 ms"
        for name in clients:
            p50, best = quantiles(taken[name])[0], sorted(taken[name])[times // 10]
            figure(f"{label}, {name}: p50, p10", f"{p50 * 1e3:.2f}, {best * 1e3:.2f} ms")
            if name != "local":
                figure("", f"{p50 / local:.1f} x local", target)


def _reads(url: str, services: list[psutil.Process]) -> tuple[float, float]:
    """Reads a second of some readers, and for each second of the services' cores."""
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", _READER, url, str(READ_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(READERS)
    ]
    for reader in readers:
        assert reader.stdout
        reader.stdout.readline()
    before = [sum(service.cpu_times()[:2]) for service in services]
    for reader in readers:
        assert reader.stdin
        reader.stdin.write("\n")
        reader.stdin.flush()
    counts = [int(reader.communicate()[0]) for reader in readers]
    spent = sum(sum(service.cpu_times()[:2]) - was for service, was in zip(services, before, strict=True))
    return sum(counts) / READ_SECONDS, sum(counts) / spent


def _page(data: DataDir) -> str:
    while (status := read_struct(data.dashboard, DashboardStatus)) is None or not status.http:
        time.sleep(0.05)
    return status.http


def _watches() -> None:
    with running_stack(queries=True) as folder:
        endpoint = read_struct(DataDir(folder).endpoint, Endpoint)
        assert endpoint
        first = producer.log_artifact_metadata({"n": -1}, "bench", "1")
        found = {}
        for name, address in (("local", folder), ("over NATS", endpoint.url)):
            with Client(address) as client:
                client.wait_for(first, timeout=30)
                found[name] = quantiles(arrivals(client, 0.05, 200))
                p50, p99, _ = found[name]
                figure(f"emit to arrival in a watch {name}, p50, p99", f"{p50 * 1e3:.1f}, {p99 * 1e3:.1f} ms")
        added = found["over NATS"][0] - found["local"][0]
        figure("what NATS adds to a watch, p50", f"{added * 1e3:.1f} ms", "target 10 ms")


def main() -> None:
    with data_folder() as folder:
        data = DataDir(folder)
        write_log(data.log, EVENTS, entities=ENTITIES)
        view = new_view(data)
        fold_log(ArchiveReader(data.log), view)
        view.close()
        server = EmbeddedServer(data)
        url = server.start().url
        try:
            with _process("runlore.query.remote") as first:
                page = _process("runlore.dashboard", RUNLORE_DASHBOARD_NO_TOKEN="on")
                with page, Client(folder) as local, Client(url) as far, Client(_page(data)) as web:
                    _latencies({"local": local, "NATS": far, "HTTP": web})
                one, of_a_core = _reads(url, [first])
                figure("entities read by 4 processes from one service", f"{one:,.0f} reads/s")
                figure("the same for each core that the service uses", f"{of_a_core:,.0f} reads/s", "target 1,000")
                with _process("runlore.query.remote") as second:
                    time.sleep(2)
                    two, of_a_core = _reads(url, [first, second])
                    figure("with a second service", f"{two:,.0f} reads/s = {two / one:.2f} x", "target nearly 2")
                    figure("the same for each core that the services use", f"{of_a_core:,.0f} reads/s")
        finally:
            server.close()
    _watches()
