"""`runlore doctor` finds what is wrong, and says what to do: each made to happen."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import runlore.producer as producer
from runlore.cli import file_checks
from runlore.cli.checkup import Finding, check_up
from runlore.cli.file_checks import check_disk, check_files, check_owner
from runlore.cli.outbox_checks import check_outboxes
from runlore.cli.server import EmbeddedServer
from runlore.cli.server_checks import check_server
from runlore.producer import drain, log_metadata, outbox_status
from runlore.producer.outboxes.outbox import ADOPTED, Outbox, outbox_paths
from runlore.projector import ensure_stream, surroundings
from runlore.projector.archiving.archive import Archive
from runlore.projector.state import ServiceState
from runlore.schemas import Settings, read_settings
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.log_rows import Received
from runlore.store.private_files import write_struct
from runlore.store.records import ProjectorStatus
from runlore.wire.api import api
from tests.cli.stack_process import run_cli
from tests.events import EPOCH
from tests.faults.streams import filled_log, write_store
from tests.projector.nats_tools import open_server, with_nats


def found(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def status(**changes: object) -> ProjectorStatus:
    fields = {
        "pid": os.getpid(), "http": "http://127.0.0.1:9", "connected": True, "stream_last": 0, "archived": 0,
        "folded": 0, "quarantined": 0, "updated": time.time(),
    }  # fmt: skip
    return ProjectorStatus(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def log(data: DataDir) -> list[Received]:
    return filled_log(data)


def test_a_lost_log_is_a_failure_while_something_still_knows_of_its_events(data: DataDir, log: list[Received]) -> None:
    write_struct(data.status, status(archived=300))
    assert "log.db" not in found(check_files(data))
    for file in data.projection.glob("log.db*"):
        file.unlink()
    finding = found(check_files(data))["log.db"]
    assert finding.outcome == "fail"
    assert "is missing; it had events up to 300" in finding.detail
    assert "backup" in finding.advice


def test_an_older_copy_of_the_log_is_a_failure(data: DataDir, log: list[Received]) -> None:
    write_struct(data.status, status(archived=310))
    assert "an older copy was put in its place" in found(check_files(data))["log.db"].detail


def test_gaps_of_the_log_are_counted(data: DataDir, log: list[Received]) -> None:
    finding = found(check_files(data))["gaps"]
    assert (finding.outcome, finding.detail[:11]) == ("warn", "3 positions")


def test_a_lost_signing_key_is_a_failure(data: DataDir, log: list[Received]) -> None:
    archive = Archive.open(data.log, EPOCH)
    archive.add_checkpoint(10, "a note")
    archive.close()
    assert "is missing" in found(check_files(data))["signing key"].detail


def test_files_of_another_user_are_named(data: DataDir, log: list[Received], monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(check_owner(data)) == {}
    # The superuser may write everything, so only the question is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "log.db")
    finding = found(check_owner(data))["permissions"]
    assert finding.outcome == "fail"
    assert finding.detail.startswith("this user cannot write 1 files: ")
    assert str(data.log) in finding.detail


def test_a_disk_that_is_full_near_by_is_a_failure_before_it_is_full(
    data: DataDir, log: list[Received], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 50_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    assert found(check_disk(data))["disk"].outcome == "fail"
    assert "50 MB are free" in surroundings.look_around(data, embedded=False)["disk"]
    usage.free = 500_000_000  # type: ignore[attr-defined]
    assert found(check_disk(data))["disk"].outcome == "warn"
    assert surroundings.look_around(data, embedded=False) == {}
    usage.free = 5_000_000_000  # type: ignore[attr-defined]
    assert found(check_disk(data))["disk"].outcome == "ok"


def test_a_large_write_ahead_log_is_named(data: DataDir, log: list[Received], monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(check_disk(data))["wal"].outcome == "ok"
    (data.projection / "view-000001.db-wal").write_bytes(bytes(5000))
    monkeypatch.setattr(file_checks, "WAL_BYTES", 4096)
    finding = found(check_disk(data))["wal"]
    assert "view-000001.db-wal" in finding.detail
    assert "a reader" in finding.advice


def test_the_oldest_waiting_event_and_a_damaged_outbox_are_named(data: DataDir) -> None:
    producer.configure(mode="offline")
    log_metadata({"n": 1}, "run:r1")
    producer.configure(mode="disabled")
    [path] = outbox_paths(data.outboxes)
    finding = found(check_outboxes(data))["outbox"]
    assert finding.outcome == "warn"
    assert finding.detail.startswith("1 events wait, 1 of them of processes that have ended; the oldest for ")
    (data.outboxes / "broken.db").write_bytes(b"no database at all" * 300)
    finding = found(check_outboxes(data))["damaged outbox"]
    assert finding.detail.endswith("broken.db: file is not a database")
    assert path.exists()


def test_what_the_server_refused_is_shown_with_its_reason(data: DataDir) -> None:
    producer.configure(mode="offline")
    log_metadata({"n": 1}, "run:r1")
    producer.configure(mode="disabled")
    [path] = outbox_paths(data.outboxes)
    outbox = Outbox.adopt(path)
    assert outbox
    outbox.add_dead_letters(outbox.read(0), "too large")
    outbox.close()
    finding = found(check_outboxes(data))["refused events"]
    assert finding.detail == "1 events were refused by the server: too large"
    assert "`runlore outbox drain --retry-dead`" in finding.advice


def test_events_that_another_process_has_adopted_still_wait(settings: Settings, data: DataDir) -> None:
    producer.configure(mode="offline")
    log_metadata({"n": 1}, "run:r1")
    producer.configure(mode="disabled")
    [path] = outbox_paths(data.outboxes)
    with FolderLock(path.with_suffix(".lock"), ADOPTED):
        [one] = outbox_status(data)
        assert (one.alive, one.adopted, one.left_behind) == (True, True, True)
        assert found(check_outboxes(data))["outbox"].outcome == "warn"
        assert drain(settings, timeout=0.2).unsent == 1
    with FolderLock(path.with_suffix(".lock"), "a producer"):
        [one] = outbox_status(data)
        assert (one.alive, one.adopted, one.left_behind) == (True, False, False)


def test_a_server_that_takes_events_is_well_and_nothing_is_stored_for_asking(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    with_nats(settings, lambda connection: ensure_stream(connection, settings))
    findings = found(check_server(settings))
    assert {check: finding.outcome for check, finding in findings.items()} == {
        "server": "ok", "stream": "ok", "replicas": "ok", "publish": "ok", "storing": "ok",
    }  # fmt: skip
    assert "0 events" in findings["stream"].detail
    assert found(check_server(settings))["stream"].detail == findings["stream"].detail


def test_a_stream_of_others_on_our_subjects_is_named(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        assert "`runlore projector` makes it" in found(check_server(settings))["stream"].detail
        others = {"name": "EVENTS", "subjects": ["runlore.>"]}
        with_nats(settings, lambda connection: api(connection, "STREAM.CREATE.EVENTS", others))
        finding = found(check_server(settings))["stream"]
    assert (finding.outcome, "EVENTS takes its subjects" in finding.detail) == ("fail", True)
    assert finding.advice.startswith("take runlore.> out of it")


def test_a_user_who_may_not_publish_is_told_so(tmp_path: Path) -> None:
    extra = 'authorization { users: [ { user: u, password: p, permissions { publish: { deny: ["runlore.>"] } } } ] }'
    with open_server(tmp_path, extra=extra) as (_, bare):
        settings = read_settings(url=str(bare.url).replace("nats://", "nats://u:p@"))
        with_nats(settings, lambda connection: ensure_stream(connection, settings))
        finding = found(check_server(settings))["publish"]
        assert finding.outcome == "fail"
        assert "right to publish" in finding.advice


def test_holes_of_the_stream_are_found(data: DataDir, settings: Settings, log: list[Received]) -> None:
    write_store(data, [row for row in log if row.position != 50])
    server = EmbeddedServer(data)
    server.start()
    try:
        finding = found(check_server(settings))["holes"]
        assert finding.detail == "the stream lost 1 messages that log.db has, the first is event 50"
        assert "`runlore stream restore`" in finding.advice
    finally:
        server.close()


def test_a_projector_that_fails_again_and_again_and_what_it_says_is_shown(data: DataDir, settings: Settings) -> None:
    data.projection.mkdir(parents=True)
    state = ServiceState()
    for _ in range(3):
        before = state.status("http://127.0.0.1:9", "the disk is full")
        state = ServiceState()
        state.follow(before)
    state.problems["x"] = "something is wrong; do this about it"
    write_struct(data.status, state.status("http://127.0.0.1:9", None))
    findings = found(check_up(settings))
    assert findings["restarts"].detail.startswith("started 3 times in a row")
    assert (findings["problem"].detail, findings["problem"].advice) == ("something is wrong", "do this about it")
    state.follow(state.status("", "asked to stop"))
    assert state.restarts == 3
    fresh = ServiceState()
    fresh.follow(state.status("", "asked to stop"))
    assert fresh.restarts == 0, "a stop that was asked for is no failure"


def test_doctor_on_an_empty_folder_ends_with_a_failure_and_no_traceback(tmp_path: Path) -> None:
    done = run_cli("doctor", "--data-dir", str(tmp_path / "new"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_who_cannot_sign_in_is_told_the_setting_and_nothing_beside_the_point(tmp_path: Path) -> None:
    settings = read_settings(url="nats://127.0.0.1:1", credentials=str(tmp_path / "none"))
    finding = found(check_server(settings))["server"]
    assert finding.outcome == "fail"
    assert "RUNLORE_CREDENTIALS" in finding.detail
    assert finding.advice == ""
