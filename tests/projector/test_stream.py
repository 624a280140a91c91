from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as NatsConnection
from nats_tools import connected, js, open_server, with_nats

from runlore.cli.server import EmbeddedServer
from runlore.projector import ensure_stream, stream_drift, stream_info
from runlore.schemas import (
    NotFoundError,
    ServerUnavailableError,
    Settings,
    SettingsError,
    StreamDriftError,
    read_settings,
)
from runlore.wire import api
from runlore.wire.stream import EPOCH_KEY

SECOND = 10**9


async def good_config(connection: NatsConnection, settings: Settings) -> dict[str, Any]:
    await ensure_stream(connection, settings)
    return (await stream_info(connection)).config


def test_a_new_stream_is_as_it_must_be_and_stays_the_same(settings: Settings, server: EmbeddedServer) -> None:
    async def work(connection: NatsConnection) -> None:
        first = await ensure_stream(connection, settings)
        info = await stream_info(connection)
        assert stream_drift(info.config) == []
        assert (first.last_seq, info.messages) == (0, 0)
        assert first.epoch == info.config["metadata"][EPOCH_KEY]
        assert await ensure_stream(connection, settings) == first

    with_nats(settings, work)


def test_starters_at_once_agree_on_one_stream(settings: Settings, server: EmbeddedServer) -> None:
    async def one() -> str:
        async with connected(settings) as connection:
            return (await ensure_stream(connection, settings)).epoch

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*[one() for _ in range(8)])

    assert len(set(asyncio.run(all_at_once()))) == 1


def test_there_is_nothing_to_describe_before_the_stream_is_made(settings: Settings, server: EmbeddedServer) -> None:
    async def work(connection: NatsConnection) -> None:
        with pytest.raises(NotFoundError, match="no stream RUNLORE"):
            await stream_info(connection)

    with_nats(settings, work)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subjects", ["runlore.>", "other.>"]),
        ("subjects", ["runlore.default.>"]),
        ("storage", "memory"),
        ("retention", "interest"),
        ("retention", "workqueue"),
        ("discard", "old"),
        ("discard_new_per_subject", True),
        ("max_msgs", 1000),
        ("max_age", 86_400 * SECOND),
        ("max_msg_size", 1000),
        ("max_msgs_per_subject", 1),
        ("deny_delete", False),
        ("deny_purge", False),
        ("allow_atomic", False),
        ("compression", "s2"),
        ("duplicate_window", 10 * SECOND),
        ("sealed", True),
        ("no_ack", True),
        ("allow_rollup_hdrs", True),
        ("allow_msg_ttl", True),
        ("persist_mode", "async"),
        ("subject_delete_marker_ttl", SECOND),
        ("mirror", {"name": "OTHER"}),
        ("sources", [{"name": "OTHER"}]),
        ("subject_transform", {"src": "runlore.>", "dest": "lost.>"}),
        ("metadata", {}),
        ("metadata", None),
    ],
)
def test_drift_names_each_setting_that_could_cost_events(
    field: str, value: Any, settings: Settings, server: EmbeddedServer
) -> None:
    config = with_nats(settings, lambda connection: good_config(connection, settings))
    (drift,) = stream_drift({**config, field: value})
    assert drift.field.startswith(field)
    if field != "metadata":
        assert drift.found == value


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_replicas", 3), ("duplicate_window", 600 * SECOND), ("description", "ours"), ("max_msgs", 0)],
)
def test_settings_that_cost_nothing_are_not_drift(
    field: str, value: Any, settings: Settings, server: EmbeddedServer
) -> None:
    config = with_nats(settings, lambda connection: good_config(connection, settings))
    assert stream_drift({**config, field: value}) == []


def test_a_drifted_stream_is_refused_with_every_field_and_never_repaired(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):

        async def work(connection: NatsConnection) -> None:
            config = await good_config(connection, settings)
            changed = {**config, "max_msgs": 5, "max_age": 60 * SECOND, "duplicate_window": SECOND}
            answer = await js(connection, "STREAM.UPDATE.RUNLORE", changed)
            assert "error" not in answer
            with pytest.raises(StreamDriftError) as caught:
                await ensure_stream(connection, settings)
            message = str(caught.value)
            for part in ("max_msgs is 5, must be -1", "max_age", "duplicate_window", "Nothing was changed"):
                assert part in message
            assert (await stream_info(connection)).config["max_msgs"] == 5

        with_nats(settings, work)


def test_a_stream_of_our_name_that_someone_else_made_is_refused(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):

        async def work(connection: NatsConnection) -> None:
            await js(connection, "STREAM.CREATE.RUNLORE", {"name": "RUNLORE", "subjects": ["runlore.>"]})
            with pytest.raises(StreamDriftError, match=r"metadata\[runlore.epoch\]"):
                await ensure_stream(connection, settings)

        with_nats(settings, work)


def test_another_stream_on_our_subjects_is_named(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):

        async def work(connection: NatsConnection) -> None:
            await js(connection, "STREAM.CREATE.EVENTS", {"name": "EVENTS", "subjects": ["runlore.default.>"]})
            with pytest.raises(StreamDriftError, match=r"EVENTS takes runlore\.>.*Nothing was changed"):
                await ensure_stream(connection, settings)

        with_nats(settings, work)


def test_a_server_without_jetstream_is_named_as_such(tmp_path: Path) -> None:
    with (
        open_server(tmp_path, jetstream=False) as (_, settings),
        pytest.raises(ServerUnavailableError, match="JetStream"),
    ):
        with_nats(settings, lambda connection: ensure_stream(connection, settings))


def test_a_missing_permission_is_named_as_a_possible_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "API_TIMEOUT", 0.3)
    deny = 'authorization { users: [ { user: u, password: p, permissions: { publish: { deny: "$JS.API.>" } } } ] }'
    with open_server(tmp_path, extra=deny) as (_, plain):
        settings = read_settings(url=str(plain.url).replace("nats://", "nats://u:p@"))
        with pytest.raises(ServerUnavailableError, match="may not publish"):
            with_nats(settings, lambda connection: ensure_stream(connection, settings))


def test_replicas_on_a_single_server_are_a_wrong_setting(server: EmbeddedServer) -> None:
    settings = read_settings(replicas=3)
    with pytest.raises(SettingsError, match="RUNLORE_REPLICAS=3"):
        with_nats(settings, lambda connection: ensure_stream(connection, settings))
