"""SIGKILL under load, with real processes: nothing lost, nothing twice, and the view is what the log says."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from nats_tools import connected, made_events, until
from service_tools import log_rows, spawn, status

from runlore.cli.server import EmbeddedServer
from runlore.schemas import Settings
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow
from tests.oracle import assert_nothing_lost_or_doubled

WINDOW = 50


class Publisher:
    """Publishes rows in order from a thread, each until it is acknowledged, through every outage."""

    def __init__(self, settings: Settings, rows: Sequence[LogRow]) -> None:
        self._settings, self._rows = settings, rows
        self.acknowledged = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(90)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        while self.acknowledged < len(self._rows):
            try:
                await self._publish()
            except Exception:  # the server is killed at any moment, and nats-py raises many things then
                await asyncio.sleep(0.1)

    async def _publish(self) -> None:
        async with connected(self._settings) as connection:
            stream = connection.jetstream(timeout=2)
            while self.acknowledged < len(self._rows):
                window = self._rows[self.acknowledged : self.acknowledged + WINDOW]
                for row in window:  # one after the other: their order is what the test compares
                    await stream.publish(row.subject, row.payload, headers={"Nats-Msg-Id": str(row.event_id)})
                    self.acknowledged += 1


@pytest.fixture
def projectors(settings: Settings) -> Iterator[list[subprocess.Popen[str]]]:
    """Projector processes, the last one in use; whatever still runs at the end is killed."""
    running = [spawn(settings)]
    yield running
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def kill_projector(settings: Settings, projectors: list[subprocess.Popen[str]]) -> None:
    projectors[-1].kill()
    projectors[-1].wait()
    projectors.append(spawn(settings))


def kill_server(server: EmbeddedServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.close()
    server.start()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("victims", ["server", "projector", "both"])
def test_three_kills_under_load_lose_nothing_and_fold_nothing_twice(
    victims: str,
    settings: Settings,
    data: DataDir,
    server: EmbeddedServer,
    projectors: list[subprocess.Popen[str]],
) -> None:
    rows = made_events(6000)
    until(lambda: (now := status(data)) and now.connected)
    publisher = Publisher(settings, rows)
    for kill in range(3):
        until(lambda: publisher.acknowledged > 1000 * (kill + 1))  # noqa: B023 -- waited for at once
        time.sleep(random.uniform(0, 0.3))
        if victims != "server":
            kill_projector(settings, projectors)
        if victims != "projector":
            kill_server(server)
    publisher.join()
    until(lambda: (now := status(data)) and now.folded >= now.stream_last >= len(rows))
    projectors[-1].send_signal(signal.SIGTERM)
    assert projectors[-1].wait(90) == 0

    archived = log_rows(data.log)
    assert [row.position for row in archived] == list(range(1, len(archived) + 1))
    first_copies = [row for row in archived if row.duplicate_of is None]
    assert [row.event_id for row in first_copies] == [row.event_id for row in rows]
    assert [row.payload for row in first_copies] == [row.payload for row in rows]
    assert_nothing_lost_or_doubled(settings, [str(row.event_id) for row in rows])


def test_a_killed_projector_continues_from_its_files(
    settings: Settings,
    data: DataDir,
    server: EmbeddedServer,
    projectors: list[subprocess.Popen[str]],
) -> None:
    rows = made_events(1500)
    until(lambda: (now := status(data)) and now.connected)
    publisher = Publisher(settings, rows)
    until(lambda: publisher.acknowledged > 500)
    kill_projector(settings, projectors)
    publisher.join()
    until(lambda: (now := status(data)) and now.folded == len(rows))
    projectors[-1].send_signal(signal.SIGTERM)
    assert projectors[-1].wait(90) == 0
    assert [row.event_id for row in log_rows(data.log)] == [row.event_id for row in rows]
    assert_nothing_lost_or_doubled(settings, [str(row.event_id) for row in rows])
