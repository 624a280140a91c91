"""The projector as a service: what is published becomes queryable, through waits, restarts and signals."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from nats_tools import made_events, open_server, publish_all, until
from service_tools import (
    Running,
    assert_view_is_what_the_log_says,
    history,
    log_rows,
    running,
    spawn,
    status,
)

import runlore.projector
from runlore.cli.server import EmbeddedServer
from runlore.projector import run_projector
from runlore.projector.archiving.archive import Archive
from runlore.projector.service import Projector
from runlore.schemas import (
    FolderBusyError,
    Settings,
    read_settings,
)
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.oracle import assert_nothing_lost_or_doubled


def test_the_package_shows_what_it_promises() -> None:
    assert sorted(runlore.projector.__all__) == [
        "ArchiveReader",
        "Projection",
        "Recorded",
        "ensure_stream",
        "follow",
        "on",
        "open_stream",
        "rebuild_view",
        "run_projector",
        "run_replica",
        "stream_drift",
        "stream_info",
    ]


def test_what_is_published_becomes_queryable_and_status_says_so(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(500))
        service.folded(500)
        found = until(lambda: (now := status(data)) and now.folded == 500 and now)
        assert (found.connected, found.archived, found.stream_last, found.stopped) == (True, 500, 500, None)
    values = history(data)
    assert [position for position, _ in values] == list(range(1, 501))
    assert sorted(value for _, value in values) == list(range(500))
    ended = status(data)
    assert ended is not None
    assert (ended.connected, ended.stopped) == (False, "asked to stop")
    assert_view_is_what_the_log_says(data)


def test_the_same_event_under_another_message_id_has_no_second_effect(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    (row,) = made_events(1)
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, [row, row._replace(event_id="another")])
        service.folded(2)
        assert service.state.quarantined == 1
    assert history(data) == [(1, 0)]


def test_a_copy_after_the_dedupe_window_is_kept_as_duplicate_and_not_folded(tmp_path: Path, data: DataDir) -> None:
    rows = made_events(3)
    with open_server(tmp_path) as (_, settings):
        with running(settings) as service:
            until(lambda: service.state.connected)
            publish_all(settings, rows)
            service.folded(3)
        # What the server stores once the ID has left its window: the same message again.
        log = Archive.open(data.log, "")
        repeated = [row._replace(position=row.position + 3) for row in log_messages(data)]
        log.append(repeated)
        assert log.duplicates == 3
        log.close()
        with running(read_settings(url="nats://127.0.0.1:1")) as service:
            service.folded(6)
    assert len(history(data)) == 3
    assert [row.duplicate_of for row in log_rows(data.log)] == [None, None, None, 1, 2, 3]


def log_messages(data: DataDir) -> list[Any]:
    return [
        Received(row.position, row.event_id, row.recorded_ns, row.subject, b"", row.payload)
        for row in log_rows(data.log)
    ]


def test_a_poison_message_is_quarantined_and_the_next_one_applied(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    first, second = made_events(2)
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, [first])
        publish_all(settings, [first._replace(event_id="poison", payload=b"\xc1 not an event")])
        publish_all(settings, [second])
        service.folded(3)
        assert service.state.quarantined == 1
    assert history(data) == [(1, 0), (3, 1)]


def test_a_second_projector_says_who_has_the_folder(settings: Settings, server: EmbeddedServer) -> None:
    with running(settings) as service:
        until(lambda: service.state.connected)
        second = Running(settings)
        error = second.ended()
        assert isinstance(error, FolderBusyError)
        assert "the projector, process" in str(error)
        assert run_projector(settings) == 1
        assert service.state.connected
        assert service.error is None


def test_it_waits_for_a_server_that_is_not_there_yet(settings: Settings, data: DataDir) -> None:
    server = EmbeddedServer(data)
    with running(settings) as service:
        until(lambda: service.state.disconnects >= 2)
        assert not data.log.exists()
        server.start()
        try:
            until(lambda: service.state.connected)
            publish_all(settings, made_events(5))
            service.folded(5)
        finally:
            server.close()


def test_the_fold_catches_up_while_nats_is_away(settings: Settings, data: DataDir, server: EmbeddedServer) -> None:
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(50))
        service.folded(50)
    server.stop()
    data.current.unlink()
    with running(settings) as service:
        service.folded(50)
        assert not service.state.connected
    assert len(history(data)) == 50


def test_it_goes_on_after_a_restart_of_the_server(settings: Settings, data: DataDir, server: EmbeddedServer) -> None:
    rows = made_events(60)
    with running(settings) as service:
        until(lambda: service.state.connected)
        for start in (0, 20, 40):
            publish_all(settings, rows[start : start + 20])
            service.folded(start + 20)
            server.close()
            until(lambda: not service.state.connected)
            server.start()
            until(lambda: service.state.connected)
        assert_nothing_lost_or_doubled(settings, [str(row.event_id) for row in rows])
    assert len(history(data)) == 60


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: int, settings: Settings, data: DataDir, server: EmbeddedServer) -> None:
    process = spawn(settings)
    until(lambda: (now := status(data)) and now.connected)
    publish_all(settings, made_events(2000))
    process.send_signal(number)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    ended = status(data)
    assert ended is not None
    assert ended.stopped == "asked to stop"
    assert ended.folded == len(history(data))
    assert not data.log.with_name("log.db-wal").exists()
    assert all(json.loads(line)["event"] for line in errors.splitlines())


def test_a_wrong_setting_ends_it_with_code_2(settings: Settings, server: EmbeddedServer) -> None:
    process = spawn(settings, RUNLORE_MAX_LAG="many")
    _, errors = process.communicate(timeout=90)
    assert (process.returncode, "RUNLORE_MAX_LAG" in errors) == (2, True)


def test_a_stop_that_comes_before_the_start_is_kept(settings: Settings) -> None:
    projector = Projector(settings)
    projector.stop()
    projector.run()
    assert not projector.state.connected
