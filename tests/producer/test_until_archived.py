"""Events stay in the outbox until they are archived, and are sent again when the stream lost them before."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from log_tools import ask, kept, logged, make_stream, read_stream, run_python, waiting
from open_servers import OpenServer, open_server, until

from runlore.cli.stack import EmbeddedStack
from runlore.producer import OutboxKeeper, Producer, drain
from runlore.producer.outboxes.outbox import outbox_paths
from runlore.projector import ArchiveReader
from runlore.projector.service import Projector
from runlore.schemas import EntityRef, MetadataLogged, NotFoundError, Settings, read_settings
from runlore.schemas.codec import decode_event
from runlore.store.folder import DataDir
from tests.oracle import assert_nothing_lost_or_doubled


def fact(**metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), metadata)


def log_some(settings: Settings, numbers: range) -> None:
    """A process that logs and ends; the stream has everything then."""
    with Producer(settings) as producer:
        for number in numbers:
            producer.emit_nowait(fact(n=number))
        assert producer.flush(90).unsent == 0


@contextlib.contextmanager
def projecting(settings: Settings) -> Iterator[Projector]:
    projector = Projector(settings)
    thread = threading.Thread(target=projector.run)
    thread.start()
    try:
        yield projector
    finally:
        projector.stop()
        thread.join(90)
        assert not thread.is_alive()


@contextlib.contextmanager
def keeping(settings: Settings) -> Iterator[None]:
    keeper = OutboxKeeper(settings)
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()


def archived(settings: Settings) -> list[Any]:
    """What was logged under `n`, as log.db has it; second copies left out."""
    try:
        with contextlib.closing(ArchiveReader(DataDir(settings.data_dir).log)) as log:
            rows = log.read(0, 10_000)
    except NotFoundError:
        return []  # nothing yet
    facts = [decode_event(row.payload).fact for row in rows if row.duplicate_of is None]
    return [fact.metadata["n"] for fact in facts if isinstance(fact, MetadataLogged)]


class Rollback:
    """A server whose disk goes back to an earlier state: what it acknowledged since is lost."""

    def __init__(self, server: OpenServer, root: Path) -> None:
        self._server, self._store, self._copy = server, root / "store", root / "store-before"

    def remember(self) -> None:
        self._server.kill()
        shutil.copytree(self._store, self._copy)
        self._server.start()

    def go_back(self) -> None:
        self._server.kill()
        shutil.rmtree(self._store)
        shutil.copytree(self._copy, self._store)
        self._server.start()


def test_events_stay_until_they_are_archived(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings), Producer(settings) as producer:
        make_stream(settings)
        for number in range(30):
            producer.emit_nowait(fact(n=number))
        assert producer.flush(90) == (0, 0)
        until(lambda: (waiting(settings), kept(settings)) == (0, 30))  # a moment after the flush has returned
        with projecting(settings):
            until(lambda: waiting(settings) + kept(settings) == 0)
            assert archived(settings) == list(range(30))
            producer.emit_nowait(fact(n=30)).wait(90)
            until(lambda: waiting(settings) + kept(settings) == 0)
    assert list(data.outboxes.iterdir()) == []


def test_a_process_that_ends_before_waits_for_no_archive_and_the_next_one_finishes(
    tmp_path: Path, data: DataDir
) -> None:
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        log_some(settings, range(10))
        assert (waiting(settings), kept(settings)) == (0, 10)
        with keeping(settings), projecting(settings):
            until(lambda: not list(data.outboxes.iterdir()))
        assert logged(settings) == list(range(10))
        log_some(settings, range(10, 20))
        with projecting(settings):
            log_some(settings, range(20, 21))
            assert drain(settings, 90) == (0, 0, 0)
            until(lambda: archived(settings) == list(range(21)))
        assert logged(settings) == list(range(21))


@pytest.mark.slow
def test_more_outboxes_than_are_kept_open_all_leave_in_the_end(
    tmp_path: Path, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.sending.adopted.FEW", 2)
    monkeypatch.setattr("runlore.producer.sending.adopted.LOOKS", 1)
    monkeypatch.setattr("runlore.producer.sending.adopted.REST_SECONDS", 0.5)
    monkeypatch.setattr("runlore.producer.relay.ADOPT_SECONDS", 0.2)
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        for number in range(6):
            log_some(read_settings(url=settings.url, project=f"p{number}"), range(number, number + 1))
        assert kept(settings) == 6
        with keeping(settings):
            until(lambda: sum("adopted" in lock.read_text() for lock in data.outboxes.glob("*.lock")) >= 2)
            with projecting(settings):
                until(lambda: not outbox_paths(data.outboxes))
        assert logged(settings) == list(range(6))


@pytest.mark.parametrize("setting", [{"confirm": "never"}, {"keep_bytes": 0}])
def test_where_it_is_switched_off_an_acknowledgement_is_enough(
    setting: dict[str, object], tmp_path: Path, data: DataDir
) -> None:
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        with Producer(url=settings.url, **setting) as producer:
            for number in range(10):
                producer.emit_nowait(fact(n=number))
            assert producer.flush(90).unsent == 0
            until(lambda: waiting(settings) + kept(settings) == 0)
        assert list(data.outboxes.iterdir()) == []


def test_a_running_process_sends_again_what_the_stream_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_server(tmp_path) as (server, settings), Producer(settings) as producer:
        make_stream(settings)
        rollback = Rollback(server, tmp_path / "nats")
        for number in range(500):
            producer.emit_nowait(fact(n=number))
        assert producer.flush(90).unsent == 0
        rollback.remember()
        for number in range(500, 1800):
            producer.emit_nowait(fact(n=number))
        assert producer.flush(90).unsent == 0
        rollback.go_back()
        receipt = producer.emit_nowait(fact(n=1800))
        receipt.wait(90)
        assert logged(settings) == list(range(1801))
        assert [record for record in caplog.records if "lost events after it had acknowledged" in record.message]


def test_what_an_ended_process_saw_acknowledged_is_sent_again_when_the_stream_lost_it(tmp_path: Path) -> None:
    with open_server(tmp_path) as (server, settings):
        make_stream(settings)
        rollback = Rollback(server, tmp_path / "nats")
        rollback.remember()
        log_some(settings, range(30))
        rollback.go_back()
        assert logged(settings) == []
        assert drain(settings, 90).unsent == 0
        assert logged(settings) == list(range(30))


def test_what_others_sent_since_a_connection_was_made_is_not_taken_for_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, data: DataDir
) -> None:
    monkeypatch.setattr("runlore.producer.relay.ADOPT_SECONDS", 0.2)
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        with keeping(settings):
            log_some(settings, range(30))
            until(lambda: any("adopted" in lock.read_text() for lock in data.outboxes.glob("*.lock")))
            with projecting(settings):
                until(lambda: not list(data.outboxes.iterdir()))
        assert not [record for record in caplog.records if "lost events" in record.message]


def test_lost_events_whose_positions_went_to_others_are_sent_again(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (server, settings):
        make_stream(settings)
        rollback = Rollback(server, tmp_path / "nats")
        log_some(settings, range(10))
        rollback.remember()
        log_some(settings, range(10, 20))
        rollback.go_back()
        elsewhere = read_settings(url=settings.url, data_dir=tmp_path / "elsewhere")
        log_some(elsewhere, range(20, 50))
        assert logged(settings) == [*range(10), *range(20, 50)]
        with projecting(settings):
            with keeping(settings):
                until(lambda: not list(data.outboxes.iterdir()))
            assert archived(settings) == [*range(10), *range(20, 50), *range(10, 20)]
            assert_nothing_lost_or_doubled(settings)


def test_a_hole_in_the_stream_is_filled_with_what_was_acknowledged_there(tmp_path: Path) -> None:
    with open_server(tmp_path) as (server, settings):
        make_stream(settings)
        log_some(settings, range(30))
        config = ask(settings, "STREAM.INFO.RUNLORE")["config"]
        ask(settings, "STREAM.UPDATE.RUNLORE", {**config, "deny_delete": False})
        ask(settings, "STREAM.MSG.DELETE.RUNLORE", {"seq": 12})
        ask(settings, "STREAM.UPDATE.RUNLORE", config)
        server.kill()  # a hole that comes from a damaged disk shows after a start, too
        server.start()
        with projecting(settings), keeping(settings):
            until(lambda: sorted(archived(settings)) == list(range(30)))
            assert_nothing_lost_or_doubled(settings, in_order=False)


def test_what_is_kept_is_bounded_by_bytes_and_by_age(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        make_stream(settings)
        with Producer(url=settings.url, keep_bytes=50_000) as producer:
            for number in range(30):
                producer.emit_nowait(fact(n=number, text="x" * 5000)).wait(90)
            until(lambda: 1 <= kept(settings) <= 10)
        aged = read_settings(url=settings.url, keep_seconds=0.02, data_dir=tmp_path / "aged")
        with Producer(aged) as producer:
            producer.emit_nowait(fact(n=-1)).wait(90)
            until(lambda: kept(aged) == 0)


def test_a_user_who_may_not_ask_the_archive_keeps_nothing(tmp_path: Path) -> None:
    users = """authorization { users: [ { user: admin, password: pw }, { user: step, password: pw,
        permissions: { publish: ["runlore.>", "$JS.API.STREAM.INFO.RUNLORE"] } } ] }"""
    with open_server(tmp_path, extra=users) as (_, plain):
        admin = read_settings(url=str(plain.url).replace("nats://", "nats://admin:pw@"))
        step = read_settings(url=str(plain.url).replace("nats://", "nats://step:pw@"))
        make_stream(admin)
        with Producer(step) as producer:
            producer.emit_nowait(fact(n=1)).wait(90)
            until(lambda: kept(step) == 0)
            producer.emit_nowait(fact(n=2)).wait(90)
        assert kept(step) == 0
        assert logged(admin) == [1, 2]


def test_a_user_who_may_not_ask_for_the_stream_learns_it_from_the_archive(tmp_path: Path, data: DataDir) -> None:
    users = """authorization { users: [ { user: admin, password: pw }, { user: step, password: pw,
        permissions: { publish: ["runlore.>", "runlore_archive.>", "runlore_archive"] } } ] }"""
    with open_server(tmp_path, extra=users) as (_, plain):
        admin = read_settings(url=str(plain.url).replace("nats://", "nats://admin:pw@"))
        step = read_settings(url=str(plain.url).replace("nats://", "nats://step:pw@"), data_dir=tmp_path / "step")
        with projecting(admin) as projector:
            until(lambda: projector.state.connected)
            with Producer(step) as producer:
                producer.emit_nowait(fact(n=1)).wait(90)
                assert producer.session
                epoch = ask(admin, "STREAM.INFO.RUNLORE")["config"]["metadata"]["runlore.epoch"]
                assert producer.session.outbox.ledger.destination().epoch == epoch
                until(lambda: kept(step) == 0)


EXIT_AT_ONCE = """
import time
from runlore.producer import log_metadata
log_metadata({"n": 1}, "model:churn").wait(90)
"""


def test_with_a_stack_a_short_process_leaves_nothing_for_long(stack: EmbeddedStack, data: DataDir) -> None:
    assert run_python(EXIT_AT_ONCE).stderr == ""
    until(lambda: not outbox_paths(data.outboxes))
    assert [event.fact.metadata["n"] for _, event in read_stream(stack.settings)] == [1]  # type: ignore[union-attr]
