"""Delivery: all of a batch of rows onto the stream, whatever the server says, in order.

    atomic batch ─ stored ─▶ next
        ├ a duplicate inside ─▶ ask for each row at the front whether it is stored, then a batch of the rest
        ├ too many batches open ─▶ wait a random time, the same batch again
        ├ refused for another reason ─▶ smaller batches, down to the row that is meant (pace.py)
        ├ forbidden subject, row too large ─▶ those rows become dead letters, the rest is sent again
        └ no answer, no stream ─▶ DeliveryError: the relay connects again and sends the same rows again

No row is sent before the rows ahead of it are stored or dead, so a producer's order is the log's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.producer.outboxes.rows import Row
from runlore.producer.sender import Sender
from runlore.producer.sending.acks import (
    DeliveryError,
    ForbiddenError,
    NoAnswerError,
    NobodyError,
    NoStreamError,
    NotOursError,
    RefusedError,
    SendError,
    WrongStreamError,
)
from runlore.producer.sending.identity import identify
from runlore.producer.sending.known_stream import KnownStream
from runlore.producer.sending.message import broken
from runlore.producer.sending.pace import Pace
from runlore.producer.sending.project_shard import project_shard
from runlore.producer.warn import warn_dead
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.wire.archived import ArchiveAnswer, ArchiveQuestion, Fate, StoredRange
from runlore.wire.connect import connect
from runlore.wire.destinations import has_shards
from runlore.wire.failures import NATS_ERRORS

if TYPE_CHECKING:
    from runlore.producer.sending.source import Source

CLOSE_SECONDS = 1.0


class Delivery:
    """One connection to the server, for as long as it lasts."""

    def __init__(self, settings: Settings, on_lost: Callable[[], None], connect_seconds: float) -> None:
        self._settings = settings
        self._connect_seconds = connect_seconds
        self._on_lost = on_lost
        self._sender = Sender(settings.cloudevents)
        self._connection: NatsConnection | None = None
        self._forbidden: set[str] = set()
        self._pace = Pace()
        self._highest = 0
        """The highest position that the stream has shown on this connection."""

    async def __aenter__(self) -> Delivery:
        on_error, on_closed = self._sender.inbox.on_error, self._on_closed
        self._connection = await connect(
            self._settings, "runlore producer", on_error, on_closed, timeout=self._connect_seconds, role="producer"
        )
        await self._sender.open(self._connection)
        return self

    async def _on_closed(self) -> None:
        await self._sender.inbox.on_closed()
        self._on_lost()

    async def __aexit__(self, *_: Any) -> None:
        assert self._connection
        with contextlib.suppress(*NATS_ERRORS):  # it is gone already
            await asyncio.wait_for(self._connection.close(), CLOSE_SECONDS)

    async def find_shard(self, project: str) -> Shard:
        """The shard of a project. Raises DeliveryError."""
        if not has_shards(self._settings):
            return Shard()
        try:
            return await project_shard(self._sender, project)
        except TimeoutError:
            raise DeliveryError(NoAnswerError("JetStream does not say in which shard the project is")) from None
        except SendError as error:
            raise DeliveryError(error) from error

    def use_shard(self, shard: Shard) -> None:
        """Send to the stream of this shard from now on."""
        self._sender.inbox.shard = shard

    async def identify(self) -> KnownStream | None:
        """The stream that this connection publishes on; None where the server does not tell. Raises DeliveryError."""
        try:
            stream = await identify(self._sender)
        except TimeoutError:
            raise DeliveryError(NoAnswerError("JetStream does not answer: busy, or without a leader")) from None
        except SendError as error:
            raise DeliveryError(error) from error
        self._sender.inbox.stream = stream
        if stream is not None:
            self._highest = stream.last_seq or 0
        return stream

    async def ask_archive(self, epoch: str, ranges: Sequence[StoredRange]) -> tuple[Fate, ...] | None:
        """What became of these in the archive of the stream of `epoch`.

        () when none answers, None when asking is not permitted. Raises DeliveryError when the connection is lost.
        """
        question = msgspec.json.encode(ArchiveQuestion(tuple(ranges)))
        try:
            data = await self._sender.ask(f"{self._sender.inbox.shard.archive_subject}.{epoch}", question)
            fates = msgspec.json.decode(data, type=ArchiveAnswer).fates
        except (NobodyError, TimeoutError, msgspec.MsgspecError):
            return ()
        except ForbiddenError:
            return None
        except SendError as error:
            raise DeliveryError(error) from error
        return fates if len(fates) == len(ranges) else ()

    def check(self) -> None:
        """Raises DeliveryError when the connection is lost."""
        if self._sender.inbox.trouble is not None:
            raise DeliveryError(self._sender.inbox.trouble)

    async def deliver(self, source: Source, rows: list[Row]) -> None:
        """Store every row or make it a dead letter; then the rows leave the outbox. Raises DeliveryError."""
        first, last = rows[0].seq, rows[-1].seq
        rows = self._without_unsendable(source, rows)
        while rows:
            try:
                rows = await self._store_some(source, rows)
            except DeliveryError:
                if rows[0].seq > first:  # what is ahead of the row that failed is handled
                    source.finish(rows[0].seq - 1)
                raise
        source.finish(last)

    async def _store_some(self, source: Source, rows: list[Row]) -> list[Row]:
        """Try to store the rows at the front; what is left to do. Raises DeliveryError."""
        count = self._pace.rows(len(rows))
        try:
            await self._store(source, rows[:count])
        except ForbiddenError as error:
            if source.destination.project not in (None, self._settings.project):
                raise NotOursError(source.destination.project or "") from error
            self._forbidden.add(error.subject)
            return self._without_forbidden(source, rows)
        except RefusedError as error:
            return await self._refused(source, rows, count, error)
        except EventDecodeError:
            return self._without_broken(source, rows)
        except (NoAnswerError, NoStreamError, WrongStreamError) as error:
            raise DeliveryError(error) from error
        return rows[count:]

    async def _store(self, source: Source, rows: list[Row]) -> None:
        if len(rows) == 1:
            ack = await self._sender.send_one(rows[0])
            source.stored(rows, ack.seq if ack.duplicate else self._risen(ack.seq))
        else:
            source.stored(rows, self._risen(await self._sender.send_batch(rows)))
        self._pace.stored(len(rows))

    def _risen(self, position: int) -> int:
        """A new event's position. Raises NoAnswerError when the stream was made again beneath this connection."""
        if position <= self._highest:
            raise NoAnswerError(f"position {position} was handed out again: the stream may be another one")
        self._highest = position
        return position

    async def _refused(self, source: Source, rows: list[Row], count: int, error: RefusedError) -> list[Row]:
        """What is left of the rows when the first `count` were refused."""
        if error.duplicate:
            return await self._without_stored(source, rows, count)
        if count > 1 or error.busy:
            await self._pace.refused(count, error)
            return rows
        if not error.permanent:
            raise DeliveryError(error) from error
        _add_dead_letters(source, rows[:1], str(error))
        return rows[1:]

    async def _without_stored(self, source: Source, rows: list[Row], count: int) -> list[Row]:
        """The rows without those at the front that are stored already: their acknowledgement was lost.

        That the batch has a duplicate proves nothing for its other rows, so the stream is asked for each.
        """
        try:
            positions = await self._sender.find_stored(rows[:count])
        except SendError as error:
            if not isinstance(error, RefusedError) or not error.busy:
                raise DeliveryError(error) from error
            await self._pace.refused(count, error)
            return rows
        if isinstance(positions, int):
            self._pace.limit_next(positions)  # the duplicate is behind them
            return rows
        for row, position in zip(rows, positions, strict=False):
            source.stored([row], position)
        return rows[len(positions) :]

    def _without_unsendable(self, source: Source, rows: list[Row]) -> list[Row]:
        safe = self._sender.safe_payload
        large = [row for row in rows if len(row.payload) > safe]
        for row in large:
            reason = self._sender.too_large(row)
            if reason is not None:
                _add_dead_letters(source, [row], reason)
                rows = [other for other in rows if other.seq != row.seq]
        return self._without_forbidden(source, rows) if self._forbidden else rows

    def _without_broken(self, source: Source, rows: list[Row]) -> list[Row]:
        reasons = {row.seq: broken(row) for row in rows}
        for row in rows:
            if reason := reasons[row.seq]:
                _add_dead_letters(source, [row], reason)
        return [row for row in rows if not reasons[row.seq]]

    def _without_forbidden(self, source: Source, rows: list[Row]) -> list[Row]:
        refused = [row for row in rows if row.subject.lower() in self._forbidden]
        if refused:
            subjects = ", ".join(sorted({row.subject for row in refused}))
            _add_dead_letters(source, refused, f"the server does not permit publishing on {subjects}")
        return [row for row in rows if row.subject.lower() not in self._forbidden]


def _add_dead_letters(source: Source, rows: list[Row], reason: str) -> None:
    source.add_dead_letters(rows, reason)
    warn_dead(source.outbox.path, len(rows), reason)
