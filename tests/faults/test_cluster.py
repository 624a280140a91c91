"""A cluster of three that loses its leader, its majority, and a leader that only stands still: nothing is lost or doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runlore.cli.server_checks import check_server
from runlore.producer import Producer
from runlore.projector import ensure_stream
from runlore.projector.views.digest import view_digest
from runlore.schemas import EntityRef, MetadataLogged, Settings, read_settings
from runlore.store.folder import DataDir
from tests.clusters import Cluster, running_cluster
from tests.oracle import assert_nothing_lost_or_doubled
from tests.patience import PATIENCE, until
from tests.projector.nats_tools import with_nats
from tests.projector.service_tools import running

pytestmark = pytest.mark.slow

PRODUCERS, EVENTS = 4, 400
"""Events of each producer beside each fault."""
FAULT_SECONDS = 8.0
"""How long a fault lasts: longer than an acknowledgement, a heartbeat or an election is waited for."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def kill_leader(cluster: Cluster) -> None:
    leader = cluster.leader()
    cluster.kill(leader)
    time.sleep(FAULT_SECONDS)
    cluster.start(leader)


def kill_majority(cluster: Cluster) -> None:
    leader = cluster.leader()
    dead = [leader, next(node for node in cluster.nodes if node != leader)]
    cluster.kill(*dead)
    time.sleep(FAULT_SECONDS)
    cluster.start(*dead)


def stop_leader(cluster: Cluster) -> None:
    leader = cluster.leader()
    cluster.pause(leader)
    time.sleep(FAULT_SECONDS)
    cluster.resume(leader)


class Sending(threading.Thread):
    """One producer with its own folder, that logs all the while."""

    def __init__(self, settings: Settings, number: int) -> None:
        super().__init__()
        self._producer = Producer(settings)
        self._subject = EntityRef("run", f"r{number}")
        self.sent: list[str] = []
        """IDs of the events that the stream has acknowledged."""

    def run(self) -> None:
        receipts = []
        with self._producer as producer:
            for number in range(EVENTS):
                receipts.append(producer.emit_nowait(MetadataLogged((self._subject,), {"n": number})))
                time.sleep(FAULT_SECONDS / EVENTS)
            for receipt in receipts:
                receipt.wait(PATIENCE)
                self.sent.append(receipt.event_id)


def test_nothing_is_lost_or_doubled_and_two_projectors_agree(cluster: Cluster, tmp_path: Path) -> None:
    one, other = (read_settings(url=cluster.url, replicas=3, data_dir=tmp_path / name) for name in ("one", "other"))
    with_nats(one, lambda connection: ensure_stream(connection, one))
    acknowledged: list[str] = []
    faults: list[Callable[[Cluster], None]] = [kill_leader, kill_majority, stop_leader]
    with running(one) as first, running(other) as second:
        for round_number, fault in enumerate(faults):
            folders = [tmp_path / f"steps-{round_number}-{number}" for number in range(PRODUCERS)]
            sending = [Sending(read_settings(url=cluster.url, data_dir=path), at) for at, path in enumerate(folders)]
            for thread in sending:
                thread.start()
            fault(cluster)
            for thread in sending:
                thread.join()
                assert len(thread.sent) == EVENTS, fault.__name__
                acknowledged += thread.sent
        until(lambda: "nodes" not in first.state.upkeep)
        for service in (first, second):
            service.folded(len(acknowledged))  # raises what ended it, if so
        assert_nothing_lost_or_doubled(one, acknowledged)
        last = first.state.folded
        assert last >= len(acknowledged) == PRODUCERS * EVENTS * len(faults)
        second.folded(last)
        replicas = {finding.check: finding for finding in check_server(one)}["replicas"]
        assert (replicas.outcome, replicas.detail) == ("ok", "3, as it should be")
    view, same = (DataDir(settings.data_dir).current_view() for settings in (one, other))
    assert view_digest(view) == view_digest(same)
