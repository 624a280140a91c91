"""Sending: rows of an outbox onto the stream, as one atomic batch or one at a time.

In an atomic batch only the last message asks for an answer; the server stores all of it or nothing, at
consecutive positions. Imports nats-py: only the relay's thread imports this module.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from nats.aio.client import Client as NatsConnection

from runlore.producer.outboxes.rows import Row
from runlore.producer.sending.acks import (
    Ack,
    NoAnswerError,
    NobodyError,
    RefusedError,
    WrongStreamError,
    nobody_listens,
)
from runlore.producer.sending.inbox import Inbox
from runlore.producer.sending.message import HEADER_ROOM, batch_headers, broken, commands, header_bytes, row_headers
from runlore.schemas.ids import new_id
from runlore.wire.api import api_subject
from runlore.wire.failures import NATS_ERRORS
from runlore.wire.private import send_block

ACK_SECONDS = 5.0
"""After this long without an acknowledgement the server is asked whether it is busy, dead, or has lost it."""
BUSY_SECONDS = 120.0
"""How long it may be busy. A server that syncs each of 1,000 small batches acknowledges the first with the last, after
12 s; sending them again would only add to it."""
LOST_SECONDS = 0.5
"""How long an acknowledgement may come after the answer to a later question."""
SLICE = 250
"""Messages prepared at a stretch and written to the socket together. An emitting step waits for each stretch once,
about 0.6 ms: one call in 250. With 32 one call in 32 waited 0.1 ms, and each wait may cost it its processor too."""

ASK_SECONDS = 5.0
"""How long a question to the server or the archive waits, unless it says otherwise."""
ONLY_IF_STORED = {"Nats-Expected-Last-Msg-Id": "none"}
"""Has the stream refuse an event that it does not have; it looks for duplicates first."""
PROBES = 100
"""Events asked for at once."""


class Sender:
    """One connection's way of publishing: at most one event or batch waits for its acknowledgement at a time."""

    def __init__(self, cloudevents: bool) -> None:
        self._cloudevents = cloudevents
        self._connection: NatsConnection | None = None
        self.inbox = Inbox()

    async def open(self, connection: NatsConnection) -> None:
        """Use this connection, whose callbacks are those of `inbox`. Raises ServerUnavailableError."""
        self._connection = connection
        await self.inbox.open(connection)

    async def ask(self, subject: str, payload: bytes = b"", seconds: float = ASK_SECONDS) -> bytes:
        """The answer to a question, beside events on their way.

        Raises NobodyError, ForbiddenError, NoAnswerError when the connection is lost, TimeoutError.
        """
        assert self._connection
        answer, reply = self.inbox.expect_answer(subject)
        try:
            await self._connection.publish(subject, payload, reply)
            message = await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            raise
        except NATS_ERRORS as error:
            raise _no_answer(error) from error
        if nobody_listens(message):
            raise NobodyError(f"nobody answers on {subject}")
        return message.data

    async def ask_api(self, request: str, payload: bytes = b"") -> bytes:
        """As `ask`, for a request of JetStream's API."""
        assert self._connection
        return await self.ask(api_subject(self._connection, request), payload)

    @property
    def _expected_stream(self) -> dict[str, str]:
        """Has any other stream refuse the message, and the batch that it is in."""
        return {"Nats-Expected-Stream": self.inbox.shard.stream}

    @property
    def safe_payload(self) -> int:
        """Bytes of an event that the server takes with any headers of ours."""
        assert self._connection
        return self._connection.max_payload - HEADER_ROOM

    def too_large(self, row: Row) -> str | None:
        """Why the server would close the connection over this row; nats-py does not count headers."""
        assert self._connection
        limit = self._connection.max_payload
        if (reason := broken(row)) is not None:
            return reason
        size = len(row.payload) + header_bytes(
            row_headers(row, self._cloudevents) | batch_headers(new_id(), 1000, last=True)
        )
        return f"{size:,} bytes with headers; the server takes {limit:,}" if size > limit else None

    async def send_batch(self, rows: Sequence[Row]) -> int:
        """Store all rows at consecutive positions; returns the last one's. Raises SendError."""
        batch = new_id()
        answer, reply = self.inbox.expect_ack(rows)
        for start in range(0, len(rows), SLICE):
            await self._publish_slice(batch, rows, start, answer, reply)
            await asyncio.sleep(0)  # nats-py writes, and the poll of the socket lets a waiting step have the lock
        ack = await self._hear(answer, rows[-1])
        if ack.count != len(rows):
            raise NoAnswerError(f"{len(rows)} events were sent and {ack.count} acknowledged")
        return ack.seq

    async def _publish_slice(
        self, batch: str, rows: Sequence[Row], start: int, answer: asyncio.Future[Ack], reply: str
    ) -> None:
        assert self._connection
        _check(answer)
        end = min(start + SLICE, len(rows))
        last = end == len(rows)
        # connection.publish() costs 12 µs a message, which an emitting step would feel; this way it is 2 µs.
        block = commands(rows[start : end - 1], batch, start + 1, self._cloudevents)
        await send_block(self._connection, block)
        # The last row goes the public way, which also writes to the socket.
        headers = batch_headers(batch, end, last)
        if last:
            headers |= self._expected_stream  # one message of a batch is enough
        _check(answer)
        await self._publish(rows[end - 1], reply if last else "", headers)

    async def send_one(self, row: Row) -> Ack:
        """Store one row. Raises SendError."""
        answer, reply = self.inbox.expect_ack([row])
        await self._publish(row, reply, self._expected_stream)
        return await self._hear(answer, row)

    async def find_stored(self, rows: Sequence[Row]) -> list[int] | int:
        """Positions of the rows at the front that the stream has already, by their IDs, or the number of rows at the
        front that it does not have. Stores nothing. Raises SendError.
        """
        found: list[int] = []
        missing = 0
        for start in range(0, len(rows), PROBES):
            asked = rows[start : start + PROBES]
            for row, answer in zip(asked, await self._ask_for(asked), strict=True):
                try:
                    position = (await self._hear(answer, row)).seq
                except RefusedError as error:
                    if not error.not_stored:
                        raise
                    if found:
                        return found
                    missing += 1
                else:
                    if missing:
                        return missing
                    found.append(position)
        return found or missing

    async def _ask_for(self, rows: Sequence[Row]) -> list[asyncio.Future[Ack]]:
        answers: list[asyncio.Future[Ack]] = []
        for row in rows:
            answer, reply = self.inbox.expect_ack([row])
            answers.append(answer)
            await self._publish(row, reply, self._expected_stream | ONLY_IF_STORED)
        return answers

    async def _publish(self, row: Row, reply: str, headers: dict[str, str]) -> None:
        assert self._connection
        headers = row_headers(row, self._cloudevents) | headers
        try:
            await self._connection.publish(row.subject, row.payload, reply, headers)
        except NATS_ERRORS as error:
            raise _no_answer(error) from error

    async def _hear(self, answer: asyncio.Future[Ack], row: Row) -> Ack:
        """The acknowledgement of what ends with this row, or the refusal. Raises SendError."""
        await asyncio.wait({answer}, timeout=ACK_SECONDS)
        if not answer.done():
            if self.inbox.others:
                raise WrongStreamError(
                    f"the stream {self.inbox.others} answers for {self.inbox.shard.stream}, which has not "
                    "acknowledged an event"
                )
            await self._wait_for_busy_server(answer, row)
        return answer.result()

    async def _wait_for_busy_server(self, answer: asyncio.Future[Ack], row: Row) -> None:
        """Wait on while the server lives and has not come to a question that was asked later."""
        assert self._connection
        deadline = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < deadline:
            (question,) = await self._ask_for([row])
            try:
                await self._connection.flush(timeout=ACK_SECONDS)  # type: ignore[arg-type]  # annotated int; a float works
            except NATS_ERRORS as error:
                raise NoAnswerError(f"no answer within {2 * ACK_SECONDS:g} s") from error
            left = max(0.0, deadline - time.monotonic())
            await asyncio.wait({answer, question}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            came_to_it = question.done() and not _is_busy(question)
            await asyncio.wait({answer}, timeout=LOST_SECONDS if came_to_it else min(left, ACK_SECONDS))
            if answer.done():
                return
            if came_to_it:
                raise NoAnswerError("an acknowledgement was lost")
        raise NoAnswerError(f"the server was busy for {BUSY_SECONDS:g} s")


def _is_busy(question: asyncio.Future[Ack]) -> bool:
    """Whether the server refused to look at it now."""
    error = question.exception()
    return isinstance(error, RefusedError) and error.busy


def _check(answer: asyncio.Future[Ack]) -> None:
    """Raises what the callbacks heard meanwhile."""
    if answer.done():
        answer.result()


def _no_answer(error: Exception) -> NoAnswerError:
    return NoAnswerError(str(error) or type(error).__name__)
