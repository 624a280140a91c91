"""Where a project's shard is written, and who finds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection

from runlore.schemas import AccessDeniedError, ServerUnavailableError, Settings, SettingsError, read_settings
from runlore.schemas.shards import SHARD_STREAM, Shard
from runlore.store.folder import DataDir
from runlore.store.folder_shard import folder_shard, require_own_shard
from runlore.store.private_files import write_struct
from runlore.store.records import ReplicaMark
from runlore.wire.shards import assign_shard, find_shard
from runlore.wire.stream import create_stream, stream_config
from tests.cli.stack_process import run_cli
from tests.open_servers import open_server
from tests.projector.nats_tools import with_nats


def found(settings: Settings, project: str) -> Shard:
    return with_nats(settings, lambda connection: find_shard(connection, project))


def test_a_project_is_in_shard_0_unless_the_bucket_says_otherwise(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        assert found(settings, "speech") == Shard()  # no bucket
        with_nats(settings, lambda connection: assign_shard(connection, "speech", Shard(3), 1))
        with_nats(settings, lambda connection: assign_shard(connection, "a.b", Shard(4), 1))
        assert [found(settings, one) for one in ("speech", "a.b", "vision")] == [Shard(3), Shard(4), Shard()]
        with_nats(settings, lambda connection: assign_shard(connection, "speech", Shard(), 1))
        assert found(settings, "speech") == Shard()


def test_without_jetstream_or_permission_a_project_is_in_shard_0(tmp_path: Path) -> None:
    with open_server(tmp_path / "none", jetstream=False) as (_, settings):
        assert found(settings, "speech") == Shard()
    users = 'authorization { users: [{ user: u, password: pw, permissions: { publish: ["runlore.>"] } }] }'
    with open_server(tmp_path / "denied", extra=users) as (_, settings):
        url = (settings.url or "").replace("nats://", "nats://u:pw@")
        assert found(read_settings(url=url), "speech") == Shard()


def test_who_may_not_receive_answers_is_not_told_a_shard(tmp_path: Path) -> None:
    users = 'authorization { users: [{ user: u, password: pw, permissions: { subscribe: ["_INBOX_u.>"] } }] }'
    with open_server(tmp_path, extra=users) as (_, settings):
        url = (settings.url or "").replace("nats://", "nats://u:pw@")
        with pytest.raises(AccessDeniedError, match="RUNLORE_INBOX_PREFIX"):
            found(read_settings(url=url), "speech")


def test_a_bucket_that_does_not_answer_is_not_taken_for_an_absent_one(tmp_path: Path) -> None:
    async def silent(connection: NatsConnection) -> None:
        config = {"name": SHARD_STREAM, "subjects": ["$KV.runlore-shards.>"], "allow_direct": False}
        await create_stream(connection, config)
        with pytest.raises(ServerUnavailableError, match="runlore-shards"):
            await find_shard(connection, "speech")

    with open_server(tmp_path) as (_, settings):
        with_nats(settings, silent)


def test_the_operator_assigns_a_project_and_not_one_that_has_events_elsewhere(tmp_path: Path) -> None:
    async def event(connection: NatsConnection) -> None:
        for shard in (Shard(), Shard(1)):
            await create_stream(connection, stream_config(f"epoch-{shard.number}", 1, shard))
        await connection.request("runlore.vision.model.churn", b"an event")

    with open_server(tmp_path) as (_, settings):
        with_nats(settings, event)
        made = run_cli("operator", "shard", "speech", "1", RUNLORE_URL=settings.url or "")
        assert (made.returncode, "RUNLORE_01" in made.stdout) == (0, True), made.stderr
        assert found(settings, "speech") == Shard(1)
        with pytest.raises(SettingsError, match="has events in RUNLORE: 1 subject"):
            with_nats(settings, lambda connection: assign_shard(connection, "vision", Shard(1), 1))
        assert found(settings, "vision") == Shard()


def test_a_folder_is_of_one_shard(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.projection.mkdir(mode=0o700)
    assert folder_shard(data) is None
    url = "nats://127.0.0.1:1"
    require_own_shard(read_settings(data_dir=tmp_path, url=url, shard=2))
    write_struct(data.replica, ReplicaMark("an epoch", None))
    assert b"shard" not in data.replica.read_bytes()
    write_struct(data.replica, ReplicaMark("an epoch", None, 2))
    assert folder_shard(data) == Shard(2)
    require_own_shard(read_settings(data_dir=tmp_path, url=url, shard=2))
    with pytest.raises(SettingsError, match="RUNLORE_SHARD=2"):
        require_own_shard(read_settings(data_dir=tmp_path, url=url))
    with pytest.raises(SettingsError, match="RUNLORE_URL"):
        require_own_shard(read_settings(data_dir=tmp_path, shard=2))
