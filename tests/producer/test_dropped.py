"""Producers that nobody closes: they are dropped, or the process ends."""

from __future__ import annotations

import gc

import pytest
from log_tools import logged, make_stream, outbox_files, relays, run_python, until

from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer
from runlore.schemas import EntityRef, MetadataLogged, Settings
from runlore.store.folder import DataDir


def fact(number: int) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), {"n": number})


@pytest.fixture
def stream(server: EmbeddedServer, settings: Settings) -> Settings:
    make_stream(settings)
    return settings


def test_a_dropped_producer_sends_what_it_has_and_leaves_no_thread_and_no_file(stream: Settings) -> None:
    before = set(relays())
    for number in range(5):
        Producer(confirm="never").emit_nowait(fact(number))
    gc.collect()
    until(lambda: not set(relays()) - before)
    assert sorted(logged(stream)) == list(range(5))
    assert outbox_files(stream) == []


def test_a_receipt_outlives_its_producer(stream: Settings) -> None:
    assert Producer().emit_nowait(fact(1)).wait(90) == 1


def test_a_dropped_producer_waits_for_a_server_that_is_away(server: EmbeddedServer, stream: Settings) -> None:
    server.close()
    before = set(relays())
    receipt = Producer(confirm="never").emit_nowait(fact(1))
    gc.collect()
    again = EmbeddedServer(DataDir(stream.data_dir))
    again.start()
    try:
        assert receipt.wait(90) == 1
        until(lambda: not set(relays()) - before)
    finally:
        again.close()


def test_a_process_that_drops_its_producer_and_ends_has_sent_everything(stream: Settings) -> None:
    code = """
        from runlore.producer import Producer
        from runlore.schemas import EntityRef, MetadataLogged
        for number in range(3):
            Producer(confirm="never").emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": number}))
    """
    assert run_python(code).returncode == 0
    assert sorted(logged(stream)) == [0, 1, 2]


def test_an_offline_producer_that_is_dropped_leaves_its_events_for_the_next(stream: Settings) -> None:
    Producer(mode="offline").emit_nowait(fact(1))
    gc.collect()
    with Producer(confirm="never") as producer:
        producer.emit_nowait(fact(2))
    assert sorted(logged(stream)) == [1, 2]


def test_a_producer_with_wrong_settings_can_be_dropped() -> None:
    with pytest.raises(TypeError):
        Producer(no_such_setting=1)
    gc.collect()
