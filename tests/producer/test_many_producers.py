"""Many producers at once: a server without room for a batch delays that batch, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_tools import (
    ask,
    connected,
    logged,
    make_stream,
    outbox_files,
    read_headers,
    read_stream,
    start_python,
    until,
)
from open_servers import open_server

from runlore.cli.server import EmbeddedServer
from runlore.producer import OutboxKeeper, Producer, drain
from runlore.producer.outboxes.look import rows_of
from runlore.producer.outboxes.rows import Row
from runlore.schemas import EntityRef, MetadataLogged, Settings
from runlore.schemas.codec import decode_head
from runlore.schemas.subjects import EPOCH_KEY

ROOM = 2
"""Batches that the small server lets be open."""


def fact(**metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), metadata)


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[Settings]:
    limits = f"limits: {{ batch: {{ max_inflight_per_stream: {ROOM}, max_msgs: 300 }} }}"
    jetstream = f'jetstream {{ store_dir: "{tmp_path}/store", {limits} }}'
    with open_server(tmp_path, jetstream=False, extra=jetstream) as (_, settings):
        make_stream(settings)
        yield settings


@contextlib.contextmanager
def no_room(settings: Settings, seconds: float) -> Iterator[None]:
    """All batches of the server are open; after some time they are finished, each with two events of no one's."""
    opened = threading.Event()

    async def work() -> None:
        async with connected(settings) as connection:

            async def send(sequence: int, **headers: str) -> None:
                for number in range(ROOM):
                    names = {"Nats-Batch-Id": f"b{number}", "Nats-Batch-Sequence": str(sequence)}
                    answer = await connection.request("runlore.x", b"", timeout=90, headers=names | headers)
                    assert b"error" not in answer.data

            await send(1)
            opened.set()
            await asyncio.sleep(seconds)
            await send(2, **{"Nats-Batch-Commit": "1"})

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    assert opened.wait(90)
    try:
        yield
    finally:
        thread.join(90)


def log_offline(settings: Settings, count: int) -> list[Row]:
    """Rows of an outbox that a process has left."""
    with Producer(settings, mode="offline") as offline:
        for number in range(count):
            offline.emit_nowait(fact(n=number))
    (path,) = outbox_files(settings)
    return list(rows_of(path))


def publish(settings: Settings, rows: list[Row]) -> None:
    """Store rows as if an earlier relay had sent them."""

    async def work() -> None:
        async with connected(settings) as connection:
            for row in rows:
                names = {"Nats-Msg-Id": decode_head(row.payload).id}
                await connection.request(row.subject, row.payload, timeout=90, headers=names)

    asyncio.run(work())


def in_batches(settings: Settings) -> int:
    """Events of ours that came in a batch."""
    return sum("Nats-Batch-Id" in headers for headers in read_headers(settings) if "Nats-Msg-Id" in headers)


def test_a_batch_without_room_is_sent_again_as_a_batch(small_server: Settings) -> None:
    log_offline(small_server, 250)
    with no_room(small_server, 0.5):
        assert drain(small_server, 90).unsent == 0
    assert in_batches(small_server) == 250


def test_without_room_for_long_some_events_go_alone_and_the_next_ones_in_batches(
    small_server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.sending.pace.BUSY_SECONDS", 0.1)
    log_offline(small_server, 250)
    with no_room(small_server, 0.7):
        assert drain(small_server, 90).unsent == 0
    assert in_batches(small_server) < 250
    log_offline(small_server, 200)
    assert drain(small_server, 90).unsent == 0
    assert in_batches(small_server) >= 200


def test_a_server_with_smaller_batches_gets_those(small_server: Settings) -> None:
    log_offline(small_server, 1000)
    assert drain(small_server, 90).unsent == 0
    assert logged(small_server) == list(range(1000))
    assert in_batches(small_server) == 1000


@pytest.mark.parametrize(
    "stored", [range(120), range(50), [0], [5, 6, 70], [*range(30), 60], [119]], ids=lambda which: f"{len(which)}"
)
def test_of_a_batch_with_duplicates_only_what_is_stored_counts_as_stored(
    stored: range | list[int], server: EmbeddedServer, settings: Settings
) -> None:
    make_stream(settings)
    rows = log_offline(settings, 120)
    publish(settings, [rows[number] for number in stored])
    assert drain(settings, 90) == (120, 0, 0)
    assert logged(settings) == [*stored, *(number for number in range(120) if number not in stored)]


def test_receipts_of_events_whose_acknowledgement_was_lost_have_their_positions(
    server: EmbeddedServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.sender.ACK_SECONDS", 0.2)
    make_stream(settings)
    assert server.pid
    with Producer(settings) as producer:
        receipts = [producer.emit_nowait(fact(n=0))]
        receipts[0].wait(90)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            receipts += [producer.emit_nowait(fact(n=number)) for number in range(1, 400)]
            time.sleep(0.5)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        found = {receipt.event_id: receipt.wait(90) for receipt in receipts}
    assert found == {event.id: position for position, event in read_stream(settings)}


def test_events_that_the_stream_refuses_hold_up_no_other_outbox(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        once = {"subjects": ["runlore.>"], "discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 1}
        ask(settings, "STREAM.CREATE.RUNLORE", {"name": "RUNLORE", "metadata": {EPOCH_KEY: "epoch-1"}, **once})
        log_offline(settings, 2)  # the second one about the same model is refused, for ever
        with Producer(settings, mode="offline") as offline:
            offline.emit_nowait(MetadataLogged((EntityRef("model", "other"),), {"n": 5}))
        keeper = OutboxKeeper(settings)
        keeper.start()
        try:
            until(lambda: sorted(logged(settings)) == [0, 5])
        finally:
            keeper.stop()


MANY = """
import sys
from runlore.producer import Producer
from runlore.schemas import EntityRef, MetadataLogged
producers = [Producer() for _ in range(50)]
fact = MetadataLogged((EntityRef("model", "churn"),), {"text": "x" * 300})
for _ in range(5):
    receipts = [producer.emit_nowait(fact) for producer in producers for _ in range(20)]
    for receipt in receipts:
        receipt.wait(90)
for producer in producers:
    producer.close()
"""


@pytest.mark.slow
def test_a_thousand_small_batches_of_two_hundred_producers_lose_nothing_and_stay_batches(
    server: EmbeddedServer, settings: Settings
) -> None:
    make_stream(settings)
    processes = [start_python(MANY) for _ in range(4)]
    assert [process.wait(170) for process in processes] == [0] * 4
    for process in processes:
        assert process.stdout
        process.stdout.close()
    events = [event for _, event in read_stream(settings)]
    assert len({event.id for event in events}) == len(events) == 4 * 50 * 5 * 20
    assert in_batches(settings) > len(events) / 2
