"""What the projector signs, and its log against a real JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from nats_tools import js, made_events, open_server, publish, publish_all, until, with_nats
from service_tools import running, spawn, status

from runlore.cli.app import app
from runlore.projector import ensure_stream, stream_info
from runlore.projector.archiving.archive import PAGE_BYTES
from runlore.projector.audit import stream_compare
from runlore.projector.audit.findings import Problem, StreamReport
from runlore.projector.audit.keys import load_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.stream_compare import compare_stream
from runlore.projector.audit.verify import verify_log
from runlore.schemas import ServerUnavailableError, Settings
from runlore.store.audit.leaf import origin_of
from runlore.store.folder import DataDir
from runlore.store.private_files import write_struct
from tests.audit.logs import tamper

EVENTS = 30


@pytest.fixture
def archived(server: Any, settings: Settings, data: DataDir) -> DataDir:
    """Events on a stream, archived and folded; the projector has stopped, the server runs."""
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(EVENTS))
        service.folded(EVENTS)
    return data


def compare(settings: Settings, data: DataDir, full: bool) -> tuple[StreamReport, list[Problem]]:
    with contextlib.closing(open_audited(data.log)) as log:
        return asyncio.run(compare_stream(settings, log, full))


def checkpoints(data: DataDir) -> dict[int, str]:
    with contextlib.closing(open_audited(data.log)) as log:
        return {size: note.decode() for size, note in log.execute("SELECT size, note FROM checkpoints")}


def problems_of(data: DataDir) -> list[Problem]:
    with contextlib.closing(open_audited(data.log)) as log:
        epoch = log.execute("SELECT epoch FROM log_state").fetchone()[0].decode()
    return verify_log(data.log, [load_signer(data.checkpoint_key, origin_of(epoch)).verifier]).problems


def test_a_projector_that_stops_has_signed_everything(archived: DataDir) -> None:
    signed = checkpoints(archived)
    assert max(signed) == EVENTS
    assert problems_of(archived) == []


@pytest.mark.slow
def test_a_projector_asked_to_end_signs_and_a_killed_one_never_contradicts_itself(
    server: Any, settings: Settings, data: DataDir
) -> None:
    events, before = made_events(30), dict[int, str]()
    for number, how in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)):
        process = spawn(settings)
        until(lambda: (found := status(data)) and found.connected and found.pid == process.pid)  # noqa: B023 -- at once
        publish_all(settings, events[number * 10 : number * 10 + 10])
        until(lambda: (found := status(data)) and found.folded == number * 10 + 10)  # noqa: B023 -- at once
        process.send_signal(how)
        process.communicate(timeout=90)
        signed = checkpoints(data)
        assert signed.items() >= before.items()
        assert how == signal.SIGKILL or max(signed) == number * 10 + 10
        assert problems_of(data) == []
        before = signed


@pytest.mark.parametrize("full", [False, True])
def test_a_log_equals_its_stream(archived: DataDir, settings: Settings, full: bool) -> None:
    report, problems = compare(settings, archived, full)
    assert problems == []
    assert (report.log_messages, report.stream_messages) == (EVENTS, EVENTS)
    assert report.compared == EVENTS if full else report.compared > 2


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("column", ["payload", "headers", "subject"])
def test_a_row_that_differs_from_the_stream_is_named(
    archived: DataDir, settings: Settings, full: bool, column: str
) -> None:
    tamper(
        archived.log,
        f"UPDATE log SET {column} = CAST('x' AS {'TEXT' if column == 'subject' else 'BLOB'}) WHERE position = {EVENTS}",
    )
    [problem] = compare(settings, archived, full)[1]
    assert (problem.place, problem.position) == ("stream", EVENTS)
    assert column in problem.what


def test_a_missing_row_is_a_different_count(archived: DataDir, settings: Settings) -> None:
    tamper(archived.log, "DELETE FROM log WHERE position = 7")
    report, [problem] = compare(settings, archived, False)
    assert (report.log_messages, report.stream_messages) == (EVENTS - 1, EVENTS)
    assert "29 messages, the stream 30" in problem.what


@pytest.mark.parametrize("full", [False, True])
def test_what_the_stream_received_later_is_not_compared(archived: DataDir, settings: Settings, full: bool) -> None:
    publish_all(settings, made_events(5))
    report, problems = compare(settings, archived, full)
    assert problems == []
    assert (report.log_messages, report.stream_messages, report.not_archived) == (EVENTS, EVENTS + 5, 5)
    assert report.note == "the stream has 5 more that are not archived: no projector runs on this folder"


def roll_back(data: DataDir, last: int) -> None:
    tamper(
        data.log,
        f"DELETE FROM log WHERE position > {last}",
        f"UPDATE log_state SET position = {last}",
    )


def say(data: DataDir, archived: int, **changes: Any) -> None:
    """Let the projector have reported that it runs and what it has archived."""
    told = status(data)
    assert told
    fresh = {"archived": archived, "updated": time.time(), "stopped": None, "connected": True, **changes}
    write_struct(data.status, msgspec.structs.replace(told, **fresh))


def test_a_log_that_ends_before_what_the_projector_had_archived_was_cut(archived: DataDir, settings: Settings) -> None:
    roll_back(archived, 20)
    report, [problem] = compare(settings, archived, False)
    assert (report.log_messages, report.stream_messages, report.not_archived) == (20, EVENTS, 10)
    assert problem.position == 21
    assert "10 more that are not archived: the projector had archived up to 30" in problem.what


def test_old_messages_that_a_running_projector_does_not_archive_are_a_problem(
    archived: DataDir, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_compare, "STILL_SECONDS", 0.01)
    roll_back(archived, 20)
    say(archived, 20)
    report, problems = compare(settings, archived, False)
    assert (report.not_archived, report.note, problems) == (10, None, [])  # they are new: it may be about to
    monkeypatch.setattr(stream_compare, "GRACE_SECONDS", 0.0)
    [problem] = compare(settings, archived, False)[1]
    assert problem.position == 21
    assert "does not archive them" in problem.what
    say(archived, 20, connected=False)
    report, problems = compare(settings, archived, False)
    assert (problems, report.note is not None and "not connected" in report.note) == ([], True)


def test_a_projector_that_catches_up_is_a_note(
    archived: DataDir, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_compare, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(stream_compare, "STILL_SECONDS", 0.01)
    positions = iter((20, 25))
    monkeypatch.setattr(stream_compare, "_position", lambda _: next(positions))
    roll_back(archived, 20)
    say(archived, 20)
    report, problems = compare(settings, archived, False)
    assert problems == []
    assert report.note == "the stream has 10 more that are not archived yet: the projector is catching up"


def test_another_stream_is_named(archived: DataDir, settings: Settings) -> None:
    tamper(archived.log, "UPDATE log_state SET epoch = 'other'")
    [problem] = compare(settings, archived, False)[1]
    assert "recreated" in problem.what


def test_a_stream_cut_short_is_named(archived: DataDir, settings: Settings) -> None:
    tamper(archived.log, f"UPDATE log_state SET position = {EVENTS + 5}")
    [problem] = compare(settings, archived, False)[1]
    assert (problem.position, "the stream ends" in problem.what) == (EVENTS + 1, True)


def test_a_hole_that_both_have_is_no_difference(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):

        async def start_at_five(connection: Any) -> None:
            await ensure_stream(connection, settings)
            config = (await stream_info(connection)).config
            await js(connection, "STREAM.DELETE.RUNLORE")
            await js(connection, "STREAM.CREATE.RUNLORE", {**config, "first_seq": 5})
            await publish(connection, made_events(10))

        with_nats(settings, start_at_five)
        with running(settings) as service:
            service.folded(14)
        assert problems_of(data) == []
        for full in (False, True):
            report, problems = compare(settings, data, full)
            assert problems == []
            assert (report.log_messages, report.stream_messages) == (10, 10)


def test_without_a_server_it_says_so(archived: DataDir, settings: Settings, server: Any) -> None:
    server.close()
    with pytest.raises(ServerUnavailableError):
        compare(settings, archived, False)


def test_a_damaged_log_is_reported_without_a_traceback_while_the_server_runs(
    archived: DataDir, settings: Settings
) -> None:
    content = bytearray(archived.log.read_bytes())
    start = content.index(b"NATS/1.0") // PAGE_BYTES * PAGE_BYTES
    content[start : start + PAGE_BYTES] = b"\xff" * PAGE_BYTES
    archived.log.write_bytes(content)
    done = CliRunner().invoke(app, ["audit", "verify", "--data-dir", str(settings.data_dir)])
    assert done.exit_code == 4, (done.output, done.exception)
    assert "WRONG" in done.stdout
