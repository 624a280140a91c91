"""Nothing that was logged is lost or doubled, whoever is killed. Real processes, real SIGKILL."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import runlore.producer as producer
from runlore.cli import heartbeat
from runlore.cli.server import EmbeddedServer
from runlore.cli.stack import EmbeddedStack
from runlore.query import Client
from runlore.schemas import NotFoundError, Settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint, ProjectorStatus
from tests.oracle import assert_nothing_lost_or_doubled
from tests.patience import until


def start_load(name: str, count: int, pause: float, out: Path) -> subprocess.Popen[bytes]:
    with out.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "tests.faults.load", name, str(count), str(pause)], stdout=file)


def returned(out: Path) -> list[str]:
    """The IDs of the events whose calls had returned."""
    return [line for line in out.read_text().splitlines() if not line.startswith("unsent")]


def logged(client: Client, name: str) -> list[int]:
    try:
        return [entry.value for entry in client.get(f"load:{name}@1").history("n")]
    except NotFoundError:
        return []


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_step_loses_no_call_that_had_returned(
    stack: EmbeddedStack, data: DataDir, tmp_path: Path, seed: int
) -> None:
    out = tmp_path / "out"
    step = start_load("victim", 100_000, 0.0, out)
    until(lambda: len(returned(out)) > 50)
    time.sleep(random.Random(seed).uniform(0, 0.7))
    step.kill()
    step.wait()
    count = len(returned(out))
    producer.drain(stack.settings, timeout=90)
    with Client(data.root) as client:
        # The call that was cut off may have been stored: at most one more, never one less.
        seen = until(lambda: (found := logged(client, "victim")) and len(found) >= count and found)
    assert seen == list(range(len(seen)))
    assert len(seen) - count in (0, 1)
    assert_nothing_lost_or_doubled(stack.settings, returned(out))


def _kill_while_loading(stack: EmbeddedStack, data: DataDir, tmp_path: Path, whom: tuple[str, ...]) -> None:
    loads = {name: tmp_path / name for name in ("one", "two")}
    running = [start_load(name, 3000, 0.0005, out) for name, out in loads.items()]
    for _ in range(3):
        time.sleep(random.uniform(0.2, 0.5))
        if "server" in whom:
            endpoint = read_struct(data.endpoint, Endpoint)
            assert endpoint
            os.kill(endpoint.pid, signal.SIGKILL)
        if "projector" in whom:
            status = until(lambda: read_struct(data.status, ProjectorStatus))
            with contextlib.suppress(ProcessLookupError):  # killed the moment before and not yet started again
                os.kill(status.pid, signal.SIGKILL)
        until(lambda: _minded_and_ready(stack))
    for process, out in zip(running, loads.values(), strict=True):
        until(lambda process=process: _minded(stack) and process.poll() is not None, 90)
        assert out.read_text().endswith("unsent 0\n")
    with Client(data.root) as client:
        for name in loads:
            assert until(lambda name=name: (f := logged(client, name)) and len(f) == 3000 and f) == list(range(3000))
        assert [p["missing"] for p in client.producers()] == [0] * len(client.producers())
        assert client.quarantine() == []
    assert_nothing_lost_or_doubled(stack.settings, [one for out in loads.values() for one in returned(out)])


def _minded(stack: EmbeddedStack) -> bool:
    stack.supervise()
    return True


def _minded_and_ready(stack: EmbeddedStack) -> bool:
    stack.supervise()
    return stack.ready()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("whom", [("server",), ("projector",), ("server", "projector")], ids="+".join)
def test_killed_servers_and_projectors_lose_and_double_nothing(
    stack: EmbeddedStack, data: DataDir, tmp_path: Path, whom: tuple[str, ...]
) -> None:
    _kill_while_loading(stack, data, tmp_path, whom)


def test_server_and_projector_killed_together_once_lose_nothing(
    stack: EmbeddedStack, data: DataDir, tmp_path: Path
) -> None:
    _kill_while_loading(stack, data, tmp_path, ("server", "projector"))


def test_a_producer_survives_a_server_that_stops_answering(stack: EmbeddedStack, data: DataDir, tmp_path: Path) -> None:
    endpoint = read_struct(data.endpoint, Endpoint)
    assert endpoint
    os.kill(endpoint.pid, signal.SIGSTOP)
    try:
        for number in range(200):  # returns, though nobody answers
            receipt = producer.log_metadata({"n": number}, "load:frozen@1")
    finally:
        os.kill(endpoint.pid, signal.SIGCONT)
    receipt.wait(90)
    with Client(data.root) as client:
        assert until(lambda: (f := logged(client, "frozen")) and len(f) == 200 and f) == list(range(200))
    assert_nothing_lost_or_doubled(stack.settings)


def test_events_logged_offline_arrive_when_the_outbox_is_drained(
    server: EmbeddedServer, settings: Settings, data: DataDir
) -> None:
    subprocess.run(
        [sys.executable, "-c", "from runlore.producer import log_metadata; log_metadata({'n': 0}, 'load:off@1')"],
        env={**os.environ, "RUNLORE_MODE": "offline"},
        check=True,
    )
    [waiting] = producer.outbox_status(data)
    assert (waiting.waiting, waiting.alive) == (1, False)
    server.close()
    with EmbeddedStack(settings, lambda text: None):
        report = producer.drain(settings, 90)
        assert report.unsent == 0
        with Client(data.root) as client:
            assert until(lambda: logged(client, "off")) == [0]
    assert not [one for one in producer.outbox_status(data) if one.waiting or one.dead_letters]


def test_a_projector_that_hangs_is_ended_and_started_again(
    stack: EmbeddedStack, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = [producer.log_metadata({"n": number}, "load:hang@1") for number in range(20)]
    receipts[-1].wait(90)
    status = until(lambda: read_struct(data.status, ProjectorStatus))
    os.kill(status.pid, signal.SIGSTOP)
    receipts += [producer.log_metadata({"n": number}, "load:hang@1") for number in range(20, 40)]
    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, "SILENT_SECONDS", 0.5)
        until(lambda: _minded(stack) and not psutil.pid_exists(status.pid))
    until(lambda: _minded_and_ready(stack))
    assert producer.flush(90).unsent == 0
    assert_nothing_lost_or_doubled(stack.settings, [receipt.event_id for receipt in receipts])
