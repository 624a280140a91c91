from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from nats.aio.client import Client as NatsConnection
from nats_tools import js, made_events, open_server, publish, publish_all, until, with_nats
from service_tools import (
    Running,
    assert_view_is_what_the_log_says,
    log_rows,
    running,
    spawn,
    status,
)

import runlore.projector
from runlore.cli.server import EmbeddedServer
from runlore.projector import ensure_stream, run_projector, stream_info
from runlore.projector.archive import Archive, Received
from runlore.projector.fold_worker import FoldWorker
from runlore.projector.service import Projector
from runlore.projector.stream import EPOCH_KEY
from runlore.projector.view import View
from runlore.schemas import (
    CorruptLogError,
    FolderBusyError,
    NotFoundError,
    Settings,
    StreamDriftError,
    StreamMismatchError,
    read_settings,
)
from runlore.schemas.layout import DataDir
from runlore.schemas.sqlite import sqlite


def history(data: DataDir) -> list[Any]:
    """All values ever logged, in log order."""
    connection = sqlite.connect(f"{data.current_view().as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT position, CAST(value AS INTEGER) FROM metadata_history WHERE path = 'n' ORDER BY position"
        ).fetchall()
    finally:
        connection.close()


def test_the_package_shows_what_it_promises() -> None:
    assert sorted(runlore.projector.__all__) == [
        "ArchiveReader",
        "Projection",
        "Recorded",
        "ensure_stream",
        "follow",
        "on",
        "rebuild_view",
        "run_projector",
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
        found = until(lambda: (said := status(data)) and said.folded == 500 and said)
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
    assert len(history(data)) == 60
    assert_view_is_what_the_log_says(data)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: int, settings: Settings, data: DataDir, server: EmbeddedServer) -> None:
    process = spawn(settings)
    until(lambda: (said := status(data)) and said.connected)
    publish_all(settings, made_events(2000))
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    ended = status(data)
    assert ended is not None
    assert ended.stopped == "asked to stop"
    assert ended.folded == len(history(data))
    assert not data.log.with_name("log.db-wal").exists()
    assert all(json.loads(line)["event"] for line in errors.splitlines())


def test_a_stream_made_anew_stops_it_and_nothing_is_overwritten(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):
        archive_some(settings)

        async def make_anew(connection: NatsConnection) -> None:
            await js(connection, "STREAM.DELETE.RUNLORE")
            await ensure_stream(connection, settings)
            await publish(connection, made_events(30))

        with_nats(settings, make_anew)
        stops_with_mismatch(settings, "made anew")


def test_a_stream_that_is_gone_is_not_made_again_beside_an_old_log(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):
        archive_some(settings)
        with_nats(settings, lambda connection: js(connection, "STREAM.DELETE.RUNLORE"))
        stops_with_mismatch(settings, "the stream is gone")
        with pytest.raises(NotFoundError):
            with_nats(settings, stream_info)


@pytest.mark.parametrize(("count", "says"), [(15, "lost its tail"), (30, "rewritten")])
def test_a_stream_of_the_same_epoch_with_another_end_stops_it(
    count: int, says: str, tmp_path: Path, data: DataDir
) -> None:
    with open_server(tmp_path) as (_, settings):
        archive_some(settings)

        async def damage(connection: NatsConnection) -> None:
            config = (await stream_info(connection)).config
            await js(connection, "STREAM.DELETE.RUNLORE")
            await js(connection, "STREAM.CREATE.RUNLORE", config)
            await publish(connection, made_events(count))

        with_nats(settings, damage)
        stops_with_mismatch(settings, says)


def archive_some(settings: Settings) -> None:
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(20))
        service.folded(20)


def stops_with_mismatch(settings: Settings, says: str) -> None:
    data = DataDir(settings.data_dir)
    before = log_rows(data.log), history(data)
    error = Running(settings).ended()
    assert isinstance(error, StreamMismatchError)
    assert says in str(error)
    assert (log_rows(data.log), history(data)) == before
    said = status(data)
    assert said is not None
    assert says in (said.stopped or "")
    process = spawn(settings)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 4
    assert says in errors
    assert "Nothing was overwritten" in errors


@pytest.mark.parametrize("change", ["update", "delete"])
def test_a_stream_that_changes_under_way_stops_it_within_seconds(change: str, tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        service = Running(settings)
        until(lambda: service.state.connected)
        publish_all(settings, made_events(20))
        service.folded(20)

        async def harm(connection: NatsConnection) -> None:
            if change == "delete":
                await js(connection, "STREAM.DELETE.RUNLORE")
            else:
                config = (await stream_info(connection)).config
                await js(connection, "STREAM.UPDATE.RUNLORE", {**config, "max_msgs": 2})

        with_nats(settings, harm)
        error = service.ended()
        assert isinstance(error, StreamMismatchError if change == "delete" else StreamDriftError)


def test_a_drifted_stream_ends_it_with_code_4_and_every_field(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        with_nats(
            settings,
            lambda connection: js(connection, "STREAM.CREATE.RUNLORE", {"name": "RUNLORE", "subjects": ["runlore.>"]}),
        )
        process = spawn(settings)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 4
        assert "deny_delete" in errors
        assert EPOCH_KEY in errors


def test_a_hole_that_the_stream_confirms_is_recorded_and_passed(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):

        async def start_at_five(connection: NatsConnection) -> None:
            await ensure_stream(connection, settings)
            config = (await stream_info(connection)).config
            await js(connection, "STREAM.DELETE.RUNLORE")
            await js(connection, "STREAM.CREATE.RUNLORE", {**config, "first_seq": 5})
            await publish(connection, made_events(10))

        with_nats(settings, start_at_five)
        with running(settings) as service:
            service.folded(14)
            assert service.state.gaps == 1
        assert [row.position for row in log_rows(data.log)] == list(range(5, 15))
        assert len(history(data)) == 10


def test_a_view_that_is_ahead_of_the_log_is_made_again(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    archive_some(settings)
    old = data.current_view()
    connection = sqlite.connect(old)
    connection.execute("UPDATE view_state SET position = 100")
    connection.commit()
    connection.close()
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(5))
        service.folded(25)
    assert data.current_view() != old
    assert not old.exists()
    assert len(history(data)) == 25


def test_a_full_disk_stops_the_archive_and_quarantines_nothing(
    settings: Settings, data: DataDir, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_some(settings)
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "append", disk_full)
        service = Running(settings)
        until(lambda: service.state.connected)
        publish_all(settings, made_events(5))
        assert "disk is full" in str(service.ended())
        said = status(data)
        assert said is not None
        assert "disk is full" in (said.stopped or "")
    with running(settings) as service:
        service.folded(25)
        assert service.state.quarantined == 0


def test_a_full_disk_stops_the_fold_and_quarantines_nothing(
    settings: Settings, data: DataDir, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_some(settings)
    data.current.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(View, "fold", disk_full)
        with pytest.raises(sqlite.OperationalError, match="disk is full"):
            FoldWorker(data, lambda report: None).work()
    with running(settings) as service:
        service.folded(20)
        assert service.state.quarantined == 0


def disk_full(*_: Any) -> None:
    raise sqlite.OperationalError("database or disk is full")


def test_what_ends_the_fold_ends_the_service_with_its_reason(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    archive_some(settings)
    data.current.write_text("elsewhere\n")
    error = Running(settings).ended()
    assert isinstance(error, CorruptLogError)
    assert "which is no view" in str(error)
    said = status(data)
    assert said is not None
    assert "which is no view" in (said.stopped or "")


def test_a_killed_fold_ends_the_service_and_loses_nothing(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    process = spawn(settings)
    until(lambda: (said := status(data)) and said.connected)
    publish_all(settings, made_events(10))
    until(lambda: (said := status(data)) and said.folded == 10)
    (fold,) = psutil.Process(process.pid).children()
    fold.kill()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "the fold process ended with code -9" in errors
    with running(settings) as service:
        service.folded(10)
    assert len(history(data)) == 10


def test_the_fold_does_not_outlive_a_killed_projector(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    process = spawn(settings)
    until(lambda: (said := status(data)) and said.connected and psutil.Process(process.pid).children())
    (fold,) = psutil.Process(process.pid).children()
    process.kill()
    process.communicate(timeout=20)
    until(lambda: not fold.is_running())


def test_a_damaged_log_ends_it_with_code_4(settings: Settings, data: DataDir, server: EmbeddedServer) -> None:
    data.projection.mkdir(parents=True)
    data.log.write_bytes(b"no database" * 1000)
    error = Running(settings).ended()
    assert isinstance(error, CorruptLogError)
    process = spawn(settings)
    process.communicate(timeout=20)
    assert process.returncode == 4


def test_a_wrong_setting_ends_it_with_code_2(settings: Settings, server: EmbeddedServer) -> None:
    process = spawn(settings, RUNLORE_MAX_LAG="many")
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, "RUNLORE_MAX_LAG" in errors) == (2, True)


def test_a_stop_that_comes_before_the_start_is_kept(settings: Settings) -> None:
    projector = Projector(settings)
    projector.stop()
    projector.run()
    assert not projector.state.connected
