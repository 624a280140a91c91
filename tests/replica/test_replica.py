"""A replica has the projector's view, on another machine: it begins with a snapshot and follows the stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection

from runlore.cli.commands.audit_actor import put_actor_key
from runlore.projector.erasures.erase import ErasingFolder, Target
from runlore.projector.snapshots.take import take_snapshot
from runlore.projector.views.generations import view_files
from runlore.query import Client
from runlore.schemas import Erased, NotFoundError, Settings, parse_ref, read_settings
from runlore.store.audit.actor_keys import ActorKey
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import ReplicaMark
from runlore.wire.stream import ensure_stream
from tests.events import LogBuilder
from tests.open_servers import OpenServer, js, open_server
from tests.patience import PATIENCE
from tests.projector.nats_tools import made_events, publish_all, until, with_nats
from tests.projector.service_tools import running
from tests.replica.replica_tools import (
    content,
    damage,
    digest,
    drop_all_but,
    log,
    positions,
    replica,
    replica_settings,
    store_again,
    stored,
)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runlore.projector.replicas.replica.SNAPSHOT_SECONDS", 0.1)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[OpenServer, Settings]]:
    with open_server(tmp_path) as opened:
        yield opened


@pytest.fixture
def settings(opened: tuple[OpenServer, Settings]) -> Settings:
    return opened[1]


def began_at(settings: Settings) -> int | None:
    mark = read_struct(DataDir(settings.data_dir).replica, ReplicaMark)
    return mark.snapshot.position if mark and mark.snapshot else None


def test_a_replica_has_the_same_view_as_the_projector(settings: Settings, tmp_path: Path) -> None:
    events = made_events(60)
    ours = replica_settings(settings, tmp_path)
    with running(settings) as projector:
        until(lambda: projector.state.connected)
        publish_all(settings, events[:40])
        projector.folded(40)
        assert take_snapshot(settings).snapshot.position == 40
        with replica(settings, tmp_path, verify=True) as following:
            following.folded(40)
            assert began_at(ours) == 40
            publish_all(settings, events[40:])
            with Client(f"replica:{ours.data_dir}") as near, Client(settings.data_dir) as far:
                assert near.wait_for(events[59].event_id or "", timeout=60) == 60
                far.wait_for(60, timeout=60)
                assert near.get("run:r1").metadata == far.get("run:r1").metadata == {"n": 59}
                assert [entry.value for entry in near.get("run:r1").history("n")] == list(range(60))
                assert near.position == 60
                until(lambda: near.lag == 0)
            assert digest(ours) == digest(settings)
    with Client(ours.data_dir) as plain:
        assert plain.position == 60


def test_a_replica_that_was_stopped_goes_on_where_it_was(settings: Settings, tmp_path: Path) -> None:
    events = made_events(50)
    ours = replica_settings(settings, tmp_path)
    with running(settings) as projector:
        until(lambda: projector.state.connected)
        publish_all(settings, events[:20])
        projector.folded(20)
        take_snapshot(settings)
        with replica(settings, tmp_path) as following:
            following.folded(20)
        publish_all(settings, events[20:40])
        projector.folded(40)
        take_snapshot(settings)
        publish_all(settings, events[40:])
        projector.folded(50)
    with replica(settings, tmp_path) as following:
        following.folded(50)
    assert began_at(ours) == 20
    assert digest(ours) == digest(settings)


def test_a_replica_that_is_far_behind_begins_again_with_a_snapshot(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.projector.replicas.replica.FAR_POSITIONS", 10)
    ours = replica_settings(settings, tmp_path)
    with running(settings) as projector:
        until(lambda: projector.state.connected)
        for last, begins in ((20, 20), (29, 20), (40, 40)):
            publish_all(settings, made_events(last - projector.state.folded))
            projector.folded(last)
            take_snapshot(settings)
            with replica(settings, tmp_path) as following:
                following.folded(last)
            assert began_at(ours) == begins
        for last in (60, 80):
            publish_all(settings, made_events(20))
            projector.folded(last)
            take_snapshot(settings)
            with monkeypatch.context() as full:
                if last == 60:
                    full.setattr("runlore.projector.replicas.incoming.FULL_BYTES", 1 << 60)
                else:
                    damage(settings, stored(settings)[0], None)
                with replica(settings, tmp_path) as following:
                    following.folded(last)
            assert began_at(ours) == 40  # it went on with what it had
    assert digest(ours) == digest(settings)


def test_without_a_snapshot_a_replica_reads_a_whole_stream_from_its_first_event(
    settings: Settings, tmp_path: Path
) -> None:
    log(settings, made_events(30))
    with replica(settings, tmp_path) as following:
        following.folded(30)
    assert digest(replica_settings(settings, tmp_path)) == digest(settings)


def test_an_outage_of_the_server_is_waited_out(opened: tuple[OpenServer, Settings], tmp_path: Path) -> None:
    server, settings = opened
    events = made_events(20)
    log(settings, events[:10])
    take_snapshot(settings)
    with replica(settings, tmp_path) as following:
        following.folded(10)
        server.kill()
        until(lambda: not following.state.connected)
        server.start()
        log(settings, events[10:])
        following.folded(20)
    assert digest(replica_settings(settings, tmp_path)) == digest(settings)


def test_second_copies_have_the_effect_that_they_have_in_the_projector(settings: Settings, tmp_path: Path) -> None:
    events = made_events(8)
    log(settings, events[:4])
    take_snapshot(settings)
    copies = [events[0], events[1]._replace(payload=events[2].payload), events[4], events[4]]
    copies += [events[5], events[5]._replace(subject=f"{events[5].subject}.other"), events[6]]
    store_again(settings, copies)
    log(settings, events[7:])
    with replica(settings, tmp_path) as following:
        following.folded(12)
        state = following.state
        assert (state.duplicates, state.conflicts, state.quarantined) == (4, 2, 2)
    assert digest(replica_settings(settings, tmp_path)) == digest(settings)


def test_a_replica_never_goes_past_a_hole_but_on_from_a_newer_snapshot(settings: Settings, tmp_path: Path) -> None:
    events = made_events(60)
    log(settings, events[:20])
    take_snapshot(settings)
    ours = replica_settings(settings, tmp_path)
    with replica(settings, tmp_path) as following:
        following.folded(20)
    log(settings, events[20:])
    drop_all_but(settings, 10)
    with replica(settings, tmp_path) as following:
        until(lambda: "missed" in following.state.problems)
        assert "events 21 to 50" in following.state.problems["missed"]
        assert following.state.folded == 20
        assert not following.state.fold_running
        with Client(ours.data_dir) as near:
            assert near.position == 20
            take_snapshot(settings)
            following.folded(60)
            assert near.wait_for(60, timeout=60) == 60
        assert not following.state.problems
    assert digest(ours) == digest(settings)


def test_a_replica_begins_again_without_the_values_that_were_erased(settings: Settings, tmp_path: Path) -> None:
    built, data = LogBuilder(), DataDir(settings.data_dir)
    built.log("model:m@1", {"customer": "zebra-4711", "owner": "ada"})
    log(settings, built.rows)
    take_snapshot(settings)
    ((old,), bytes_of_old) = stored(settings), b"".join(content(settings))
    ours = replica_settings(settings, tmp_path)
    with replica(settings, tmp_path) as following, running(settings) as projector:
        following.folded(1)
        until(lambda: projector.state.connected)
        target = Target.of(parse_ref("model:m@1"), [("customer",)])
        ErasingFolder(settings).erase(target, "left", "ada", PATIENCE)
        following.folded(2)  # with the snapshot that the projector makes in the place of the old one
        until(lambda: [one.info.nuid for one in stored(settings)] not in ([], [old.info.nuid]))
        with Client(ours.data_dir) as near:
            assert near.get("model:m@1").metadata == {"customer": Erased("left"), "owner": "ada"}
        until(lambda: len(view_files(DataDir(ours.data_dir))) == 1)
    assert digest(ours) == digest(settings)
    files = [path for root in (ours.data_dir, data.projection) for path in root.rglob("*") if path.is_file()]
    assert not [path for path in files if b"zebra-4711" in path.read_bytes()]
    assert all(one.snapshot.erased == 2 for one in stored(settings))
    # The view is compressed there, and the server forgets an object long before it overwrites one by itself.
    blocks = [path for path in (tmp_path / "nats").rglob("*") if path.is_file()]
    assert not [path for path in blocks if bytes_of_old[1000:1100] in path.read_bytes()]


def test_a_replica_goes_on_after_an_actors_key_with_a_snapshot_that_knows_it(
    settings: Settings, tmp_path: Path
) -> None:
    log(settings, made_events(1))
    take_snapshot(settings)
    ours, stated = replica_settings(settings, tmp_path), ActorKey("registered", "ada", "00" * 32, "in person")
    with replica(settings, tmp_path) as following, running(settings) as projector:
        following.folded(1)
        until(lambda: projector.state.connected)
        put_actor_key(settings, DataDir(settings.data_dir), stated, PATIENCE)
        until(lambda: "event 2 is about an actor's key" in following.state.problems.get("missed", ""))
        take_snapshot(settings)
        following.folded(2)
    assert digest(ours) == digest(settings)


def test_a_second_copy_whose_first_is_lost_waits_for_a_snapshot(settings: Settings, tmp_path: Path) -> None:
    events = made_events(12)
    log(settings, events[:10])
    take_snapshot(settings)
    store_again(settings, events[:1])
    log(settings, events[11:])
    drop_all_but(settings, 5)
    with replica(settings, tmp_path) as following:
        until(lambda: "second copy of event 1," in following.state.problems.get("missed", ""))
        take_snapshot(settings)
        following.folded(12)
    assert digest(replica_settings(settings, tmp_path)) == digest(settings)


def test_a_new_stream_is_noticed_and_followed_from_its_beginning(settings: Settings, tmp_path: Path) -> None:
    log(settings, made_events(30))
    take_snapshot(settings)
    ours = replica_settings(settings, tmp_path)
    with replica(settings, tmp_path) as following:
        following.folded(30)
        fresh = made_events(5)
        with_nats(settings, _recreate)
        publish_all(settings, fresh)
        until(lambda: following.state.folded == 5 or following.error)
    assert following.error is None
    with Client(ours.data_dir) as near:
        assert near.position == 5
        assert near.get("run:r1").metadata == {"n": 4}
    assert positions(settings) == [30]  # of the stream before: not used
    assert began_at(ours) is None


async def _recreate(connection: NatsConnection) -> None:
    await js(connection, "STREAM.DELETE.RUNLORE")
    await ensure_stream(connection, read_settings())


def test_a_stream_that_lost_what_was_folded_ends_the_replica(settings: Settings, tmp_path: Path) -> None:
    log(settings, made_events(20))
    ours = replica_settings(settings, tmp_path)
    with replica(settings, tmp_path) as following:
        following.folded(20)
    epoch = with_nats(settings, _epoch)
    with_nats(settings, lambda connection: _recreate_as(connection, epoch))
    publish_all(settings, made_events(7))
    with replica(settings, tmp_path) as following:
        assert "lost its tail" in str(following.ended())
    publish_all(settings, made_events(20))
    with replica(settings, tmp_path) as following:
        assert "rewritten" in str(following.ended())
    with Client(ours.data_dir) as near:
        assert near.position == 20


async def _epoch(connection: NatsConnection) -> str:
    return (await js(connection, "STREAM.INFO.RUNLORE"))["config"]["metadata"]["runlore.epoch"]


async def _recreate_as(connection: NatsConnection, epoch: str) -> None:
    config = (await js(connection, "STREAM.INFO.RUNLORE"))["config"]
    await js(connection, "STREAM.DELETE.RUNLORE")
    assert config["metadata"]["runlore.epoch"] == epoch
    await js(connection, "STREAM.CREATE.RUNLORE", config)


def test_a_client_of_a_folder_that_is_no_replica_says_how_to_make_one(settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="runlore replica --data-dir"):
        Client(f"replica:{settings.data_dir}")
