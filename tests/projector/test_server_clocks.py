"""The server's clock jumps back and ahead: positions decide the order, and every read by time gives the same prefix."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import time
from collections.abc import Iterator

import msgspec
import pytest
from nats_tools import made_events, publish_all, until
from service_tools import log_rows, running

from runlore.cli.checkup import check_up
from runlore.cli.restoring import Restore
from runlore.cli.server import EmbeddedServer
from runlore.projector import ArchiveReader
from runlore.query import Client
from runlore.schemas import Settings
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.cli.stack_process import run_cli
from tests.events import LogBuilder
from tests.faults.streams import write_store
from tests.oracle import assert_nothing_lost_or_doubled

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOUR = 3600
JUMPS = [0, 1, 2, 2 - HOUR, 3 - HOUR, 4 - HOUR, 5 + HOUR, 6 + HOUR, 5, 6, 6, 2 * HOUR, 2 * HOUR + 1]
"""Seconds after START at which the server said that it recorded each event."""


def recorded(seconds: list[float]) -> list[Received]:
    builder = LogBuilder()
    for number in range(len(seconds)):
        builder.log("run:r1", {"n": number})
    return [
        Received(
            row.position,
            row.event_id,
            int((START.timestamp() + at) * 1e9),
            row.subject,
            f"NATS/1.0\r\nNats-Msg-Id: {row.event_id}\r\n\r\n".encode(),
            row.payload,
        )
        for row, at in zip(builder.rows, seconds, strict=True)
    ]


def seen_at(when: float) -> int:
    """The last position before the first event that was recorded later: what follows a later event counts as later."""
    return next((number for number, at in enumerate(JUMPS) if at > when), len(JUMPS))


@contextlib.contextmanager
def serving(data: DataDir) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data)
    server.start()
    try:
        yield server
    finally:
        server.close()


def test_events_recorded_by_a_clock_that_jumps_are_archived_read_and_verified_in_their_order(
    settings: Settings, data: DataDir
) -> None:
    rows = recorded([*JUMPS])
    write_store(data, rows)
    with serving(data), running(settings) as service:
        service.folded(len(rows))
        assert publish_all(settings, made_events(1)) == len(rows) + 1  # by a clock that is right
        service.folded(len(rows) + 1)
        assert_nothing_lost_or_doubled(settings, [row.event_id or "" for row in rows])
        assert service.state.problems == {}
        verified = run_cli("audit", "verify", "--full")
        assert verified.returncode == 0, verified.stdout
    assert [row.recorded_ns for row in log_rows(data.log)][:-1] == [row.recorded_ns for row in rows]
    with Client(data.root) as client, contextlib.closing(ArchiveReader(data.log)) as log:
        entries = client.get("run:r1").history("n")
        assert [entry.value for entry in entries] == [*range(len(rows)), 0]
        assert all(one.created <= other.created for one, other in itertools.pairwise(entries))
        for when in sorted({at + off for at in JUMPS for off in (-0.5, 0, 0.5)}):
            moment = START + dt.timedelta(seconds=when)
            assert log.position_at(int((START.timestamp() + when) * 1e6)) == seen_at(when)
            with Client(data.root, as_of=moment) as then:
                values = [entry.value for entry in then.get("run:r1").history("n")] if seen_at(when) else []
            assert values == list(range(seen_at(when)))
    tailed = run_cli("tail", "--since", "0", "--no-follow", "--json").stdout.splitlines()
    assert [msgspec.json.decode(line)["position"] for line in tailed] == list(range(1, len(rows) + 2))


@pytest.mark.slow  # what a restore writes, times included, is compared byte for byte in test_restore.py
def test_a_stream_whose_clock_jumped_is_restored_with_its_times(settings: Settings, data: DataDir) -> None:
    rows = recorded([*JUMPS])
    write_store(data, rows)
    with serving(data), running(settings) as service:
        service.folded(len(rows))
    (data.nats / "store").rename(data.root / "lost")
    with Restore(settings, lambda what, at, of: None) as restoring:
        restoring.apply(restoring.plan())
    with serving(data), running(settings) as service:
        until(lambda: service.state.connected or service.error)
        service.folded(len(rows))
        assert_nothing_lost_or_doubled(settings, [row.event_id or "" for row in rows])


def test_a_log_recorded_in_the_future_is_a_problem_until_then(
    settings: Settings, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = time.time() - START.timestamp() + HOUR
    write_store(data, recorded([0, ahead]))
    with serving(data), running(settings) as service:
        service.folded(2)
        assert publish_all(settings, made_events(1)) == 3
        service.folded(3)
        until(lambda: "clock" in service.state.problems)
        assert "do not see what was recorded since the jump" in service.state.problems["clock"]
        with Client(data.root, as_of="now") as client:
            assert [entry.value for entry in client.get("run:r1").history("n")] == [0]
        with Client(data.root) as client:
            assert [entry.value for entry in client.get("run:r1").history("n")] == [0, 1, 0]
        assert [one.outcome for one in check_up(settings) if one.check == "clock"] == ["fail"]
        assert run_cli("audit", "verify", "--full").returncode == 0
