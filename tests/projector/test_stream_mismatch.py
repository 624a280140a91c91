"""A stream that is not the archived one, drifted or has holes."""

from __future__ import annotations

from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection
from nats_tools import js, made_events, open_server, publish, publish_all, until, with_nats
from service_tools import (
    Running,
    archive_some,
    history,
    log_rows,
    running,
    spawn,
    status,
)

from runlore.projector import ensure_stream, stream_info
from runlore.schemas import (
    NotFoundError,
    Settings,
    StreamDriftError,
    StreamMismatchError,
)
from runlore.store.folder import DataDir
from runlore.wire.stream import EPOCH_KEY


def test_a_recreated_stream_stops_it_and_nothing_is_overwritten(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):
        archive_some(settings)

        async def recreate(connection: NatsConnection) -> None:
            await js(connection, "STREAM.DELETE.RUNLORE")
            await ensure_stream(connection, settings)
            await publish(connection, made_events(30))

        with_nats(settings, recreate)
        stops_with_mismatch(settings, "recreated")


@pytest.mark.slow
def test_a_stream_that_is_gone_is_not_made_again_beside_an_old_log(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):
        archive_some(settings)
        with_nats(settings, lambda connection: js(connection, "STREAM.DELETE.RUNLORE"))
        stops_with_mismatch(settings, "the stream is gone")
        with pytest.raises(NotFoundError):
            with_nats(settings, stream_info)


@pytest.mark.parametrize(("count", "says"), [(15, "lost its tail"), (30, "rewritten")])
def test_a_stream_of_the_same_epoch_with_another_end_stops_it(
    count: int, says: str, tmp_path: Path, data: DataDir
) -> None:
    with open_server(tmp_path) as (_, settings):
        archive_some(settings)

        async def damage(connection: NatsConnection) -> None:
            config = (await stream_info(connection)).config
            await js(connection, "STREAM.DELETE.RUNLORE")
            await js(connection, "STREAM.CREATE.RUNLORE", config)
            await publish(connection, made_events(count))

        with_nats(settings, damage)
        stops_with_mismatch(settings, says)


def stops_with_mismatch(settings: Settings, says: str) -> None:
    data = DataDir(settings.data_dir)
    before = log_rows(data.log), history(data)
    error = Running(settings).ended()
    assert isinstance(error, StreamMismatchError)
    assert says in str(error)
    assert (log_rows(data.log), history(data)) == before
    now = status(data)
    assert now is not None
    assert says in (now.stopped or "")
    process = spawn(settings)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 4
    assert says in errors
    assert "Nothing was overwritten" in errors


@pytest.mark.parametrize("change", ["update", "delete"])
def test_a_stream_that_changes_under_way_stops_it_within_seconds(change: str, tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        service = Running(settings)
        until(lambda: service.state.connected)
        publish_all(settings, made_events(20))
        service.folded(20)

        async def harm(connection: NatsConnection) -> None:
            if change == "delete":
                await js(connection, "STREAM.DELETE.RUNLORE")
            else:
                config = (await stream_info(connection)).config
                await js(connection, "STREAM.UPDATE.RUNLORE", {**config, "max_msgs": 2})

        with_nats(settings, harm)
        error = service.ended()
        assert isinstance(error, StreamMismatchError if change == "delete" else StreamDriftError)


def test_a_drifted_stream_ends_it_with_code_4_and_every_field(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings):
        with_nats(
            settings,
            lambda connection: js(connection, "STREAM.CREATE.RUNLORE", {"name": "RUNLORE", "subjects": ["runlore.>"]}),
        )
        process = spawn(settings)
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 4
        assert "deny_delete" in errors
        assert EPOCH_KEY in errors


def test_a_hole_that_the_stream_confirms_is_recorded_and_passed(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):

        async def start_at_five(connection: NatsConnection) -> None:
            await ensure_stream(connection, settings)
            config = (await stream_info(connection)).config
            await js(connection, "STREAM.DELETE.RUNLORE")
            await js(connection, "STREAM.CREATE.RUNLORE", {**config, "first_seq": 5})
            await publish(connection, made_events(10))

        with_nats(settings, start_at_five)
        with running(settings) as service:
            service.folded(14)
            assert service.state.gaps == 1
        assert [row.position for row in log_rows(data.log)] == list(range(5, 15))
        assert len(history(data)) == 10
