"""Delivery: all of a batch of rows onto the stream, whatever the server says, in order.

    atomic batch ─ stored ─▶ next
        ├ refused (a duplicate inside, batches unknown, …) ─▶ one row at a time until one is new, then a batch again
        ├ forbidden subject, row too large ─▶ those rows become dead letters, the rest is sent again
        └ no answer, no stream ─▶ DeliveryError: the relay connects again and sends the same rows again

No row is sent before the rows ahead of it are stored or dead, so a producer's order is the log's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
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
from runlore.producer.warn import warn_dead
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.settings import Settings
from runlore.schemas.subjects import ARCHIVE_SUBJECT
from runlore.wire.archived import ArchiveAnswer, ArchiveQuestion, Fate, StoredRange
from runlore.wire.connect import connect
from runlore.wire.failures import NATS_ERRORS

if TYPE_CHECKING:
    from runlore.producer.sending.source import Source

CLOSE_SECONDS = 1.0
SINGLES_SECONDS = 30.0
"""How long batches are not tried after the server refused one for another reason than a duplicate."""


class Delivery:
    """One connection to the server, for as long as it lasts."""

    def __init__(self, settings: Settings, on_lost: Callable[[], None], connect_seconds: float) -> None:
        self._settings = settings
        self._connect_seconds = connect_seconds
        self._on_lost = on_lost
        self._sender = Sender(settings.cloudevents)
        self._connection: NatsConnection | None = None
        self._forbidden: set[str] = set()
        self._singles_until = 0.0
        self._highest = 0
        """The highest position that the stream has shown on this connection."""

    async def __aenter__(self) -> Delivery:
        on_error, on_closed = self._sender.on_error, self._on_closed
        self._connection = await connect(
            self._settings, "runlore producer", on_error, on_closed, timeout=self._connect_seconds, role="producer"
        )
        await self._sender.open(self._connection)
        return self

    async def _on_closed(self) -> None:
        await self._sender.on_closed()
        self._on_lost()

    async def __aexit__(self, *_: Any) -> None:
        assert self._connection
        with contextlib.suppress(*NATS_ERRORS):  # it is gone already
            await asyncio.wait_for(self._connection.close(), CLOSE_SECONDS)

    async def identify(self) -> KnownStream | None:
        """The stream that this connection publishes on; None where the server does not tell. Raises DeliveryError."""
        try:
            stream = await identify(self._sender)
        except TimeoutError:
            raise DeliveryError(NoAnswerError("JetStream does not answer: busy, or without a leader")) from None
        except SendError as error:
            raise DeliveryError(error) from error
        self._sender.stream = stream
        if stream is not None:
            self._highest = stream.last_seq or 0
        return stream

    async def ask_archive(self, epoch: str, ranges: Sequence[StoredRange]) -> tuple[Fate, ...] | None:
        """What became of these in the archive of the stream of `epoch`.

        () when none answers, None when asking is not permitted. Raises DeliveryError when the connection is lost.
        """
        question = msgspec.json.encode(ArchiveQuestion(tuple(ranges)))
        try:
            data = await self._sender.ask(f"{ARCHIVE_SUBJECT}.{epoch}", question)
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
        if self._sender.trouble is not None:
            raise DeliveryError(self._sender.trouble)

    async def deliver(self, source: Source, rows: list[Row]) -> None:
        """Store every row or make it a dead letter; then the rows leave the outbox. Raises DeliveryError."""
        last = rows[-1].seq
        rows = self._without_unsendable(source, rows)
        alone = False
        while rows:
            alone = alone or len(rows) == 1 or time.monotonic() < self._singles_until
            try:
                if alone:
                    alone = await self._send_one(source, rows[0])
                    rows = rows[1:]
                else:
                    source.stored(rows, self._risen(await self._sender.send_batch(rows)))
                    rows = []
            except ForbiddenError as error:
                if source.destination.project not in (None, self._settings.project):
                    raise NotOursError(source.destination.project or "") from error
                self._forbidden.add(error.subject)
                rows = self._without_forbidden(source, rows)
            except RefusedError as error:
                if alone:
                    rows = self._refused(source, rows, error)
                elif error.duplicate:
                    alone = True  # what is stored already is at the front: pass it row by row
                else:
                    self._singles_until = time.monotonic() + SINGLES_SECONDS
            except EventDecodeError:
                rows = self._without_broken(source, rows)
            except (NoAnswerError, NoStreamError, WrongStreamError) as error:
                raise DeliveryError(error) from error
        source.finish(last)

    async def _send_one(self, source: Source, row: Row) -> bool:
        """Store one row; whether the next one should go alone too, because this one was there already."""
        ack = await self._sender.send_one(row)
        if not ack.duplicate:
            self._risen(ack.seq)
        source.stored([row], ack.seq)
        return ack.duplicate

    def _risen(self, position: int) -> int:
        """A new event's position. Raises NoAnswerError when the stream was made again beneath this connection."""
        if position <= self._highest:
            raise NoAnswerError(f"position {position} was handed out again: the stream may be another one")
        self._highest = position
        return position

    def _refused(self, source: Source, rows: list[Row], error: RefusedError) -> list[Row]:
        if not error.permanent:
            raise DeliveryError(error) from error
        _add_dead_letters(source, rows[:1], str(error))
        return rows[1:]

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
