"""A replica: what a snapshot costs the projector's machine, and how soon another machine can read."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nats.aio.client import Client as NatsConnection

from benchmarks.common import data_folder, figure, timed
from benchmarks.folding import EPOCH, messages, write_log
from benchmarks.processes import load
from runlore.cli.server import EmbeddedServer
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.snapshots.take import take_snapshot
from runlore.projector.views.rebuild import rebuild_view
from runlore.query import Client
from runlore.schemas import NotFoundError, Settings, read_settings
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow, Received
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint, Login
from runlore.wire.connect import connect
from runlore.wire.stream import create_stream, stream_config

EVENTS = 200_000
ENTITIES = 10_000
BEHIND = 2_000
"""Events that came after the snapshot: the replica folds them from the stream."""


def main() -> None:
    with data_folder() as folder, tempfile.TemporaryDirectory(prefix="runlore-bench-") as other:
        data, settings = DataDir(folder), read_settings()
        write_log(data.log, EVENTS, ENTITIES)
        rebuilt = timed(lambda: rebuild_view(data))
        server = EmbeddedServer(data)
        server.start()
        try:
            asyncio.run(_make_stream(settings, data))
            _snapshot(settings)
            figure(f"folding the same {EVENTS:,} events from log.db", f"{rebuilt:.1f} s")
            for verify in (False, True):
                _replica(settings, Path(other) / str(verify), verify)
        finally:
            server.close()


async def _make_stream(settings: Settings, data: DataDir) -> None:
    """A stream that ends behind the log. Its older events are not in it: a replica reads none of them."""

    async def ignore(*_: object) -> None:
        pass

    connection = await connect(settings, "benchmark", ignore, ignore)
    reader = ArchiveReader(data.log)
    last = reader.at(EVENTS)
    reader.close()
    assert last
    await create_stream(connection, stream_config(EPOCH, 1) | {"first_seq": EVENTS})
    for row in (last, *messages(BEHIND, ENTITIES, EVENTS + 1)):
        await _publish(connection, row)
    await connection.close()


async def _publish(connection: NatsConnection, row: LogRow | Received) -> None:
    headers = {"Nats-Msg-Id": row.event_id or ""}
    await connection.request(row.subject, row.payload, timeout=30, headers=headers)


def _snapshot(settings: Settings) -> None:
    before = time.process_time()
    last = take_snapshot(settings)
    whole, stored = last.snapshot.view_bytes / 1e6, last.stored_bytes / 1e6
    figure("a snapshot: the view, and as it is stored", f"{whole:,.0f} MB, {stored:,.0f} MB")
    figure("a snapshot, made and stored; CPU", f"{last.seconds:.1f} s; {time.process_time() - before:.1f} s", load())


def _replica(settings: Settings, folder: Path, verify: bool) -> None:
    data = DataDir(settings.data_dir)
    login, endpoint = read_struct(data.service, Login), read_struct(data.endpoint, Endpoint)
    assert login
    assert endpoint
    url = endpoint.url.replace("nats://", f"nats://{login.user}:{login.password}@")
    command = [sys.executable, "-m", "runlore.cli", "replica", *(["--verify"] if verify else [])]
    environ = {**os.environ, "RUNLORE_URL": url, "RUNLORE_INBOX_PREFIX": f"_INBOX_{login.user}"}
    started, before = time.perf_counter(), _cpu_of_children()
    process = subprocess.Popen(command, env=environ | {"RUNLORE_DATA_DIR": str(folder)}, stderr=subprocess.DEVNULL)
    try:
        first = _seconds_until(folder, EVENTS, started)
        level = _seconds_until(folder, EVENTS + BEHIND, started)
    finally:
        process.terminate()
        process.wait()
    name = "a replica from nothing, canonical digest computed" if verify else "a replica from nothing"
    target = "" if verify else "target 15 s for 1,000,000"
    figure(f"{name}: first read", f"{first:.1f} s", target)
    figure(f"  up to date, with {BEHIND:,} events after the snapshot; CPU", f"{level:.1f} s; {_cpu_of_children() - before:.1f} s", load())  # fmt: skip


def _seconds_until(folder: Path, position: int, started: float) -> float:
    while True:
        try:
            with Client(folder) as client:
                if client.position >= position:
                    return time.perf_counter() - started
        except NotFoundError:
            pass
        time.sleep(0.02)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
