"""Two shards on one server: each project's events, questions and proofs are in one of them."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from runlore.cli.restoring import Restore
from runlore.producer import Producer
from runlore.producer.maintenance import drain
from runlore.projector.archiving.copy_stream import copy_stream
from runlore.projector.replicas.replica import Replica
from runlore.projector.snapshots.take import take_snapshot
from runlore.query import Client
from runlore.schemas import (
    EntityRef,
    FilterError,
    MetadataLogged,
    NotFoundError,
    Settings,
    SettingsError,
    read_settings,
)
from runlore.schemas.shards import Shard
from runlore.store.folder import DataDir
from runlore.store.folder_shard import folder_shard, require_own_shard
from runlore.wire.shards import assign_shard
from tests.cli.stack_process import run_cli
from tests.open_servers import js, open_server
from tests.projector.nats_tools import with_nats
from tests.projector.service_tools import Running, log_rows, running
from tests.query.serving import served

EVENTS = 60


class Sharded(NamedTuple):
    """A server with two shards, a projector and a query service for each."""

    url: str
    root: Path
    projectors: list[Running]

    def owner(self, number: int) -> Settings:
        """Settings of the programs that own a shard."""
        return read_settings(url=self.url, data_dir=self.root / f"shard-{number}", shard=number)

    def steps(self, project: str, **more: object) -> Settings:
        return read_settings(url=self.url, data_dir=self.root / "steps", project=project, **more)

    def client(self, project: str) -> Client:
        return Client(self.url, project=project)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharded]:
    root = tmp_path_factory.mktemp("shards")
    with open_server(root) as (_, settings), contextlib.ExitStack() as services:
        with_nats(settings, lambda connection: assign_shard(connection, "speech", Shard(1), 1))
        made = Sharded(settings.url or "", root, [])
        for number in (0, 1):
            made.projectors.append(services.enter_context(running(made.owner(number))))
        for project in ("vision", "speech"):
            with Producer(made.steps(project)) as producer:
                sent = [producer.emit_nowait(model(f"m{n}", of=project)) for n in range(EVENTS)]
                assert [one.wait(60) for one in sent] == list(range(1, EVENTS + 1))
                assert sent[-1].shard == pickle.loads(pickle.dumps(sent[-1])).shard == (project == "speech")
        for one in made.projectors:
            one.folded(EVENTS)
        for number in (0, 1):
            services.enter_context(served(made.owner(number)))
        yield made


def model(name: str, **metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", name),), metadata)


pytestmark = pytest.mark.slow


def test_each_projects_events_are_in_its_shard_and_nowhere_else(sharded: Sharded) -> None:
    for number, project in enumerate(("vision", "speech")):
        data, prefix = DataDir(sharded.owner(number).data_dir), Shard(number).project_prefix(project)
        assert {row.subject.startswith(prefix) for row in log_rows(data.log)} == {True}
        assert len(log_rows(data.log)) == EVENTS
        assert folder_shard(data) == Shard(number)
        with Client(data.root, project=project) as client:
            assert client.get("model:m7").metadata == {"of": project}
            assert client.quarantine() == []


def test_a_reader_that_knows_the_address_alone_finds_both(sharded: Sharded) -> None:
    for project in ("vision", "speech"):
        with sharded.client(project) as client:
            assert client.get("model:m7").metadata == {"of": project}
            assert client.position == EVENTS
    with sharded.client("unknown") as client, pytest.raises(NotFoundError):
        client.get("model:m7")


def test_a_cursor_of_one_shard_is_refused_in_the_other(sharded: Sharded) -> None:
    with sharded.client("vision") as vision, sharded.client("speech") as speech:
        page = speech.find("model", limit=10)
        assert len(speech.find("model", limit=10, after=page.cursor)) == 10
        with pytest.raises(FilterError, match="shard 1"):
            vision.find("model", limit=10, after=page.cursor)


def test_a_logs_signatures_name_its_stream(sharded: Sharded) -> None:
    for number, stream in enumerate(("RUNLORE", "RUNLORE_01")):
        settings = sharded.owner(number)
        environment = {"RUNLORE_URL": sharded.url, "RUNLORE_DATA_DIR": str(settings.data_dir)}
        done = run_cli("audit", "checkpoint", **environment)
        assert done.stdout.startswith(f"runlore/{stream}/"), done.stderr
        done = run_cli("audit", "verify", RUNLORE_SHARD=str(number), **environment)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_bundle_of_another_shard_can_be_checked(sharded: Sharded, tmp_path: Path) -> None:
    environment = {"RUNLORE_DATA_DIR": str(sharded.owner(1).data_dir), "RUNLORE_PROJECT": "speech"}
    made = run_cli("audit", "bundle", "model:m7", "--out", str(tmp_path / "m7.zip"), **environment)
    assert made.returncode == 0, made.stderr
    key = run_cli("audit", "key", **environment).stdout.strip()
    checked = run_cli("audit", "check", str(tmp_path / "m7.zip"), "--key", key)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_lost_stream_is_restored_from_the_log_of_its_shard(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        with_nats(settings, lambda connection: assign_shard(connection, "speech", Shard(1), 1))
        owner = read_settings(url=settings.url, data_dir=tmp_path / "owner", shard=1)
        with running(owner) as projector:
            steps = read_settings(url=settings.url, data_dir=tmp_path / "steps", project="speech")
            with Producer(steps) as producer:
                for n in range(20):
                    producer.emit_nowait(model(f"m{n}"))
            projector.folded(20)
        with_nats(settings, lambda connection: js(connection, "STREAM.DELETE.RUNLORE_01"))
        with Restore(owner, lambda what, at, of: None) as restoring:
            restoring.apply(restoring.plan())
        assert copy_stream(owner, tmp_path / "copy.db") == 20
        assert [row.subject for row in log_rows(tmp_path / "copy.db")] == [
            row.subject for row in log_rows(DataDir(owner.data_dir).log)
        ]


def test_a_replica_follows_its_shard(sharded: Sharded, tmp_path: Path) -> None:
    assert take_snapshot(sharded.owner(1)).snapshot.position == EVENTS
    settings = read_settings(url=sharded.url, data_dir=tmp_path / "replica", shard=1)
    with running(settings, Replica(settings)) as replica:
        replica.folded(EVENTS)
    assert folder_shard(DataDir(settings.data_dir)) == Shard(1)
    with Client(settings.data_dir, project="speech") as client:
        assert client.get("model:m7").metadata == {"of": "speech"}
    with pytest.raises(SettingsError, match="RUNLORE_SHARD=1"):
        require_own_shard(read_settings(url=sharded.url, data_dir=settings.data_dir))


def test_what_ended_processes_left_is_sent_to_the_shard_of_its_project(sharded: Sharded) -> None:
    for project in ("vision", "speech"):
        with Producer(sharded.steps(project, mode="offline")) as producer:
            producer.emit_nowait(model("late", of=project))
    report = drain(sharded.steps("another"), 60)
    assert (report.sent, report.unsent) == (2, 0)
    for number, projector in enumerate(sharded.projectors):
        projector.folded(EVENTS + 1)
        assert len(log_rows(DataDir(sharded.owner(number).data_dir).log)) == EVENTS + 1
