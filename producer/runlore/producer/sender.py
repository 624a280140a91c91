"""Sending: rows of an outbox onto the stream, as one atomic batch or one at a time.

In an atomic batch only the last message asks for an answer; the server stores all of it or nothing, at
consecutive positions. Imports nats-py: only the relay's thread imports this module.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import msgspec
import nats.errors
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg

from runlore.producer.message import HEADER_ROOM, batch_headers, broken, commands, header_bytes, row_headers
from runlore.producer.outbox import Row
from runlore.schemas.ids import new_id

ACK_SECONDS = 5.0
"""After this long without an answer the connection is given up and the same rows are sent again."""
SLICE = 250
"""Messages prepared at a stretch and written to the socket together. An emitting step waits for each stretch once,
about 0.6 ms: one call in 250. With 32 one call in 32 waited 0.1 ms, and each wait may cost it its processor too."""

_TOO_LARGE, _DUPLICATE_IN_BATCH = 10054, 10201
_FORBIDDEN = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


class SendError(Exception):
    """Base of what can go wrong with one attempt; never leaves the relay."""


class NoAnswerError(SendError):
    """The connection is lost, or the server was silent: connect anew and send the same again."""


class NoStreamError(SendError):
    """Nobody listens on the subject: the stream is not there yet."""


class ForbiddenError(SendError):
    """The server does not let this user publish on a subject (in lower case, as nats-py reports it)."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"publishing on {subject} is not permitted")
        self.subject = subject


class RefusedError(SendError):
    """JetStream answered with an error."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} (error {code})")
        self.permanent = code == _TOO_LARGE
        self.duplicate = code == _DUPLICATE_IN_BATCH


class Ack(msgspec.Struct, frozen=True):
    """What JetStream answers."""

    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


_decode_ack = msgspec.json.Decoder(Ack).decode


class Sender:
    """One connection's way of publishing: at most one question to the server is open at a time."""

    def __init__(self) -> None:
        self._connection: NatsConnection | None = None
        self._inbox = ""
        self._questions = 0
        self._answer: asyncio.Future[Msg] | None = None
        self.trouble: SendError | None = None

    async def open(self, connection: NatsConnection) -> None:
        """Use this connection, whose callbacks are `on_error` and `on_closed`."""
        self._connection = connection
        self._inbox = connection.new_inbox()
        await connection.subscribe(f"{self._inbox}.*", cb=self._on_answer)  # pyright: ignore[reportUnknownMemberType] -- nats-py leaves a Future open

    async def _on_answer(self, message: Msg) -> None:
        # Late answers to questions given up carry an older number.
        if message.subject.endswith(f".{self._questions}") and self._answer and not self._answer.done():
            self._answer.set_result(message)

    async def on_error(self, error: Exception) -> None:
        """nats-py's error callback: permission violations arrive here only."""
        found = _FORBIDDEN.search(str(error).lower())
        if found and found[1] == "publish":
            self._fail(ForbiddenError(found[2]))
        elif found:
            self._fail(NoAnswerError(f"may not subscribe to {found[2]}: acknowledgements cannot be received"))

    async def on_closed(self) -> None:
        """nats-py's closed callback."""
        self.trouble = NoAnswerError("the connection to the server was lost")
        self._fail(self.trouble)

    def _fail(self, error: SendError) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)
        elif isinstance(error, NoAnswerError):
            self.trouble = error

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
        size = len(row.payload) + header_bytes(row_headers(row) | batch_headers(new_id(), 1000, last=True))
        return f"{size:,} bytes with headers; the server takes {limit:,}" if size > limit else None

    async def send_batch(self, rows: Sequence[Row]) -> int:
        """Store all rows at consecutive positions; returns the last one's. Raises SendError."""
        batch = new_id()
        answer, reply = self._ask()
        for start in range(0, len(rows), SLICE):
            await self._publish_slice(batch, rows, start, reply)
            await asyncio.sleep(0)  # nats-py writes, and the poll of the socket lets a waiting step have the lock
        return (await self._hear(answer)).seq

    async def _publish_slice(self, batch: str, rows: Sequence[Row], start: int, reply: str) -> None:
        assert self._connection
        self._check()
        end = min(start + SLICE, len(rows))
        last = end == len(rows)
        # connection.publish() costs 12 µs a message, which an emitting step would feel; this way it is 2 µs.
        block = commands(rows[start : end - 1], batch, start + 1)
        await self._connection._send_command(block)  # pyright: ignore[reportPrivateUsage] -- see above
        # The last row goes the public way, which also writes to the socket.
        headers = row_headers(rows[end - 1]) | batch_headers(batch, end, last)
        await self._publish(rows[end - 1], reply if last else "", headers)

    async def send_one(self, row: Row) -> Ack:
        """Store one row. Raises SendError."""
        answer, reply = self._ask()
        await self._publish(row, reply, row_headers(row))
        return await self._hear(answer)

    def _ask(self) -> tuple[asyncio.Future[Msg], str]:
        if self.trouble is not None:
            raise self.trouble
        self._questions += 1
        self._answer = asyncio.get_running_loop().create_future()
        self._answer.add_done_callback(_heed)
        return self._answer, f"{self._inbox}.{self._questions}"

    async def _publish(self, row: Row, reply: str, headers: dict[str, str]) -> None:
        assert self._connection
        self._check()
        try:
            await self._connection.publish(row.subject, row.payload, reply, headers)
        except (OSError, nats.errors.Error) as error:
            raise NoAnswerError(str(error) or type(error).__name__) from error

    def _check(self) -> None:
        if self._answer is not None and self._answer.done():
            self._answer.result()  # raises what the callbacks heard meanwhile

    async def _hear(self, answer: asyncio.Future[Msg]) -> Ack:
        try:
            message = await asyncio.wait_for(answer, ACK_SECONDS)
        except TimeoutError:
            raise NoAnswerError(f"no acknowledgement within {ACK_SECONDS:g} s") from None
        return _read(message)


def _heed(answer: asyncio.Future[Msg]) -> None:
    """Take note of an error even when sending failed first; asyncio would complain that nobody did."""
    if not answer.cancelled():
        answer.exception()


def _read(message: Msg) -> Ack:
    if (message.headers or {}).get("Status") == "503":
        raise NoStreamError("the stream does not exist yet, or has no leader")
    try:
        ack = _decode_ack(message.data)
    except msgspec.MsgspecError as error:
        raise NoAnswerError(f"not an acknowledgement: {message.data[:200]!r}") from error
    if ack.error is not None:
        raise RefusedError(ack.error.err_code, ack.error.description)
    if not ack.seq:
        raise NoAnswerError(f"an acknowledgement without a position: {message.data[:200]!r}")
    return ack
