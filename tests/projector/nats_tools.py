"""What the projector's tests need of NATS: events on a stream, and a server that permits everything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from events import LogBuilder
from nats.aio.client import Client as NatsConnection
from nats.js.errors import NoStreamResponseError

from runlore.cli.server import find_program
from runlore.projector.archive import LogRow
from runlore.schemas import Settings, read_settings
from runlore.schemas.transport import connect


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


async def js(connection: NatsConnection, request: str, body: Any = None) -> dict[str, Any]:
    """One request to JetStream's API, as any administrator would send it."""
    answer = await connection.request(f"$JS.API.{request}", json.dumps(body).encode() if body else b"", timeout=10)
    return json.loads(answer.data)


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


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    """What `true` returns once it is truthy; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := true():
            return result
        time.sleep(0.005)
    pytest.fail("did not happen in time")


class OpenServer:
    """A nats-server of an administrator: no permissions, no embedded configuration."""

    def __init__(self, root: Path, jetstream: bool = True, extra: str = "") -> None:
        self._root, self._jetstream, self._extra = root, jetstream, extra
        self._port = -1
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        self._root.mkdir(parents=True, exist_ok=True)
        run = self._root / f"run-{time.monotonic_ns()}"
        run.mkdir()
        jetstream = f'jetstream {{ store_dir: "{self._root / "store"}" }}' if self._jetstream else ""
        config = self._root / "server.conf"
        config.write_text(f"host: 127.0.0.1\nport: {self._port}\n{jetstream}\n{self._extra}\n")
        self._process = subprocess.Popen(
            [find_program(None), "-c", str(config), "--ports_file_dir", str(run)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = until(lambda: _url_in(run))
        self._port = int(url.rpartition(":")[2])
        return url

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _url_in(run: Path) -> str | None:
    for ports in run.glob("*.ports"):
        with contextlib.suppress(ValueError, KeyError, IndexError):
            return json.loads(ports.read_bytes())["nats"][0]
    return None


@contextlib.contextmanager
def open_server(tmp_path: Path, **options: Any) -> Iterator[tuple[OpenServer, Settings]]:
    """A running OpenServer, and settings that use it."""
    server = OpenServer(tmp_path / "nats", **options)
    try:
        yield server, read_settings(url=server.start())
    finally:
        server.kill()
