"""A standby takes over when the projector before it ends, is killed or hangs, and there are never two writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from nats_tools import made_events, publish_all, until
from service_tools import history, log_rows, status

from runlore.cli.server import EmbeddedServer
from runlore.projector import standby
from runlore.schemas import Settings
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from tests.oracle import assert_nothing_lost_or_doubled

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `runlore projector` over the test's folder; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "runlore.cli", "projector", *options]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """The first line of its log that holds a text."""
    assert process.stderr
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"it ended without saying {text!r}")


def connected(data: DataDir, process: subprocess.Popen[str]) -> None:
    until(lambda: (now := status(data)) and now.connected and now.pid == process.pid)


def end(process: subprocess.Popen[str], how: signal.Signals) -> None:
    process.send_signal(how)
    process.wait(90)


@pytest.mark.parametrize("how", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_a_standby_takes_over_at_once_when_the_first_ends(
    how: signal.Signals, settings: Settings, data: DataDir, server: EmbeddedServer, start: Start
) -> None:
    rows = made_events(60)
    first = start()
    connected(data, first)
    second = start("--wait")
    line_with(second, f"process {first.pid}")
    publish_all(settings, rows[:30])
    end(first, how)
    publish_all(settings, rows[30:])
    line_with(second, "taking over")
    until(lambda: (now := status(data)) and now.pid == second.pid and now.folded == 60)
    end(second, signal.SIGTERM)
    assert second.returncode == 0
    assert [row.event_id for row in log_rows(data.log)] == [row.event_id for row in rows]
    assert_nothing_lost_or_doubled(settings, [str(row.event_id) for row in rows])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("with_its_fold", [False, True])
def test_a_standby_ends_a_projector_that_hangs_and_takes_over(
    with_its_fold: bool, settings: Settings, data: DataDir, server: EmbeddedServer, start: Start
) -> None:
    rows = made_events(60)
    first = start()
    connected(data, first)
    publish_all(settings, rows[:30])
    until(lambda: (now := status(data)) and now.folded == 30)
    second = start("--wait")
    line_with(second, "standing by")
    if with_its_fold:
        for child in psutil.Process(first.pid).children():
            child.suspend()
    first.send_signal(signal.SIGSTOP)
    publish_all(settings, rows[30:])
    line_with(second, "ending the holder of the folder")
    assert first.wait(90) == -signal.SIGKILL
    until(lambda: (now := status(data)) and now.pid == second.pid and now.folded == 60, 120)
    end(second, signal.SIGTERM)
    assert len(history(data)) == 60
    assert [row.event_id for row in log_rows(data.log)] == [row.event_id for row in rows]
    assert_nothing_lost_or_doubled(settings, [str(row.event_id) for row in rows])


def test_a_standby_that_is_asked_to_stop_ends_and_leaves_the_first_alone(
    settings: Settings, data: DataDir, server: EmbeddedServer, start: Start
) -> None:
    first = start()
    connected(data, first)
    second = start("--wait")
    line_with(second, "standing by")
    end(second, signal.SIGTERM)
    assert (second.returncode, first.poll()) == (0, None)
    publish_all(settings, made_events(3))
    until(lambda: (now := status(data)) and now.pid == first.pid and now.folded == 3)


def test_a_process_that_does_not_have_the_lock_is_never_ended(data: DataDir) -> None:
    """The number in the file may be of another container, or of a process that ended long ago."""
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with FolderLock(data.projector_lock, "the projector"):
            data.projector_lock.write_text(f"the projector, process {bystander.pid}")
            assert not standby.end_holder(data.projector_lock, "a test")
            data.projector_lock.write_text("garbage")
            assert not standby.end_holder(data.projector_lock, "a test")
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")
