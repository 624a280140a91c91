"""Which acknowledgements count: those of the stream that Runlore reads, and no other's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_tools import ask, connected, logged, make_stream, waiting
from open_servers import OpenServer, open_server, until

from runlore.producer import Producer
from runlore.projector.service import Projector
from runlore.schemas import EntityRef, MetadataLogged, ReceiptTimeoutError, Settings, read_settings

EVENTS = {"name": "EVENTS", "subjects": ["runlore.>"], "allow_atomic": True}


def fact(**metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), metadata)


def warnings(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.message for record in caplog.records if text in record.message]


@pytest.mark.parametrize("count", [1, 40])
def test_a_stream_of_another_name_gets_nothing_and_is_named_once(
    count: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_server(tmp_path) as (_, settings), Producer(settings) as producer:
        ask(settings, "STREAM.CREATE.EVENTS", EVENTS)
        receipts = [producer.emit_nowait(fact(n=number)) for number in range(count)]
        until(lambda: warnings(caplog, "EVENTS takes runlore.>"))
        with pytest.raises(ReceiptTimeoutError):
            receipts[-1].wait(3)
        assert len(warnings(caplog, "EVENTS takes runlore.>")) == 1
        assert waiting(settings) == count
        assert ask(settings, "STREAM.INFO.EVENTS")["state"]["messages"] == 0
        ask(settings, "STREAM.DELETE.EVENTS")
        make_stream(settings)
        assert [receipt.wait(90) for receipt in receipts] == list(range(1, count + 1))


@pytest.mark.parametrize("count", [1, 40])
def test_where_nobody_may_ask_for_the_stream_another_one_still_takes_nothing(
    count: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.sender.ACK_SECONDS", 0.5)
    users = """authorization { users: [ { user: admin, password: pw }, { user: step, password: pw,
        permissions: { publish: ["runlore.>"], subscribe: ["_INBOX.>"] } } ] }"""
    with open_server(tmp_path, extra=users) as (_, plain):
        admin = read_settings(url=str(plain.url).replace("nats://", "nats://admin:pw@"))
        step = read_settings(url=str(plain.url).replace("nats://", "nats://step:pw@"))
        ask(admin, "STREAM.CREATE.EVENTS", EVENTS)
        with Producer(step) as producer:
            receipts = [producer.emit_nowait(fact(n=number)) for number in range(count)]
            until(lambda: warnings(caplog, "the stream EVENTS answers for RUNLORE"))
            assert waiting(step) == count
            assert ask(admin, "STREAM.INFO.EVENTS")["state"]["messages"] == 0
            ask(admin, "STREAM.DELETE.EVENTS")
            make_stream(admin)
            assert [receipt.wait(90) for receipt in receipts] == list(range(1, count + 1))
        assert len(warnings(caplog, "the stream EVENTS answers for RUNLORE")) == 1


def test_a_stream_of_our_name_that_runlore_did_not_make_gets_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_server(tmp_path) as (_, settings):
        ask(settings, "STREAM.CREATE.RUNLORE", EVENTS | {"name": "RUNLORE"})
        with Producer(settings) as producer:
            producer.emit_nowait(fact(n=1))
            until(lambda: warnings(caplog, "was not made by Runlore"))
            assert waiting(settings) == 1
            assert ask(settings, "STREAM.INFO.RUNLORE")["state"]["messages"] == 0
            assert producer.session
            producer.session.close()


def test_a_server_without_a_stream_is_told_once_when_it_lasts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.sending.warnings.FIRST_NO_STREAM_SECONDS", 0.5)
    with open_server(tmp_path) as (_, settings), Producer(settings) as producer:
        receipt = producer.emit_nowait(fact(n=1))
        until(lambda: warnings(caplog, "the server has no stream RUNLORE"))
        with pytest.raises(ReceiptTimeoutError):
            receipt.wait(3)
        assert len(warnings(caplog, "the server has no stream RUNLORE")) == 1
        make_stream(settings)
        assert receipt.wait(90) == 1


@contextlib.contextmanager
def hub_and_leaf(tmp_path: Path) -> Iterator[tuple[Settings, Settings]]:
    """Two servers with JetStream domains of their own, the second a leaf node of the first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def jetstream(name: str) -> str:
        return f'server_name: {name}\njetstream {{ store_dir: "{tmp_path}/{name}/js", domain: {name} }}\n'

    listen = f"leafnodes {{ host: 127.0.0.1, port: {port} }}"
    hub = OpenServer(tmp_path / "hub", jetstream=False, extra=jetstream("hub") + listen)
    remote = f'leafnodes {{ remotes: [ {{ url: "nats://127.0.0.1:{port}" }} ] }}'
    leaf = OpenServer(tmp_path / "leaf", jetstream=False, extra=jetstream("leaf") + remote)
    try:
        at_hub = read_settings(url=hub.start(), data_dir=tmp_path / "hub-data")
        at_leaf = read_settings(url=leaf.start(), data_dir=tmp_path / "leaf-data")
        yield at_hub, at_leaf
    finally:
        leaf.kill()
        hub.kill()


def twins(at_hub: Settings, at_leaf: Settings, behind: int) -> None:
    """A stream RUNLORE in each domain; the leaf's is ahead by some events and takes what is published at the hub too."""
    make_stream(at_leaf)

    async def fill() -> None:
        async with connected(at_leaf) as connection:
            for number in range(behind):
                await connection.request(f"runlore.filler.{number}", b"", timeout=90)

    asyncio.run(fill())
    make_stream(at_hub)

    async def both_answer() -> bool:
        async with connected(at_hub) as connection:
            inbox = connection.new_inbox()
            answers = await connection.subscribe(inbox)
            await connection.publish("runlore.probe", b"", inbox, headers={"Nats-Expected-Stream": "NONE"})
            with contextlib.suppress(TimeoutError):
                for _ in range(2):
                    await answers.next_msg(1)
                return True
            return False

    until(lambda: asyncio.run(both_answer()))


@pytest.mark.parametrize("count", [1, 40])
def test_a_stream_of_our_name_in_another_domain_does_not_acknowledge_for_ours(count: int, tmp_path: Path) -> None:
    with hub_and_leaf(tmp_path) as (at_hub, at_leaf):
        twins(at_hub, at_leaf, behind=1000)
        for settings, first in ((at_hub, 1), (at_leaf, 1001 + count)):
            with Producer(settings) as producer:
                receipts = [producer.emit_nowait(fact(n=number)) for number in range(count)]
                positions = [receipt.wait(90) for receipt in receipts]
            assert positions == list(range(first, first + count))
        assert logged(at_hub) == [*range(count), *range(count)]


def test_another_domains_stream_alone_gets_no_event_out_of_the_outbox(tmp_path: Path) -> None:
    with hub_and_leaf(tmp_path) as (at_hub, at_leaf):
        make_stream(at_leaf)
        with Producer(at_hub) as producer:
            receipt = producer.emit_nowait(fact(n=1))
            with pytest.raises(ReceiptTimeoutError):
                receipt.wait(3)
            assert waiting(at_hub) == 1
            make_stream(at_hub)
            assert receipt.wait(90) == 1


def test_at_a_leaf_node_the_stream_that_is_archived_counts_and_not_a_namesake_there(tmp_path: Path) -> None:
    with hub_and_leaf(tmp_path) as (at_hub, at_leaf):
        projector = Projector(at_hub)
        thread = threading.Thread(target=projector.run)
        thread.start()
        try:
            until(lambda: projector.state.connected)
            ask(at_leaf, "STREAM.CREATE.RUNLORE", EVENTS | {"name": "RUNLORE"})  # not of Runlore's making
            with Producer(at_leaf) as producer:
                receipts = [producer.emit_nowait(fact(n=number)) for number in range(40)]
                assert producer.flush(90).unsent == 0
                assert {receipt.wait(1) for receipt in receipts} == set(range(1, 41))
            assert logged(at_hub) == list(range(40))
        finally:
            projector.stop()
            thread.join(90)
