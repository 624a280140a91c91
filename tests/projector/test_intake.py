from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as NatsConnection
from nats_tools import connected, js, made_events, open_server, publish, publish_all, with_nats
from patience import PATIENCE

from runlore.cli.server import EmbeddedServer
from runlore.projector import ensure_stream
from runlore.projector.archiving import intake, pull
from runlore.projector.archiving.intake import Intake
from runlore.schemas import ServerUnavailableError, Settings
from runlore.schemas.subjects import event_headers
from runlore.store.log_rows import Gap, Received
from runlore.wire.headers import event_id_of, keep_raw_headers, raw_headers
from runlore.wire.stream import get_message


async def take(intake: Intake, last: int) -> list[Received | Gap]:
    """Everything up to position `last`."""
    taken: list[Received | Gap] = []
    while not taken or _end(taken[-1]) < last:
        async with asyncio.timeout(PATIENCE):
            batch = await intake.batch()
        taken += [batch] if isinstance(batch, Gap) else batch
    return taken


def _end(item: Received | Gap) -> int:
    return item.last if isinstance(item, Gap) else item.position


def positions(taken: list[Received | Gap]) -> list[int]:
    return [row.position for row in taken if isinstance(row, Received)]


@pytest.fixture
def stream(settings: Settings, server: EmbeddedServer) -> Settings:
    """Settings of a server whose stream exists."""
    with_nats(settings, lambda connection: ensure_stream(connection, settings))
    return settings


@pytest.fixture
def open_stream(tmp_path: Path) -> Iterator[Settings]:
    """The same on a server that permits everything, where consumers may be deleted."""
    with open_server(tmp_path) as (_, settings):
        with_nats(settings, lambda connection: ensure_stream(connection, settings))
        yield settings


def test_every_message_comes_once_in_order_and_byte_for_byte(stream: Settings) -> None:
    rows, began = made_events(5000), time.time()

    async def work(connection: NatsConnection) -> None:
        await publish(connection, rows[:4999])
        headers = event_headers(str(rows[4999].event_id))
        await publish(connection, rows[4999:], **{"Extra": "ä: value "}, **headers)
        reader = Intake(connection, 0)
        taken = await take(reader, 5000)
        await reader.close()
        assert positions(taken) == list(range(1, 5001))
        # acknowledged in parallel: the order on the stream is the server's
        assert {(row.event_id, row.payload) for row in taken if isinstance(row, Received)} == {
            (row.event_id, row.payload) for row in rows
        }
        for sequence in (1, 777, 5000):
            stored = await get_message(connection, sequence)
            row = taken[sequence - 1]
            assert stored is not None
            assert isinstance(row, Received)
            assert (row.subject, row.headers, row.payload) == (stored.subject, stored.headers, stored.payload)
            assert began <= row.recorded_ns / 1e9 <= time.time()

    with_nats(stream, work)


def test_headers_are_equal_without_the_shortcut_into_nats_py(open_stream: Settings) -> None:
    headers = {"Nats-Msg-Id": "abc", "ce-id": "abc", "Content-Type": "application/msgpack"}

    async def work(connection: NatsConnection) -> None:
        got: asyncio.Queue[bytes] = asyncio.Queue()

        async def receive(message: Any) -> None:
            got.put_nowait(raw_headers(message.headers))

        await connection.subscribe("test", cb=receive)
        await connection.publish("test", b"", headers=headers)
        built = await got.get()
        keep_raw_headers(connection)
        await connection.publish("test", b"", headers=headers)
        assert built == await got.get()
        assert event_id_of(built) == "abc"

    with_nats(open_stream, work)


@pytest.mark.parametrize(
    ("block", "event_id"),
    [
        (b"", None),
        (b"NATS/1.0\r\nce-id: 1\r\n\r\n", None),
        (b"NATS/1.0\r\nX-Nats-Msg-Id: 1\r\nNats-Msg-Id:2\r\n\r\n", "2"),
        (b"NATS/1.0\r\nNats-Msg-Id:  a b \r\n\r\n", "a b"),
        (b"NATS/1.0\r\nNats-Msg-Id: \r\n\r\n", None),
        (b"NATS/1.0\r\nNats-Msg-Id: \xff\r\n\r\n", "�"),
    ],
)
def test_the_event_id_is_read_from_the_header_block(block: bytes, event_id: str | None) -> None:
    assert event_id_of(block) == event_id


def test_at_the_end_of_the_stream_it_waits_and_a_message_wakes_it(
    stream: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "HEARTBEAT", 3600)  # whoever waited for it would wait for ever
    rows = made_events(60)

    async def work(connection: NatsConnection) -> None:
        await publish(connection, rows[:10])
        reader = Intake(connection, 10)
        for index in range(10, 60):
            task = asyncio.create_task(take(reader, index + 1))
            await asyncio.sleep(0)
            await publish(connection, rows[index : index + 1])
            assert positions(await task) == [index + 1]

    with_nats(stream, work)


def test_what_nobody_takes_stays_within_the_bounds(stream: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BUFFER_MESSAGES", 1000)
    monkeypatch.setattr(pull, "REQUEST_MESSAGES", 300)
    publish_all(stream, made_events(3000))

    async def work(connection: NatsConnection) -> None:
        reader = Intake(connection, 0)
        first = await reader.batch()
        assert not isinstance(first, Gap)
        held, seen = 0, -1
        while held != seen:  # until nothing more comes by itself
            seen = held
            await asyncio.sleep(0.3)
            held = len(reader._rows)
        assert held <= 1000
        rest = await take(reader, 3000)
        assert positions([*first, *rest]) == list(range(1, 3001))

    with_nats(stream, work)


def test_a_message_larger_than_a_request_still_comes(stream: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "REQUEST_BYTES", 3000)

    async def work(connection: NatsConnection) -> None:
        for number, size in enumerate((10, 50_000, 10, 100_000, 200_000, 10)):
            await connection.jetstream().publish("runlore.default.x", b"x" * size, headers={"Nats-Msg-Id": str(number)})
        reader = Intake(connection, 0)
        taken = await take(reader, 6)
        assert [len(row.payload) for row in taken if isinstance(row, Received)] == [
            10, 50_000, 10, 100_000, 200_000, 10,
        ]  # fmt: skip

    with_nats(stream, work)


def test_a_deleted_consumer_is_replaced_without_a_gap(open_stream: Settings) -> None:
    rows = made_events(3000)

    async def work(connection: NatsConnection) -> None:
        await publish(connection, rows[:1500])
        reader = Intake(connection, 0)
        taken = await take(reader, 1500)
        for name in (await js(connection, "CONSUMER.NAMES.RUNLORE"))["consumers"]:
            assert "error" not in await js(connection, f"CONSUMER.DELETE.RUNLORE.{name}")
        await publish(connection, rows[1500:])
        taken += await take(reader, 3000)
        assert positions(taken) == list(range(1, 3001))
        assert reader.take_restarts() >= 1
        assert reader.take_restarts() == 0

    with_nats(open_stream, work)


def test_a_silent_consumer_is_replaced(stream: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "SILENCE", 0.5)
    monkeypatch.setattr(intake, "HEARTBEAT", 0.2)
    rows = made_events(20)

    async def work(connection: NatsConnection) -> None:
        await publish(connection, rows[:10])
        reader = Intake(connection, 0)
        taken = await take(reader, 10)
        assert reader._pull is not None
        assert reader._pull._subscription is not None
        await reader._pull._subscription.unsubscribe()  # nothing arrives any more, and nothing says so
        await publish(connection, rows[10:])
        taken += await take(reader, 20)
        assert positions(taken) == list(range(1, 21))

    with_nats(stream, work)


def test_a_skipped_message_is_asked_for_again(stream: Settings) -> None:
    publish_all(stream, made_events(100))

    async def work(connection: NatsConnection) -> None:
        reader = Intake(connection, 0)
        receive, skipped = reader._receive, []

        def skip_once(row: Received, pending: int) -> None:
            if row.position == 40 and not skipped:
                skipped.append(row)
            else:
                receive(row, pending)

        reader._receive = skip_once  # type: ignore[method-assign]
        assert positions(await take(reader, 100)) == list(range(1, 101))
        assert len(skipped) == 1

    with_nats(stream, work)


def test_a_hole_that_the_stream_confirms_is_reported_and_skipped(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):

        async def work(connection: NatsConnection) -> None:
            await js(connection, "STREAM.CREATE.RUNLORE", {"name": "RUNLORE", "subjects": ["runlore.>"]})
            await publish(connection, made_events(100))
            for sequence in (1, 2, 50, 51, 52):
                await js(connection, "STREAM.MSG.DELETE.RUNLORE", {"seq": sequence})
            taken = await take(Intake(connection, 0), 100)
            gaps = [item for item in taken if isinstance(item, Gap)]
            assert [(gap.first, gap.last) for gap in gaps] == [(1, 2), (50, 52)]
            assert positions(taken) == [*range(3, 50), *range(53, 101)]

        with_nats(settings, work)


def test_a_lost_server_is_an_error_and_not_an_empty_batch(stream: Settings, server: EmbeddedServer) -> None:
    async def work() -> None:
        async with connected(stream) as connection:
            reader = Intake(connection, 0)
            waiting = asyncio.create_task(reader.batch())
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.stop)
            with pytest.raises(ServerUnavailableError):
                async with asyncio.timeout(PATIENCE):
                    await waiting

    asyncio.run(work())


def test_an_interrupt_ends_the_waiting(stream: Settings) -> None:
    async def work(connection: NatsConnection) -> None:
        reader = Intake(connection, 0)
        asyncio.get_running_loop().call_later(0.1, reader.interrupt)
        async with asyncio.timeout(PATIENCE):
            assert await reader.batch() == []

    with_nats(stream, work)
