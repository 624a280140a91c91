"""What the producer's tests need: a stream, its events read back, and real child processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import astuple
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from open_servers import js
from patience import PATIENCE, until

from runlore.producer import outbox_status
from runlore.producer.outboxes.look import rows_of
from runlore.producer.outboxes.outbox import outbox_paths
from runlore.producer.outboxes.rows import Row
from runlore.schemas import Event, Settings
from runlore.schemas.codec import decode_event
from runlore.schemas.subjects import STREAM_NAME
from runlore.store.folder import DataDir
from runlore.wire.connect import connect
from runlore.wire.stream import ensure_stream

__all__ = [
    "ask",
    "connected",
    "facts",
    "kept",
    "logged",
    "make_stream",
    "old_outbox",
    "outbox_files",
    "read_headers",
    "read_messages",
    "read_outbox",
    "read_stream",
    "relays",
    "run_python",
    "script",
    "start_python",
    "stored_events",
    "until",
    "waiting",
]


async def _ignore(*_: Any) -> None:
    pass


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[NatsConnection]:
    connection = await connect(settings, "test", _ignore, _ignore)
    try:
        yield connection
    finally:
        await connection.close()


def make_stream(settings: Settings) -> None:
    async def make() -> None:
        async with connected(settings) as connection:
            await ensure_stream(connection, settings)

    asyncio.run(make())


def read_messages(settings: Settings) -> list[Msg]:
    """Every message of the stream, by position."""

    async def read() -> list[Msg]:
        async with connected(settings) as connection:
            stream = connection.jetstream(timeout=PATIENCE)
            config = ConsumerConfig(ack_policy=AckPolicy.NONE)
            last = (await stream.stream_info(STREAM_NAME)).state.last_seq
            consumer = await stream.pull_subscribe("runlore.>", stream=STREAM_NAME, config=config)
            found: list[Msg] = []
            while last and (not found or found[-1].metadata.sequence.stream < last):
                found += await consumer.fetch(500, timeout=PATIENCE)
            return found

    return asyncio.run(read())


def read_stream(settings: Settings) -> list[tuple[int, Event]]:
    """Position and event of every message, by position."""
    messages = read_messages(settings)
    return [(message.metadata.sequence.stream, decode_event(message.data)) for message in messages]


def read_headers(settings: Settings) -> list[dict[str, str]]:
    return [message.headers or {} for message in read_messages(settings)]


def logged(settings: Settings, key: str = "n") -> list[Any]:
    """What was logged under `key`, in the stream's order."""
    events = [event for _, event in read_stream(settings)]
    return [event.fact.metadata[key] for event in events if key in getattr(event.fact, "metadata", {})]


def facts(settings: Settings) -> list[tuple[str, Any]]:
    """Class name and fact of every event."""
    return [(type(event.fact).__name__, event.fact) for _, event in read_stream(settings)]


def ask(settings: Settings, request: str, body: Any = None) -> dict[str, Any]:
    """One request to JetStream's API."""

    async def work() -> dict[str, Any]:
        async with connected(settings) as connection:
            return await js(connection, request, body)

    return asyncio.run(work())


def waiting(settings: Settings) -> int:
    """Events of all outboxes that the stream has not acknowledged."""
    return sum(status.waiting for status in outbox_status(DataDir(settings.data_dir)))


def kept(settings: Settings) -> int:
    """Events of all outboxes that the stream has acknowledged, and the archive not yet."""
    return sum(status.kept for status in outbox_status(DataDir(settings.data_dir)))


def script(code: str, *arguments: str, **variables: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *arguments]


def run_python(code: str, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter that has this test's environment."""
    return subprocess.run(
        script(code, *arguments),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=check,
    )


def start_python(code: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        script(code, *arguments), env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    )


def stored_events(settings: Settings) -> list[Event]:
    """Every event in the outboxes of a folder: those of one process in order."""
    found: list[Event] = []
    for path in outbox_files(settings):
        found += [decode_event(row.payload) for row in rows_of(path)]
    return found


def outbox_files(settings: Settings) -> list[Path]:
    """Outboxes with something to send; those whose events only wait for an archive are left out."""
    data = DataDir(settings.data_dir)
    sent = {one.path for one in outbox_status(data) if one.kept and not one.waiting and not one.dead_letters}
    return [path for path in outbox_paths(data.outboxes) if path not in sent]


def old_outbox(path: Path, rows: Sequence[Row], dead: Sequence[Row] = (), version: int = 2) -> None:
    """An outbox as older versions made it, a SQLite file; version 1 knew no destinations and acknowledgements."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA page_size = 2048")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE outbox (seq INTEGER PRIMARY KEY, subject TEXT, payload BLOB)")
        connection.execute(
            "CREATE TABLE dead_letters (seq INTEGER PRIMARY KEY, subject TEXT, payload BLOB, reason TEXT, failed_at REAL)"
        )
        connection.execute("CREATE TABLE producer (id TEXT, pid INTEGER, created REAL)")
        if version > 1:
            connection.execute(
                "CREATE TABLE destination (id INTEGER PRIMARY KEY, server TEXT, project TEXT, epoch TEXT)"
            )
            connection.execute(
                "CREATE TABLE acknowledged (last INTEGER PRIMARY KEY, bytes INTEGER, at REAL, first_position INTEGER, "
                "last_position INTEGER, first_id TEXT, last_id TEXT)"
            )
        connection.execute("INSERT INTO producer VALUES (?, 1, 0)", (path.stem,))
        connection.executemany("INSERT INTO outbox VALUES (?, ?, ?)", map(astuple, rows))
        connection.executemany("INSERT INTO dead_letters VALUES (?, ?, ?, 'too large', 0)", map(astuple, dead))


def read_outbox(settings: Settings) -> list[Event]:
    """All events of this process's outbox, in order."""
    (path,) = outbox_files(settings)
    return [decode_event(row.payload) for row in rows_of(path)]


def relays() -> list[threading.Thread]:
    """The relays that work in this process."""
    return [thread for thread in threading.enumerate() if thread.name == "runlore-relay"]
