from __future__ import annotations

from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection
from nats_tools import js, made_events, open_server, publish, with_nats

from runlore.projector.archiving.checks import check_stream
from runlore.schemas import StreamMismatchError
from runlore.store.log_rows import LogRow
from runlore.wire.stream import StreamIdentity, get_message

IDENTITY = StreamIdentity("epoch-1", 1, 10)


async def filled(connection: NatsConnection) -> LogRow:
    """A stream of ten events; its last, as the archive would hold it."""
    await js(connection, "STREAM.CREATE.RUNLORE", {"name": "RUNLORE", "subjects": ["runlore.>"]})
    for row in made_events(10):
        await publish(connection, [row])
    stored = await get_message(connection, 10)
    assert stored is not None
    return row._replace(position=10, subject=stored.subject)


def check_fails(tmp_path: Path, match: str, identity: StreamIdentity = IDENTITY, **changes: object) -> None:
    async def work(connection: NatsConnection) -> None:
        last = (await filled(connection))._replace(**changes)  # type: ignore[arg-type]
        with pytest.raises(StreamMismatchError, match=match) as caught:
            await check_stream(connection, identity, "epoch-1", 10, last)
        assert "Nothing was overwritten" in str(caught.value)

    with open_server(tmp_path) as (_, settings):
        with_nats(settings, work)


def test_the_stream_that_was_archived_passes(tmp_path: Path) -> None:
    async def work(connection: NatsConnection) -> None:
        last = await filled(connection)
        await check_stream(connection, IDENTITY, "epoch-1", 10, last)
        await check_stream(connection, IDENTITY, "epoch-1", 0, None)

    with open_server(tmp_path) as (_, settings):
        with_nats(settings, work)


def test_another_epoch_means_recreated(tmp_path: Path) -> None:
    check_fails(tmp_path, "recreated", StreamIdentity("epoch-2", 1, 10))


def test_an_end_before_ours_means_a_lost_tail(tmp_path: Path) -> None:
    check_fails(tmp_path, "lost its tail.*event 9.*log.db at event 10", StreamIdentity("epoch-1", 1, 9))


@pytest.mark.parametrize(
    "change", [{"payload": b"other"}, {"event_id": "other"}, {"event_id": None}, {"subject": "runlore.other.x"}]
)
def test_another_message_at_our_position_means_rewritten(tmp_path: Path, change: dict[str, object]) -> None:
    check_fails(tmp_path, "rewritten: its event 10", **change)


def test_a_deleted_message_at_our_position_is_no_match(tmp_path: Path) -> None:
    async def work(connection: NatsConnection) -> None:
        last = await filled(connection)
        await js(connection, "STREAM.MSG.DELETE.RUNLORE", {"seq": 10})
        with pytest.raises(StreamMismatchError, match="lost event 10"):
            await check_stream(connection, IDENTITY, "epoch-1", 10, last)

    with open_server(tmp_path) as (_, settings):
        with_nats(settings, work)
