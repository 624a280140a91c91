"""The inbox of a connection: answers to what was asked, and acknowledgements, by the last token of their subject.

Imports nats-py (by the sender): only the relay's thread imports this module.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg

from runlore.producer.outboxes.rows import Row
from runlore.producer.sending.acks import (
    Ack,
    ForbiddenError,
    NoAnswerError,
    NoInboxError,
    RefusedError,
    SendError,
    read_ack,
)
from runlore.producer.sending.known_stream import KnownStream
from runlore.schemas.shards import Shard
from runlore.wire.api import listen
from runlore.wire.failures import INBOX_ADVICE

REFUSAL_SECONDS = 0.25
"""How long a refusal waits for an acknowledgement beside it, where streams of our name are in several domains."""

_FORBIDDEN = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


class Inbox:
    """What one connection waits for."""

    def __init__(self) -> None:
        self._subject = ""
        self._number = 0
        self._awaited: dict[str, tuple[Sequence[Row], asyncio.Future[Ack]]] = {}
        """Acknowledgements to come by token: the rows that wait for it."""
        self._asked: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        """Open questions by token: the subject asked, and the answer to come."""
        self.others = ""
        """Another stream that has answered in place of ours."""
        self.trouble: SendError | None = None
        self.shard = Shard()
        """The shard whose stream is sent to."""
        self.stream: KnownStream | None = None
        """The stream whose acknowledgements count, told by its JetStream domain; None: not known."""

    async def open(self, connection: NatsConnection) -> None:
        """Receive what comes on this connection; its callbacks are ours. Raises ServerUnavailableError."""
        self._subject = connection.new_inbox()
        await listen(connection, f"{self._subject}.*", self._on_answer)

    def expect_ack(self, rows: Sequence[Row]) -> tuple[asyncio.Future[Ack], str]:
        """The acknowledgement of rows to come, and its subject. Raises SendError when the connection is lost."""
        token, answer = self._next_token(), _future(Ack)
        self._awaited[token] = rows, answer
        answer.add_done_callback(lambda _: self._awaited.pop(token, None))
        return answer, f"{self._subject}.{token}"

    def expect_answer(self, subject: str) -> tuple[asyncio.Future[Msg], str]:
        """The same for the answer to a question on a subject."""
        token, answer = self._next_token(), _future(Msg)
        self._asked[token] = subject, answer
        answer.add_done_callback(lambda _: self._asked.pop(token, None))
        return answer, f"{self._subject}.{token}"

    def _next_token(self) -> str:
        if self.trouble is not None:
            raise self.trouble
        self._number += 1
        return str(self._number)

    async def _on_answer(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        if token in self._asked:
            _settle(self._asked[token][1], message)
        elif token in self._awaited:  # a late answer to what was given up is for nobody
            self._on_ack(message, self._awaited[token][1])

    def _on_ack(self, message: Msg, answer: asyncio.Future[Ack]) -> None:
        """Only our stream's answer counts; that of another is kept for the time-out's message."""
        try:
            ack = read_ack(message, self.shard.stream)
        except RefusedError as error:
            if error.stream not in ("", self.shard.stream):
                self.others = error.stream
            elif self.stream is not None and self.stream.domain is not None:
                # A refusal does not say from which domain it comes.
                asyncio.get_running_loop().call_later(REFUSAL_SECONDS, _settle, answer, error)
            else:
                _settle(answer, error)
        except SendError as error:
            _settle(answer, error)
        else:
            if ack.stream != self.shard.stream or (self.stream is not None and ack.domain != self.stream.domain):
                self.others = ack.source
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
        for subject, asked in list(self._asked.values()):
            if subject.lower() == error.subject:
                _settle(asked, error)
        # Each message of a refused batch is refused by itself, and the last of these come while others wait.
        for rows, sent in list(self._awaited.values()):
            if any(row.subject.lower() == error.subject for row in rows):
                _settle(sent, error)

    async def on_closed(self) -> None:
        """nats-py's closed callback."""
        self.trouble = NoAnswerError("the connection to the server was lost")
        self._fail(self.trouble)

    def _fail(self, error: SendError) -> None:
        for _, asked in self._asked.values() if isinstance(error, NoAnswerError) else ():
            _settle(asked, error)
        pending = [answer for _, answer in self._awaited.values() if not answer.done()]
        for answer in pending:
            answer.set_exception(error)
        if not pending and isinstance(error, NoAnswerError):
            self.trouble = error


_Kind = TypeVar("_Kind")


def _future(kind: type[_Kind]) -> asyncio.Future[_Kind]:
    future: asyncio.Future[_Kind] = asyncio.get_running_loop().create_future()
    future.add_done_callback(_heed)
    return future


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
