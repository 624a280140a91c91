"""Emitting, receipts and flushing, in one process with a real server."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time

import pytest
from interrupting import stored
from log_tools import logged, make_stream, outbox_files, read_headers, read_stream, until

import runlore.producer
from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer, Receipt, configure, drain, log_metadata, outbox_status
from runlore.schemas import (
    EntityRef,
    EventTooLargeError,
    InvalidReferenceError,
    MetadataLogged,
    MetadataTypeError,
    MissingContextError,
    NotSentError,
    OutboxError,
    ReceiptTimeoutError,
    Settings,
    StepStarted,
    read_settings,
)
from runlore.schemas.subjects import cloudevents_headers, event_headers
from runlore.store.folder import DataDir


def fact(**metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), metadata)


@pytest.fixture
def stream(server: EmbeddedServer, settings: Settings) -> Settings:
    make_stream(settings)
    return settings


def test_a_receipt_gives_the_position_on_the_stream(stream: Settings) -> None:
    with Producer() as producer:
        receipts = [producer.emit_nowait(fact(n=number)) for number in range(2500)]
        assert producer.flush(90) == (0, 0)
        positions = [receipt.wait(1) for receipt in receipts]
    found = {event.id: position for position, event in read_stream(stream)}
    assert positions == [found[receipt.event_id] for receipt in receipts]
    assert logged(stream) == list(range(2500))


def test_two_producers_interleave_and_each_receipt_is_right(stream: Settings) -> None:
    with Producer() as one, Producer() as two:
        receipts: list[Receipt] = []
        for number in range(600):
            receipts.append((one if number % 2 else two).emit_nowait(fact(n=number)))
            if number % 100 == 0:
                time.sleep(0.01)
        positions = [receipt.wait(90) for receipt in receipts]
    found = {event.id: position for position, event in read_stream(stream)}
    assert positions == [found[receipt.event_id] for receipt in receipts]


def test_sequence_numbers_of_a_producer_are_in_order_without_gaps(stream: Settings) -> None:
    with Producer() as producer:

        def emit() -> None:
            for number in range(300):
                producer.emit_nowait(fact(n=number))

        threads = [threading.Thread(target=emit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert producer.flush(90).unsent == 0
    assert [event.producer_seq for _, event in read_stream(stream)] == list(range(1, 1201))


def test_the_async_producer_emits_and_its_receipts_can_be_awaited(stream: Settings) -> None:
    async def work() -> list[int]:
        async with Producer() as producer:
            receipts = [await producer.emit(fact(n=number), run="r1", step="s1") for number in range(10)]
            return list(await asyncio.gather(*(receipt.wait_async(10) for receipt in receipts)))

    assert asyncio.run(work()) == list(range(1, 11))
    assert {(event.run, event.step) for _, event in read_stream(stream)} == {("r1", "s1")}


BATCH_HEADERS = ("Nats-Batch-", "Nats-Expected-Stream")


@pytest.mark.parametrize("cloudevents", [False, True])
def test_every_message_of_a_batch_has_the_headers_of_its_event(
    stream: Settings, monkeypatch: pytest.MonkeyPatch, cloudevents: bool
) -> None:
    monkeypatch.setenv("RUNLORE_CLOUDEVENTS", "on" if cloudevents else "off")
    with Producer(mode="offline", project="a b") as producer:
        for number in range(200):
            producer.emit_nowait(fact(n=number, text="\r\n" * number))
    assert drain(read_settings(), 90).sent == 200
    for event, headers in zip([event for _, event in read_stream(stream)], read_headers(stream), strict=True):
        expected = event_headers(event.id)
        if cloudevents:
            expected |= cloudevents_headers(event.id, "metadata_logged", "a b", event.occurred_at)
        assert {name: text for name, text in headers.items() if not name.startswith(BATCH_HEADERS)} == expected


def test_a_clean_end_leaves_no_file_when_nothing_is_kept_for_the_archive(stream: Settings) -> None:
    with Producer(confirm="never") as producer:
        producer.emit_nowait(fact(n=1))
        assert len(outbox_files(stream)) == 1
    assert list((stream.data_dir / "outbox").iterdir()) == []


def test_a_closed_producer_opens_a_new_outbox_for_the_next_event(stream: Settings) -> None:
    producer = Producer()
    producer.emit_nowait(fact(n=1))
    producer.close()
    producer.emit_nowait(fact(n=2)).wait(90)
    producer.close()
    assert logged(stream) == [1, 2]


def test_a_parked_relay_wakes_for_the_next_event(stream: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runlore.producer.relay.LINGER_SECONDS", 0.0)
    monkeypatch.setattr("runlore.producer.relay.ADOPT_SECONDS", 3600.0)  # whoever slept until then would hang
    with Producer() as producer:
        producer.emit_nowait(fact(n=0)).wait(90)
        assert producer.session
        relay = producer.session.relay
        assert relay
        for number in range(1, 20):
            until(lambda: relay.parked)
            producer.emit_nowait(fact(n=number)).wait(90)
    assert logged(stream) == list(range(20))


def test_bad_input_raises_and_stores_nothing(settings: Settings) -> None:
    with Producer(mode="offline", max_event_bytes=2000) as producer:
        producer.emit_nowait(fact(n=1))
        with pytest.raises(MetadataTypeError, match=r"g\.bad"):
            producer.emit_nowait(fact(n=2, g={"bad": object()}))
        with pytest.raises(EventTooLargeError) as caught:
            producer.emit_nowait(fact(small=1, large="x" * 3000, middle="x" * 100))
        assert [key for key, _ in caught.value.largest] == ["large", "middle", "small"]
        with pytest.raises(MissingContextError):
            producer.emit_nowait(MetadataLogged((), {"a": 1}))
        with pytest.raises(MissingContextError, match="run="):
            producer.emit_nowait(StepStarted())
        with pytest.raises(InvalidReferenceError):
            producer.emit_nowait(fact(n=1), run="")
        assert producer.emit_nowait(fact(n=3)) is not None
        assert producer.flush() == (2, 0)  # numbers were not used up: no gap


def test_offline_mode_fills_the_outbox_and_an_online_process_sends_it(
    server: EmbeddedServer, settings: Settings, data: DataDir
) -> None:
    make_stream(settings)
    others = set(threading.enumerate())  # what an earlier test of this process left
    with Producer(mode="offline") as producer:
        receipt = producer.emit_nowait(fact(n=1))
        with pytest.raises(NotSentError, match="offline"):
            receipt.wait(1)
        assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "runlore-relay"]
    assert [(status.waiting, status.alive) for status in outbox_status(data)] == [(1, False)]
    with Producer() as online:
        online.emit_nowait(fact(n=2))
    assert sorted(logged(settings)) == [1, 2]
    assert outbox_files(settings) == []


def test_every_event_has_a_salt_of_its_own_so_that_its_hash_does_not_give_its_value_away(settings: Settings) -> None:
    with Producer(mode="offline") as producer:
        for _ in range(3):
            producer.emit_nowait(fact(approved=True))
    salts = {event.salt for event in stored(settings)}
    assert len(salts) == 3
    assert {len(salt) for salt in salts} == {16}


def test_disabled_mode_checks_values_and_stores_nothing(settings: Settings) -> None:
    configure(mode="disabled", max_event_bytes=1000)
    receipt = log_metadata({"n": 1}, "model:churn")
    with pytest.raises(NotSentError):
        receipt.wait(0)
    with pytest.raises(MetadataTypeError):
        log_metadata({"n": object()}, "model:churn")
    with pytest.raises(EventTooLargeError):
        log_metadata({"n": "x" * 2000}, "model:churn")
    assert not settings.data_dir.exists()


def test_a_receipt_pickles_down_to_its_event_id(settings: Settings) -> None:
    with Producer(mode="offline") as producer:
        receipt = producer.emit_nowait(fact(n=1))
    copy = pickle.loads(pickle.dumps(receipt))
    assert copy.event_id == receipt.event_id
    with pytest.raises(NotSentError):
        copy.wait(0)


def test_waiting_without_a_server_times_out_and_says_so(settings: Settings) -> None:
    with Producer() as producer:
        receipt = producer.emit_nowait(fact(n=1))
        with pytest.raises(ReceiptTimeoutError, match=receipt.event_id):
            receipt.wait(0.05)
        with pytest.raises(ReceiptTimeoutError):
            asyncio.run(receipt.wait_async(0.05))
        assert producer.flush(0.05) == (1, 0)
    with pytest.raises(NotSentError, match="outbox"):
        receipt.wait(90)


def test_an_unwritable_folder_says_what_to_do(tmp_path: object, settings: Settings) -> None:
    settings.data_dir.parent.mkdir(exist_ok=True)
    settings.data_dir.write_text("a file where the folder should be")
    with pytest.raises(OutboxError, match="RUNLORE_DATA_DIR"):
        Producer().emit_nowait(fact(n=1))


def test_configure_replaces_the_producer_and_keeps_what_was_logged(stream: Settings) -> None:
    configure(project="one")
    log_metadata({"n": 1}, "model:churn")
    configure(project="two")
    log_metadata({"n": 2}, "model:churn").wait(90)
    assert [(event.project, event.fact.metadata["n"]) for _, event in read_stream(stream)] == [("one", 1), ("two", 2)]  # type: ignore[union-attr]
    with pytest.raises(TypeError, match="colour"):
        configure(colour="red")
    configure(mode="disabled")


def test_the_public_names_are_these() -> None:
    assert sorted(runlore.producer.__all__) == sorted(
        [
            "ArtifactConfig",
            "DrainReport",
            "FlushReport",
            "Model",
            "OutboxKeeper",
            "OutboxStatus",
            "Producer",
            "Receipt",
            "add_note",
            "add_tags",
            "bulk_log_metadata",
            "configure",
            "current_entity",
            "default_producer",
            "describe_run",
            "drain",
            "flush",
            "get_step_context",
            "in_context",
            "log_artifact_metadata",
            "log_metadata",
            "log_model_metadata",
            "log_run_metadata",
            "log_step_metadata",
            "outbox_status",
            "pipeline",
            "redact_parameters",
            "remove_tags",
            "retract_metadata",
            "run_context",
            "set_model_stage",
            "start_run",
            "start_step",
            "step",
            "step_context",
            "use_artifact",
        ]
    )
    assert all(hasattr(runlore.producer, name) for name in runlore.producer.__all__)
