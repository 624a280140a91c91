"""What every test of a fault ends with: nothing that was returned is lost, doubled or out of order, anywhere.

    returned ⊆ stream ⊆ history ∪ quarantine, each event once, each producer's in its order; live view = replay

The stream is read through a plain consumer of nats-py, and each file by SQL: none of it by the code under test.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nats.js.api import AckPolicy, ConsumerConfig

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.views.digest import view_digest
from runlore.projector.views.rebuild import fold_log
from runlore.projector.views.view import View
from runlore.schemas import RunloreError, Settings
from runlore.schemas.codec import decode_event
from runlore.schemas.shards import Shard
from runlore.schemas.subjects import SIGNING_SUBJECT, STREAM_NAME
from runlore.store.folder import DataDir
from runlore.store.sqlite import open_reader, sqlite
from runlore.wire.connect import connect
from tests.patience import PATIENCE, until


class Message(NamedTuple):
    """One message, as stream and log.db must both have it."""

    position: int
    event_id: str | None
    subject: str
    payload: bytes


def assert_nothing_lost_or_doubled(
    settings: Settings, returned: Collection[str] = (), *, in_order: bool = True, lost: Collection[int] = ()
) -> None:
    """Check the whole chain of a folder once its view has come to the end of the stream; the server runs.

    `returned`: IDs of events whose calls had returned and that are no longer in an outbox. `in_order`: False where
    events were sent again behind later ones, because the stream had lost them. `lost`: positions that only log.db
    still has.
    """
    data = DataDir(settings.data_dir)
    stream = read_stream(settings)
    until(lambda: _view_stands_at(data) >= (stream[-1].position if stream else 0))
    copies = _rows(data.log, "SELECT position, event_id, subject, payload, duplicate_of FROM log ORDER BY position")
    _assert_archived(stream, copies, lost)
    first = [Message(*row[:4]) for row in copies if row[4] is None]
    ids = [message.event_id for message in first if message.event_id is not None]
    assert len(ids) == len(set(ids)), "an event is in the log twice, and neither is marked as a copy"
    assert set(returned) <= set(ids)
    events = [message for message in first if message.subject != SIGNING_SUBJECT]
    assert_folded_once(data, [message.position for message in events])
    if in_order:
        assert_in_order(events)
    assert_live_is_a_replay(data)


def read_stream(settings: Settings) -> list[Message]:
    """Every message of the stream, by position."""
    return asyncio.run(_read_stream(settings))


async def _read_stream(settings: Settings) -> list[Message]:
    connection = await connect(settings, "test", _ignore, _ignore)
    try:
        jetstream = connection.jetstream(timeout=PATIENCE)
        state = (await jetstream.stream_info(STREAM_NAME)).state
        left = state.messages
        config = ConsumerConfig(ack_policy=AckPolicy.NONE)
        consumer = await jetstream.pull_subscribe(Shard().subjects, stream=STREAM_NAME, config=config)
        found: list[Message] = []
        while left:
            for one in await consumer.fetch(500, timeout=PATIENCE):
                event_id = (one.headers or {}).get("Nats-Msg-Id")
                found.append(Message(one.metadata.sequence.stream, event_id, one.subject, one.data))
                # A damaged message is counted as pending, and never comes.
                left = one.metadata.num_pending if found[-1].position < state.last_seq else 0
        return found
    finally:
        await connection.close()


async def _ignore(*_: Any) -> None:
    pass


def _assert_archived(stream: Sequence[Message], copies: Sequence[Sequence[Any]], lost: Collection[int]) -> None:
    archived = {row[0]: Message(*row[:4]) for row in copies}
    assert [archived.get(message.position) for message in stream] == list(stream)
    assert set(archived) - {message.position for message in stream} <= set(lost)


def assert_folded_once(data: DataDir, positions: Sequence[int]) -> None:
    """Each first copy of the log is in history or in quarantine, and in no other place a second time."""
    history = [row[0] for row in _rows(data.current_view(), "SELECT position FROM events ORDER BY position")]
    wrong = _rows(data.current_view(), "SELECT position FROM quarantine WHERE stage != 'conflict' ORDER BY position")
    assert sorted(history + [row[0] for row in wrong]) == list(positions)


def assert_in_order(first_copies: Sequence[Message]) -> None:
    """Of each producer the first copies come in the order in which it numbered them, none missing in between."""
    numbers: dict[str, list[int]] = collections.defaultdict(list)
    for message in first_copies:
        with contextlib.suppress(RunloreError):  # quarantined: nobody knows whose it is
            event = decode_event(message.payload)
            numbers[event.producer_id].append(event.producer_seq)
    for producer, seen in numbers.items():
        assert seen == list(range(seen[0], seen[0] + len(seen))), f"producer {producer}"


def assert_live_is_a_replay(data: DataDir) -> None:
    """The live view equals one that is folded from log.db now."""
    with (
        tempfile.TemporaryDirectory(dir=data.root.parent) as folder,
        contextlib.closing(ArchiveReader(data.log)) as log,
        contextlib.closing(View.create(Path(folder) / "replay.db", log.epoch)) as replay,
    ):
        fold_log(log, replay)
        assert view_digest(replay.path) == view_digest(data.current_view())


def _view_stands_at(data: DataDir) -> int:
    with contextlib.suppress(RunloreError, sqlite.Error):  # it is being rebuilt
        return int(_rows(data.current_view(), "SELECT position FROM view_state")[0][0])
    return -1


def _rows(path: Path, statement: str) -> list[Any]:
    with contextlib.closing(open_reader(path)) as connection:
        return connection.execute(statement).fetchall()
