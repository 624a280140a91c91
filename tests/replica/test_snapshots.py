"""Snapshots of the view: stored beside the fold, checked before they are used, and never half of one."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection

from runlore.projector.service import Projector
from runlore.projector.snapshots import take
from runlore.projector.snapshots.take import take_snapshot
from runlore.projector.views.digest import view_digest
from runlore.schemas import NotFoundError, Settings, StreamMismatchError, read_settings
from runlore.schemas.errors import FolderBusyError
from runlore.schemas.ids import new_id
from runlore.store.audit.tree import read_tree
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.private_files import read_struct
from runlore.store.records import LastSnapshot, ReplicaMark
from runlore.store.sqlite import open_raw_reader
from tests.open_servers import js, open_server
from tests.projector.nats_tools import made_events, publish_all, until, with_nats
from tests.projector.service_tools import running
from tests.replica.replica_tools import (
    content,
    damage,
    digest,
    drop_all_but,
    is_genuine,
    log,
    positions,
    put_altered,
    replica,
    replica_settings,
    stored,
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setattr("runlore.projector.replicas.replica.SNAPSHOT_SECONDS", 0.1)
    with open_server(tmp_path) as (_, settings):
        yield settings


def began_at(settings: Settings) -> int | None:
    mark = read_struct(DataDir(settings.data_dir).replica, ReplicaMark)
    return mark.snapshot.position if mark and mark.snapshot else None


def test_a_snapshot_is_the_view_with_its_digest_and_the_tree_of_its_log(settings: Settings, tmp_path: Path) -> None:
    log(settings, made_events(30))
    made = take_snapshot(settings).snapshot
    assert (made.position, made.leaves) == (30, 30)
    data = DataDir(settings.data_dir)
    with contextlib.closing(open_raw_reader(data.log)) as archived:
        assert made.root == read_tree(archived)[1].root().hex()
    copy = tmp_path / "copy.db"
    copy.write_bytes(gzip.decompress(b"".join(content(settings))))
    assert copy.stat().st_size == made.view_bytes
    assert view_digest(copy) == view_digest(data.current_view()) == made.tables
    assert not (data.projection / "snapshot").exists()
    log(settings, made_events(300))  # the log is ahead of a view that is copied while events come
    assert take._tree_at(data, 30) == (made.epoch, 30, made.root)  # pyright: ignore[reportPrivateUsage] -- a rare moment


def taken(settings: Settings) -> int | None:
    """The position of a snapshot that was made now; None while the projector makes one."""
    with contextlib.suppress(FolderBusyError):
        return take_snapshot(settings).snapshot.position
    return None


def test_the_projector_stores_snapshots_by_itself_and_keeps_the_newest_two(settings: Settings) -> None:
    often = read_settings(url=settings.url, snapshot_every=10)
    data = DataDir(often.data_dir)
    with running(often) as projector:
        until(lambda: projector.state.connected)
        publish_all(often, made_events(10))
        until(lambda: read_struct(data.last_snapshot, LastSnapshot))
        assert positions(often) == [10]
        for position in (15, 20):
            publish_all(often, made_events(5))
            projector.folded(position)
            assert until(lambda: taken(often)) == position
    assert positions(often) == [20, 15]
    before = stored(often)
    assert take_snapshot(often).snapshot.position == 20
    assert stored(often) == before  # nothing is new: nothing is stored


def test_a_snapshot_that_fails_is_told_and_reaches_neither_the_fold_nor_the_service(settings: Settings) -> None:
    often = read_settings(url=settings.url, snapshot_every=1)
    data = DataDir(often.data_dir)
    with running(often) as projector:
        until(lambda: projector.state.connected)
        with FolderLock(data.projection / "snapshot.lock", "somebody"):
            with pytest.raises(FolderBusyError):
                take_snapshot(often)
            publish_all(often, made_events(3))
            until(lambda: "somebody" in projector.state.problems.get("snapshot", ""))
        publish_all(often, made_events(3))
        projector.folded(6)
    assert projector.error is None


def test_without_a_setting_the_projector_of_an_embedded_server_stores_none() -> None:
    assert _every(read_settings()) == 0
    assert _every(read_settings(url="nats://127.0.0.1:1")) == 100_000
    assert _every(read_settings(url="nats://127.0.0.1:1", snapshot_every=0)) == 0
    assert _every(read_settings(snapshot_every=7)) == 7


def _every(settings: Settings) -> int:
    return Projector(settings)._snapshots._every  # pyright: ignore[reportPrivateUsage] -- what the setting means


def test_where_there_is_nothing_to_take_a_snapshot_of_it_says_so(settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="folder of a projector"):
        take_snapshot(settings)


def test_a_snapshot_of_another_stream_is_not_stored(settings: Settings) -> None:
    log(settings, made_events(3))
    with_nats(settings, lambda connection: js(connection, "STREAM.DELETE.RUNLORE"))
    with pytest.raises(NotFoundError):
        take_snapshot(settings)
    with open_server(settings.data_dir / "other") as (_, other):
        log(read_settings(url=other.url, data_dir=settings.data_dir / "elsewhere"), made_events(3))
        with pytest.raises(StreamMismatchError, match="is a copy of"):
            take_snapshot(other)


@pytest.mark.parametrize("part", [None, b"no view at all"], ids=["cut off", "replaced"])
def test_a_damaged_snapshot_is_passed_over_for_the_one_before(
    part: bytes | None, settings: Settings, tmp_path: Path
) -> None:
    with running(settings) as projector:
        until(lambda: projector.state.connected)
        for last in (20, 30):
            publish_all(settings, made_events(10) if last == 30 else made_events(20))
            projector.folded(last)
            take_snapshot(settings)
    damage(settings, stored(settings)[0], part)
    with replica(settings, tmp_path) as following:
        following.folded(30)
    ours = replica_settings(settings, tmp_path)
    assert began_at(ours) == 20
    assert digest(ours) == digest(settings)
    assert not (DataDir(ours.data_dir).projection / "incoming.db").exists()


def test_snapshots_that_do_not_fit_are_not_used_and_each_is_named(settings: Settings, tmp_path: Path) -> None:
    log(settings, made_events(20))
    take_snapshot(settings)
    put_altered(settings, position=21, fold_version=99)
    put_altered(settings, position=22, epoch="another")
    put_altered(settings, position=23, view_schema=99)
    put_altered(settings, position=24, format=2)
    put_altered(settings, position=19)  # the view in it is another one
    drop_all_but(settings, 5)
    (fitting,) = [one for one in stored(settings) if is_genuine(one)]
    damage(settings, fitting, b"damaged")
    with replica(settings, tmp_path) as following:
        told = until(lambda: following.state.problems.get("snapshot"))
        assert "no snapshot to begin with" in told
        for reason in ("format 2", "view 99", "another stream (epoch another)"):
            assert reason in told
        assert following.state.folded == 0
        log(settings, made_events(1))
        take_snapshot(settings)
        following.folded(21)
    assert began_at(replica_settings(settings, tmp_path)) == 21


def test_with_verify_the_canonical_digest_must_be_the_one_that_was_stored(settings: Settings, tmp_path: Path) -> None:
    log(settings, made_events(20))
    made = take_snapshot(settings).snapshot
    put_altered(settings, tables=made.tables | {"heads": "0" * 64})
    for one in stored(settings):
        if is_genuine(one):
            damage(settings, one, None)
    with replica(settings, tmp_path, verify=True) as following:
        following.folded(20)
    assert began_at(replica_settings(settings, tmp_path)) is None  # it read the whole stream instead


def test_what_a_killed_upload_left_is_removed_once_it_is_old(settings: Settings) -> None:
    log(settings, made_events(3))
    take_snapshot(settings)
    old, recent = "01900000-0000-7000-8000-000000000000", new_id()

    async def left(connection: NatsConnection) -> list[str]:
        for upload in (old, recent):
            await connection.request(f"$O.RUNLORE_SNAPSHOTS.C.{upload}", b"half", timeout=60)
        return await chunks(connection)

    async def chunks(connection: NatsConnection) -> list[str]:
        wanted = {"subjects_filter": "$O.RUNLORE_SNAPSHOTS.C.>"}
        return sorted((await js(connection, "STREAM.INFO.OBJ_RUNLORE_SNAPSHOTS", wanted))["state"]["subjects"])

    assert len(with_nats(settings, left)) == 3
    log(settings, made_events(1))
    take_snapshot(settings)
    remaining = with_nats(settings, chunks)
    assert len(remaining) == 3  # two snapshots, and an upload that may still be under way
    assert not any(old in subject for subject in remaining)
    assert any(recent in subject for subject in remaining)
