"""Sending: rows of an outbox onto the stream, as one atomic batch or one at a time.

In an atomic batch only the last message asks for an answer; the server stores all of it or nothing, at
consecutive positions. Imports nats-py: only the relay's thread imports this module.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg

from runlore.producer.outboxes.rows import Row
from runlore.producer.sending.acks import (
    Ack,
    ForbiddenError,
    NoAnswerError,
    NobodyError,
    NoInboxError,
    RefusedError,
    SendError,
    WrongStreamError,
    nobody_listens,
    read_ack,
)
from runlore.producer.sending.known_stream import KnownStream
from runlore.producer.sending.message import HEADER_ROOM, batch_headers, broken, commands, header_bytes, row_headers
from runlore.schemas.ids import new_id
from runlore.schemas.subjects import STREAM_NAME
from runlore.wire.api import api_subject, listen
from runlore.wire.failures import INBOX_ADVICE, NATS_ERRORS
from runlore.wire.private import send_block

ACK_SECONDS = 5.0
"""After this long without an answer the connection is given up and the same rows are sent again."""
SLICE = 250
"""Messages prepared at a stretch and written to the socket together. An emitting step waits for each stretch once,
about 0.6 ms: one call in 250. With 32 one call in 32 waited 0.1 ms, and each wait may cost it its processor too."""

ASK_SECONDS = 5.0
"""How long a question to the server or the archive waits, unless it says otherwise."""
REFUSAL_SECONDS = 0.25
"""How long a refusal waits for an acknowledgement beside it, where streams of our name are in several domains."""
EXPECTED_STREAM = {"Nats-Expected-Stream": STREAM_NAME}
"""Has any other stream refuse the message, and the batch that it is in."""

_FORBIDDEN = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


class Sender:
    """One connection's way of publishing: at most one event or batch waits for its acknowledgement at a time."""

    def __init__(self, cloudevents: bool) -> None:
        self._cloudevents = cloudevents
        self._connection: NatsConnection | None = None
        self._inbox = ""
        self._number = 0
        self._answer: asyncio.Future[Ack] | None = None
        self._rows: Sequence[Row] = ()
        """The rows that wait for it."""
        self._asked: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        """Open questions by the last token of their inbox: the subject asked, and the answer to come."""
        self._others = ""
        """Another stream that has answered in place of ours."""
        self.trouble: SendError | None = None
        self.stream: KnownStream | None = None
        """The stream whose acknowledgements count, told by its JetStream domain; None: not known."""

    async def open(self, connection: NatsConnection) -> None:
        """Use this connection, whose callbacks are `on_error` and `on_closed`. Raises ServerUnavailableError."""
        self._connection = connection
        self._inbox = connection.new_inbox()
        await listen(connection, f"{self._inbox}.*", self._on_answer)

    async def _on_answer(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        if token in self._asked:
            _settle(self._asked[token][1], message)
        # Late answers to what was given up carry an older number.
        elif token == str(self._number) and self._answer is not None:
            self._on_ack(message, self._answer)

    def _on_ack(self, message: Msg, answer: asyncio.Future[Ack]) -> None:
        """Only our stream's answer counts; that of another is kept for the time-out's message."""
        try:
            ack = read_ack(message)
        except RefusedError as error:
            if error.stream not in ("", STREAM_NAME):
                self._others = error.stream
            elif self.stream is not None and self.stream.domain is not None:
                # A refusal does not say from which domain it comes.
                asyncio.get_running_loop().call_later(REFUSAL_SECONDS, _settle, answer, error)
            else:
                _settle(answer, error)
        except SendError as error:
            _settle(answer, error)
        else:
            if ack.stream != STREAM_NAME or (self.stream is not None and ack.domain != self.stream.domain):
                self._others = ack.source
            else:
                _settle(answer, ack)

    async def on_error(self, error: Exception) -> None:
        """nats-py's error callback: permission violations arrive here only."""
        found = _FORBIDDEN.search(str(error).lower())
        if found and found[1] == "publish":
            self._forbid(ForbiddenError(found[2]))
        elif found:
            self._fail(NoInboxError(f"this user may not subscribe to {found[2]}, where answers arrive: {INBOX_ADVICE}"))

    def _forbid(self, error: ForbiddenError) -> None:
        asked = [answer for subject, answer in self._asked.values() if subject.lower() == error.subject]
        for answer in asked:
            _settle(answer, error)
        # Each message of a refused batch is refused by itself, and the last of these come while others wait.
        if not asked and any(row.subject.lower() == error.subject for row in self._rows):
            self._fail(error)

    async def on_closed(self) -> None:
        """nats-py's closed callback."""
        self.trouble = NoAnswerError("the connection to the server was lost")
        self._fail(self.trouble)

    def _fail(self, error: SendError) -> None:
        for _, asked in self._asked.values() if isinstance(error, NoAnswerError) else ():
            _settle(asked, error)
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)
        elif isinstance(error, NoAnswerError):
            self.trouble = error

    async def ask(self, subject: str, payload: bytes = b"", seconds: float = ASK_SECONDS) -> bytes:
        """The answer to a question, beside events on their way.

        Raises NobodyError, ForbiddenError, NoAnswerError when the connection is lost, TimeoutError.
        """
        if self.trouble is not None:
            raise self.trouble
        assert self._connection
        token = f"q{new_id()}"
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_heed)
        self._asked[token] = subject, answer
        try:
            await self._connection.publish(subject, payload, f"{self._inbox}.{token}")
            message = await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            raise
        except NATS_ERRORS as error:
            raise _no_answer(error) from error
        finally:
            del self._asked[token]
        if nobody_listens(message):
            raise NobodyError(f"nobody answers on {subject}")
        return message.data

    async def ask_api(self, request: str, payload: bytes = b"") -> bytes:
        """As `ask`, for a request of JetStream's API."""
        assert self._connection
        return await self.ask(api_subject(self._connection, request), payload)

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
        answer, reply = self._ask(rows)
        for start in range(0, len(rows), SLICE):
            await self._publish_slice(batch, rows, start, reply)
            await asyncio.sleep(0)  # nats-py writes, and the poll of the socket lets a waiting step have the lock
        ack = await self._hear(answer)
        if ack.count != len(rows):
            raise NoAnswerError(f"{len(rows)} events were sent and {ack.count} acknowledged")
        return ack.seq

    async def _publish_slice(self, batch: str, rows: Sequence[Row], start: int, reply: str) -> None:
        assert self._connection
        self._check()
        end = min(start + SLICE, len(rows))
        last = end == len(rows)
        # connection.publish() costs 12 µs a message, which an emitting step would feel; this way it is 2 µs.
        block = commands(rows[start : end - 1], batch, start + 1, self._cloudevents)
        await send_block(self._connection, block)
        # The last row goes the public way, which also writes to the socket.
        headers = row_headers(rows[end - 1], self._cloudevents) | batch_headers(batch, end, last)
        if last:
            headers |= EXPECTED_STREAM  # one message of a batch is enough
        await self._publish(rows[end - 1], reply if last else "", headers)

    async def send_one(self, row: Row) -> Ack:
        """Store one row. Raises SendError."""
        answer, reply = self._ask([row])
        await self._publish(row, reply, row_headers(row, self._cloudevents) | EXPECTED_STREAM)
        return await self._hear(answer)

    def _ask(self, rows: Sequence[Row]) -> tuple[asyncio.Future[Ack], str]:
        if self.trouble is not None:
            raise self.trouble
        self._number += 1
        self._rows = rows
        self._answer = asyncio.get_running_loop().create_future()
        self._answer.add_done_callback(_heed)
        return self._answer, f"{self._inbox}.{self._number}"

    async def _publish(self, row: Row, reply: str, headers: dict[str, str]) -> None:
        assert self._connection
        self._check()
        try:
            await self._connection.publish(row.subject, row.payload, reply, headers)
        except NATS_ERRORS as error:
            raise _no_answer(error) from error

    def _check(self) -> None:
        if self._answer is not None and self._answer.done():
            self._answer.result()  # raises what the callbacks heard meanwhile

    async def _hear(self, answer: asyncio.Future[Ack]) -> Ack:
        try:
            return await asyncio.wait_for(answer, ACK_SECONDS)
        except TimeoutError:
            if self._others:
                raise WrongStreamError(
                    f"the stream {self._others} answers for {STREAM_NAME}, which has not acknowledged an event"
                ) from None
            raise NoAnswerError(f"no acknowledgement within {ACK_SECONDS:g} s") from None


def _no_answer(error: Exception) -> NoAnswerError:
    return NoAnswerError(str(error) or type(error).__name__)


def _settle(answer: asyncio.Future[Any], outcome: object) -> None:
    if answer.done():
        return
    if isinstance(outcome, SendError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _heed(answer: asyncio.Future[Any]) -> None:
    """Take note of an error even when sending failed first; asyncio would complain that nobody did."""
    if not answer.cancelled():
        answer.exception()
