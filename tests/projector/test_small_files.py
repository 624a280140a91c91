"""The small files of a data folder and of the server's store: damaged, emptied or gone, they cost no event."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from nats_tools import made_events, publish_all, until
from service_tools import Running, archive_some, running

from runlore.cli.checkup import check_up
from runlore.cli.private_server import STREAMS
from runlore.cli.restoring import Restore
from runlore.cli.server import EmbeddedServer
from runlore.schemas import Settings, StreamMismatchError
from runlore.store.folder import DataDir
from tests.oracle import assert_nothing_lost_or_doubled

DAMAGE = {
    "empty": b"",
    "binary": bytes(range(256)),
    "no text": b'{"pid": 1, "http": "\xff\xfe", "epoch": "\xff", "url": "\xff", "root": "\xff"}',
    "another's": b'{"pid": "one"}',
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize(
    "damage", [one if one == "no text" else pytest.param(one, marks=pytest.mark.slow) for one in DAMAGE]
)
def test_damaged_records_keep_nothing_from_going_on(settings: Settings, data: DataDir, damage: str) -> None:
    server = EmbeddedServer(data)
    server.start()
    try:
        archive_some(settings)
        server.close()
        for path in (data.status, data.archived_stream, data.verified, data.dashboard, data.endpoint):
            path.write_bytes(DAMAGE[damage])
        assert {finding.check for finding in check_up(settings)} > {"projector", "disk"}
        server.start()
        with running(settings) as service:
            until(lambda: service.state.connected or service.error)
            publish_all(settings, made_events(5))
            service.folded(25)
            assert_nothing_lost_or_doubled(settings)
    finally:
        server.close()


def without(store: Path, pattern: str) -> None:
    for path in store.rglob(pattern):
        shutil.rmtree(path) if path.is_dir() else path.write_bytes(b"garbage")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["meta.inf", "meta.sum", "index.db", "obs", "*.blk"])
def test_a_damaged_file_of_the_servers_store_is_noticed_and_restored(
    settings: Settings, data: DataDir, server: EmbeddedServer, file: str
) -> None:
    archive_some(settings)
    server.close()
    without(data.nats / "store" / STREAMS / "RUNLORE", file)
    server.start()
    service = Running(settings)
    until(lambda: service.error is not None or (service.state.connected and service.state.folded == 20))
    service.projector.stop()
    if service.ended() is not None:
        assert isinstance(service.error, StreamMismatchError)
        server.close()
        with Restore(settings, lambda what, at, of: None) as restoring:
            restoring.apply(restoring.plan())
        server.start()
    with running(settings) as service:
        until(lambda: service.state.connected or service.error)
        publish_all(settings, made_events(5))
        service.folded(25)
        assert_nothing_lost_or_doubled(settings)
