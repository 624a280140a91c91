"""What breaks under the service: files, disk, the fold's process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from nats_tools import made_events, open_server, publish_all, until
from service_tools import (
    Running,
    archive_some,
    history,
    running,
    spawn,
    status,
)

from runlore.cli.server import EmbeddedServer
from runlore.projector.archiving.archive import Archive
from runlore.projector.fold import fold_stage
from runlore.projector.fold.fold_worker import FoldWorker
from runlore.projector.views.view import View
from runlore.schemas import (
    CorruptLogError,
    Settings,
)
from runlore.schemas.shards import Shard
from runlore.store.folder import DataDir
from runlore.store.sqlite import sqlite
from tests.oracle import assert_nothing_lost_or_doubled


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


@pytest.mark.slow
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
        now = status(data)
        assert now is not None
        assert "disk is full" in (now.stopped or "")
    with running(settings) as service:
        service.folded(25)
        assert service.state.quarantined == 0
        assert_nothing_lost_or_doubled(settings)


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
        assert_nothing_lost_or_doubled(settings)


def disk_full(*_: Any) -> None:
    raise sqlite.OperationalError("database or disk is full")


def test_what_ends_the_fold_ends_the_service_with_its_reason(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    archive_some(settings)
    data.current.unlink()
    data.current.mkdir()  # what no rebuild can mend: a file cannot take a folder's place
    error = Running(settings).ended()
    assert "CURRENT: Is a directory" in str(error)
    now = status(data)
    assert now is not None
    assert "CURRENT: Is a directory" in (now.stopped or "")


def test_a_killed_fold_ends_the_service_and_loses_nothing(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    process = spawn(settings)
    until(lambda: (now := status(data)) and now.connected)
    publish_all(settings, made_events(10))
    until(lambda: (now := status(data)) and now.folded == 10)
    (fold,) = psutil.Process(process.pid).children()
    fold.kill()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "the fold process ended with code -9" in errors
    with running(settings) as service:
        service.folded(10)
        assert_nothing_lost_or_doubled(settings)
    assert len(history(data)) == 10


def fold_process() -> psutil.Process:
    """The fold of the one projector that runs in this process."""
    (fold,) = (child for child in psutil.Process().children() if "fold_worker" in " ".join(child.cmdline()))
    return fold


@pytest.mark.slow
def test_a_fold_that_hangs_is_ended_and_the_service_says_so(
    settings: Settings, data: DataDir, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_some(settings)
    service = Running(settings)
    until(lambda: service.state.fold_running and service.state.connected)
    fold = fold_process()
    fold.suspend()
    with monkeypatch.context() as patch:
        patch.setattr(fold_stage, "SILENT_TICKS", 1)
        assert "the fold process hung" in str(service.ended())
    assert not fold.is_running()
    output = status(data)
    assert output is not None
    assert "the fold process hung" in (output.stopped or "")
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(5))
        service.folded(25)
        assert_nothing_lost_or_doubled(settings)


def test_a_fold_that_hangs_delays_no_stop_for_long(
    settings: Settings, data: DataDir, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_some(settings)
    monkeypatch.setattr(fold_stage, "STOP_SECONDS", 0.1)
    service = Running(settings)
    until(lambda: service.state.fold_running)
    fold_process().suspend()
    service.projector.stop()
    assert "ended with code -9" in str(service.ended())


def test_one_step_of_the_fold_that_takes_long_is_a_problem_while_it_lasts(
    settings: Settings, data: DataDir, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_some(settings)
    with running(settings) as service:
        service.folded(20)
        monkeypatch.setattr(fold_stage, "BUSY_SECONDS", -1.0)
        until(lambda: "the fold has been at one step for" in service.state.problems.get("fold", ""))
        monkeypatch.setattr(fold_stage, "BUSY_SECONDS", 60.0)
        until(lambda: "fold" not in service.state.problems)


def test_the_fold_does_not_outlive_a_killed_projector(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    process = spawn(settings)
    until(lambda: (now := status(data)) and now.connected and psutil.Process(process.pid).children())
    (fold,) = psutil.Process(process.pid).children()
    process.kill()
    process.communicate(timeout=90)
    until(lambda: not fold.is_running())


def test_a_damaged_log_ends_it_with_code_4(settings: Settings, data: DataDir, server: EmbeddedServer) -> None:
    data.projection.mkdir(parents=True)
    data.log.write_bytes(b"no database" * 1000)
    error = Running(settings).ended()
    assert isinstance(error, CorruptLogError)
    process = spawn(settings)
    process.communicate(timeout=90)
    assert process.returncode == 4


def test_a_connection_that_ends_while_the_log_is_opened_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Archive.open
    with open_server(tmp_path) as (server, settings):

        def while_the_server_goes(path: Path, epoch: str, shard: Shard) -> Archive:
            monkeypatch.setattr(Archive, "open", opened)  # it goes once
            server.kill()
            time.sleep(0.3)  # the loop hears of it meanwhile
            return opened(path, epoch, shard)

        monkeypatch.setattr(Archive, "open", while_the_server_goes)
        with running(settings) as service:
            until(lambda: service.state.disconnects or service.error)
            server.start()
            until(lambda: service.state.connected or service.error)
            assert service.error is None
