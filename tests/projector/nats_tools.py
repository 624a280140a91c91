"""What the projector's tests need of NATS: events on a stream, and a server that permits everything."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from events import LogBuilder
from nats.aio.client import Client as NatsConnection
from nats.js.errors import NoStreamResponseError
from open_servers import OpenServer, js, open_server, until

from runlore.schemas import Settings
from runlore.store.log_rows import LogRow
from runlore.wire.connect import connect

__all__ = [
    "OpenServer",
    "connected",
    "js",
    "made_events",
    "open_server",
    "publish",
    "publish_all",
    "until",
    "with_nats",
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


def with_nats(settings: Settings, work: Callable[[NatsConnection], Coroutine[Any, Any, Any]]) -> Any:
    """Run `work` over one connection, in a loop of its own."""

    async def run() -> Any:
        async with connected(settings) as connection:
            return await work(connection)

    return asyncio.run(run())


def made_events(count: int) -> list[LogRow]:
    """Events that log key ``n`` of one run, from 0 upwards."""
    builder = LogBuilder()
    for number in range(count):
        builder.log("run:r1", {"n": number})
    return builder.rows


async def publish(connection: NatsConnection, rows: Sequence[LogRow], **headers: str) -> int:
    """Publish rows as messages, each acknowledged; the last sequence."""
    sequence = 0
    for start in range(0, len(rows), 256):
        acks = [_published(connection, row, headers) for row in rows[start : start + 256]]
        sequence = (await asyncio.gather(*acks))[-1]
    return sequence


async def _published(connection: NatsConnection, row: LogRow, headers: dict[str, str]) -> int:
    """The sequence of one message. A stream that was just made may not listen yet: then it is sent again."""
    stream, deadline = connection.jetstream(timeout=10), time.monotonic() + 10
    while True:
        try:
            headers = {"Nats-Msg-Id": row.event_id or "", **headers}
            return (await stream.publish(row.subject, row.payload, headers=headers)).seq
        except NoStreamResponseError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.01)


def publish_all(settings: Settings, rows: Sequence[LogRow]) -> int:
    return with_nats(settings, lambda connection: publish(connection, rows))
