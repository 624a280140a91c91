"""For which stream, server and project an outbox is, and who may send it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_tools import ask, logged, make_stream, old_outbox, outbox_files, waiting
from open_servers import OpenServer, open_server, until

from runlore.producer import OutboxKeeper, Producer, drain, outbox_status
from runlore.producer.outboxes.look import rows_of
from runlore.schemas import EntityRef, MetadataLogged, ReceiptTimeoutError, Settings, read_settings
from runlore.schemas.subjects import EPOCH_KEY, FORMER_EPOCHS_KEY
from runlore.store.folder import DataDir
from runlore.store.private_files import write_struct
from runlore.store.records import ArchivedStream, ProjectorStatus


def fact(**metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), metadata)


def warnings(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.message for record in caplog.records if text in record.message]


def left_behind(settings: Settings, *numbers: int) -> None:
    """An outbox of an ended process, made for this server and not sent."""
    with Producer(settings, mode="offline") as producer:
        for number in numbers:
            producer.emit_nowait(fact(n=number))


def make_anew(settings: Settings) -> None:
    ask(settings, "STREAM.DELETE.RUNLORE")
    make_stream(settings)


def test_events_wait_when_the_stream_is_made_anew_beneath_a_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_server(tmp_path) as (_, settings), Producer(settings) as producer:
        make_stream(settings)
        for number in range(20):
            producer.emit_nowait(fact(n=number))
        assert producer.flush(90).unsent == 0
        make_anew(settings)
        with pytest.raises(ReceiptTimeoutError):
            producer.emit_nowait(fact(n=20)).wait(3)
        assert len(warnings(caplog, "made anew")) == 1
        assert "runlore stream restore" in warnings(caplog, "made anew")[0]
        assert waiting(settings) == 1
        assert producer.session
        producer.session.close()


def test_an_outbox_waits_for_its_stream_and_goes_to_the_new_one_only_when_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_server(tmp_path) as (server, settings):
        make_stream(settings)
        with Producer(settings, flush_timeout=0.0) as producer:
            producer.emit_nowait(fact(n=1)).wait(90)
            server.kill()
            producer.emit_nowait(fact(n=2))
        server.start()
        make_anew(settings)
        assert drain(settings, 3).unsent == 1
        assert warnings(caplog, "a stream that was replaced")
        assert logged(settings) == []
        with Producer(settings) as other:  # a new process starts with the new stream
            other.emit_nowait(fact(n=3)).wait(90)
        assert waiting(settings) == 1
        assert drain(settings, 90, take_over=True).unsent == 0
        assert sorted(logged(settings)) == [1, 2, 3]  # the first was acknowledged by a stream that is gone


def test_a_folder_whose_archive_is_of_another_stream_sends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: DataDir
) -> None:
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        data.projection.mkdir(parents=True)
        assert settings.url
        write_struct(data.archived_stream, ArchivedStream(str(uuid.uuid4()), settings.url.partition("//")[2]))
        with Producer(settings) as producer:
            receipt = producer.emit_nowait(fact(n=1))
            until(lambda: warnings(caplog, "made anew"))
            assert (waiting(settings), logged(settings)) == (1, [])
            data.archived_stream.unlink()
            assert receipt.wait(90) == 1


def test_a_stream_that_lost_what_the_folder_has_archived_gets_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: DataDir
) -> None:
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        epoch = ask(settings, "STREAM.INFO.RUNLORE")["config"]["metadata"]["runlore.epoch"]
        data.projection.mkdir(parents=True)
        assert settings.url
        write_struct(data.archived_stream, ArchivedStream(epoch, settings.url.partition("//")[2]))
        status = {"pid": 1, "http": "", "connected": False, "stream_last": 5, "folded": 5, "quarantined": 0}
        write_struct(data.status, ProjectorStatus(archived=5, updated=0.0, **status))  # type: ignore[arg-type]
        with Producer(settings, flush_timeout=0.0) as producer:
            producer.emit_nowait(fact(n=1))
            until(lambda: warnings(caplog, "lost its tail: it ends at position 0, log.db at 5"))
        assert (waiting(settings), logged(settings)) == (1, [])


@pytest.fixture
def two_servers(tmp_path: Path) -> Iterator[tuple[Settings, Settings]]:
    """Two servers, each with a stream, and settings of one folder for either."""
    servers = OpenServer(tmp_path / "one"), OpenServer(tmp_path / "two")
    try:
        first, second = (read_settings(url=server.start()) for server in servers)
        make_stream(first)
        make_stream(second)
        yield first, second
    finally:
        for server in servers:
            server.kill()


def test_an_outbox_for_one_server_is_left_alone_by_those_who_use_another(
    two_servers: tuple[Settings, Settings], data: DataDir
) -> None:
    first, second = two_servers
    left_behind(first, 1)
    with Producer(second) as producer:
        producer.emit_nowait(fact(n=2))
    keeper = OutboxKeeper(second)
    keeper.start()
    assert keeper.wait_swept(90)
    keeper.stop()
    assert drain(second, 2).unsent == 1
    assert first.url
    assert [one.destination.server for one in outbox_status(data) if one.waiting] == [first.url.partition("//")[2]]
    assert (logged(first), logged(second)) == ([], [2])
    assert drain(first, 90).unsent == 0
    assert (logged(first), logged(second)) == ([1], [2])


def test_what_is_for_one_server_goes_to_another_when_told(two_servers: tuple[Settings, Settings]) -> None:
    first, second = two_servers
    left_behind(first, 1)
    assert drain(second, 90, take_over=True).unsent == 0
    assert (logged(first), logged(second)) == ([], [1])


def test_a_cluster_that_gained_an_address_is_the_same_server(two_servers: tuple[Settings, Settings]) -> None:
    first, _ = two_servers
    left_behind(first, 1)
    assert drain(read_settings(url=f"nats://127.0.0.1:1,{first.url}"), 90).unsent == 0
    assert logged(first) == [1]


def test_a_process_leaves_other_projects_to_those_who_look_after_the_folder(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        left_behind(read_settings(url=settings.url, project="churn"), 1)
        with Producer(settings) as producer:
            producer.emit_nowait(fact(n=2))
        assert logged(settings) == [2]
        assert drain(settings, 90).unsent == 0
        assert logged(settings) == [2, 1]


def test_who_may_not_send_another_projects_events_lets_them_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: DataDir
) -> None:
    users = """authorization { users: [ { user: admin, password: pw }, { user: step, password: pw,
        permissions: { publish: ["runlore.default.>", "$JS.API.>", "runlore_archive.>"] } } ] }"""
    with open_server(tmp_path, extra=users) as (_, plain):
        admin = read_settings(url=str(plain.url).replace("nats://", "nats://admin:pw@"))
        step = read_settings(url=str(plain.url).replace("nats://", "nats://step:pw@"))
        make_stream(admin)
        left_behind(read_settings(url=step.url, project="churn"), 1)
        assert drain(step, 3).unsent == 1
        assert warnings(caplog, "may not send events of the project churn")
        assert [len(one.dead_letters) for one in outbox_status(data)] == [0]
        assert drain(admin, 90).unsent == 0
        assert logged(admin) == [1]


def test_an_outbox_of_an_older_version_is_sent_by_a_process_of_its_folder(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        left_behind(settings, 1, 2)
        (path,) = outbox_files(settings)
        old_outbox(path.with_suffix(".db"), rows_of(path), version=1)
        path.rename(tmp_path / path.name)
        assert [(one.waiting, one.kept, one.destination.server) for one in outbox_status(data)] == [(2, 0, None)]
        with Producer(settings) as producer:
            producer.emit_nowait(fact(n=3))
        assert sorted(logged(settings)) == [1, 2, 3]


def test_a_stream_that_goes_on_from_another_gets_what_waits_for_that_one(tmp_path: Path) -> None:
    with open_server(tmp_path) as (server, settings):
        make_stream(settings)
        with Producer(settings, flush_timeout=0.0) as producer:
            producer.emit_nowait(fact(n=1)).wait(90)
            server.kill()
            producer.emit_nowait(fact(n=2))
        server.start()
        config = ask(settings, "STREAM.INFO.RUNLORE")["config"]
        ask(settings, "STREAM.DELETE.RUNLORE")
        config["metadata"] = {FORMER_EPOCHS_KEY: f"x,{config['metadata'][EPOCH_KEY]}", EPOCH_KEY: "new"}
        ask(settings, "STREAM.CREATE.RUNLORE", config)
        assert drain(settings, 90).unsent == 0
        assert logged(settings) == [1, 2]
