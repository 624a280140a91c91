"""Messages of a stream by JetStream's direct get, many to a request: without a consumer, and in the stream's order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg

from runlore.schemas.errors import AccessDeniedError, NotFoundError, ServerUnavailableError
from runlore.wire.api import API_TIMEOUT, api_subject
from runlore.wire.failures import NatsError, denies_publish, unavailable
from runlore.wire.headers import header_of, raw_headers

_END, _NOTHING, _NOBODY = "204", "404", "503"


class DirectMessage(NamedTuple):
    """One message of a stream, as a direct get answers it."""

    sequence: int
    subject: str
    payload: bytes


async def direct_get(connection: NatsConnection, stream: str, query: dict[str, Any]) -> list[DirectMessage]:
    """The messages that a query of JetStream's direct get names, such as ``{"seq": 1, "batch": 64}``.

    Raises NotFoundError where there is no such stream, AccessDeniedError, ServerUnavailableError.
    """
    subject, inbox = api_subject(connection, f"DIRECT.GET.{stream}"), connection.new_inbox()
    answers: asyncio.Queue[Msg] = asyncio.Queue()
    before = connection.last_error
    try:
        # Without pending limits: the query bounds its answer.
        subscription = await connection.subscribe(  # pyright: ignore[reportUnknownMemberType] -- Future without its type
            inbox, cb=answers.put, pending_msgs_limit=0, pending_bytes_limit=0
        )
        try:
            await connection.publish(subject, msgspec.json.encode(query), reply=inbox)
            return await _collected(answers, stream)
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()
    except TimeoutError:
        heard = connection.last_error
        if heard is not before and denies_publish(heard, subject):
            raise AccessDeniedError(f"this user may not publish to {subject}") from None
        raise ServerUnavailableError(f"no answer to {subject} in {API_TIMEOUT:g} s") from None
    except NatsError as error:
        raise unavailable(error, "the connection to NATS is gone") from error


async def _collected(answers: asyncio.Queue[Msg], stream: str) -> list[DirectMessage]:
    found: list[DirectMessage] = []
    while True:
        message = await asyncio.wait_for(answers.get(), API_TIMEOUT)
        status = (message.headers or {}).get("Status")
        if status in (_END, _NOTHING):
            return found
        if status == _NOBODY:
            raise NotFoundError(f"the server has no stream {stream}")
        if status is not None:
            reason = (message.headers or {}).get("Description", "")
            raise ServerUnavailableError(f"reading the stream {stream} failed: {status} {reason}".rstrip())
        block = raw_headers(message.headers)
        sequence, subject = header_of(block, "Nats-Sequence"), header_of(block, "Nats-Subject")
        found.append(DirectMessage(int(sequence or 0), subject or "", message.data))
