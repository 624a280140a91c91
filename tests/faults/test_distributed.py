"""Five machines, each a folder with its own processes: producers on A and B, the projector with a query service on C,
a replica with another service on D, and a reader on E who has an address and nothing else."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import runlore.producer as producer
from runlore.projector.views.digest import view_digest
from runlore.query import Client
from runlore.schemas.errors import QueryTimeoutError, ServerUnavailableError
from runlore.store.folder import DataDir
from tests.clusters import Cluster, running_cluster
from tests.patience import PATIENCE, until

EVENTS = 60
STEP = """
import sys
import runlore.producer as producer
name, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(first, last):
    producer.log_metadata({"n": number, "where": name}, f"model:{name}@1")
assert producer.flush(60)
"""


class Machine:
    """A folder, and the programs that run on it."""

    def __init__(self, root: Path, url: str) -> None:
        self.data, self._log = DataDir(root / "data"), root / "log"
        root.mkdir()
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("RUNLORE_")} | {
            "RUNLORE_URL": url, "RUNLORE_DATA_DIR": str(self.data.root), "RUNLORE_REPLICAS": "3",
            "RUNLORE_SNAPSHOT_EVERY": "40", "PYTHONPATH": os.pathsep.join(sys.path),
        }  # fmt: skip
        self._programs: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            program = subprocess.Popen([sys.executable, *command], env=self._environ, stdout=log, stderr=log)
        self._programs.append(program)
        return program

    def runlore(self, *command: str) -> None:
        self.start("-m", "runlore.cli", *command)

    def step(self, name: str, first: int, last: int) -> subprocess.Popen[bytes]:
        return self.start("-c", STEP, name, str(first), str(last))

    def kill(self) -> None:
        while self._programs:
            program = self._programs.pop()
            program.kill()
            program.wait()

    def position(self) -> int:
        with contextlib.suppress(Exception), Client(self.data.root) as client:  # also while there is no view yet
            return client.position
        return 0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as cluster:
        yield cluster


class Reader(threading.Thread):
    """Reads on E without pause: it never steps back, and each failure is one of two errors."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client, self.ended = client, threading.Event()
        self.answers, self.positions = 0, list[int]()

    def run(self) -> None:
        while not self.ended.wait(0.01):
            with contextlib.suppress(ServerUnavailableError, QueryTimeoutError):
                self.positions.append(self._client.position)
                self.answers += 1


@pytest.mark.slow
def test_reads_go_on_from_the_replica_when_the_projectors_machine_dies(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c, d = (Machine(tmp_path / name, cluster.url) for name in "ABCD")
    monkeypatch.setenv("RUNLORE_URL", cluster.url)
    monkeypatch.setenv("RUNLORE_DATA_DIR", str(tmp_path / "E" / "data"))  # where nothing is
    try:
        c.runlore("projector")
        until(lambda: c.data.log.exists())
        c.runlore("query", "serve")
        steps = [a.step("a", 0, EVENTS), b.step("b", 0, EVENTS)]
        assert [step.wait(PATIENCE) for step in steps] == [0, 0]
        until(lambda: c.position() >= 2 * EVENTS)
        d.runlore("replica")
        d.runlore("query", "serve")
        until(lambda: d.position() >= 2 * EVENTS)

        with Client() as client:
            assert {client.get(f"model:{name}@1").metadata["n"] for name in "ab"} == {EVENTS - 1}
            reader = Reader(client)
            reader.start()
            until(lambda: reader.answers > 20)
            c.kill()
            seen = reader.answers
            steps = [a.step("a", EVENTS, 2 * EVENTS), b.step("b", EVENTS, 2 * EVENTS)]
            receipt = producer.log_metadata({"from": "E"}, "model:e@1")
            until(lambda: client.wait_for(receipt, timeout=1) > 0)
            assert client.get("model:e@1").metadata == {"from": "E"}  # its own write, through D
            assert [step.wait(PATIENCE) for step in steps] == [0, 0]
            until(
                lambda: client.get("model:a@1").metadata["n"] == client.get("model:b@1").metadata["n"] == 2 * EVENTS - 1
            )
            until(lambda: reader.answers > seen + 20)
            reader.ended.set()
            reader.join()
            assert reader.positions == sorted(reader.positions)
            last = client.position

        c.runlore("projector")
        until(lambda: c.position() == d.position() == last)
        assert view_digest(c.data.current_view()) == view_digest(d.data.current_view())
    finally:
        for machine in (a, b, c, d):
            machine.kill()
