"""JetStream's own API in JSON: nats-py knows only some of the fields we rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from runlore.schemas.errors import AccessDeniedError, RunloreError, ServerUnavailableError
from runlore.schemas.shards import Shard
from runlore.wire.failures import (
    INBOX_ADVICE,
    InboxDeniedError,
    NatsError,
    NatsTimeoutError,
    NoRespondersError,
    denies_publish,
    denies_subscription,
    unavailable,
)

API_TIMEOUT = 5.0
"""Seconds to wait for one answer."""

_CLOSED_LOOK = 0.25
_IMPORT = "have the operator import the subjects that `runlore operator permissions` prints"
_NO_JETSTREAM = frozenset({10039, 10076})


class ApiError(RunloreError):
    """JetStream's refusal of one request; `err_code` is its number of the reason."""

    def __init__(self, request: str, code: int, err_code: int, description: str) -> None:
        self.request, self.code, self.err_code, self.description = request, code, err_code, description
        super().__init__(f"{request}: {description} (JetStream error {err_code})")


def api_subject(connection: NatsConnection, request: str) -> str:
    """Where this connection's account has a request of JetStream's API."""
    return f"{getattr(connection, 'jetstream_api', '$JS.API')}.{request}"


def shard_of(connection: NatsConnection) -> Shard:
    """The shard whose stream a program asks for over this connection."""
    return getattr(connection, "shard", None) or Shard()


async def api(connection: NatsConnection, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer to a request of JetStream's API, such as ``STREAM.INFO.<name>``.

    Raises ApiError when JetStream refuses, ServerUnavailableError when nobody answers, AccessDeniedError when this user
    may not ask.
    """
    payload = msgspec.json.encode(body) if body else b""
    subject = api_subject(connection, name)
    try:
        answer = await request(connection, subject, payload, API_TIMEOUT)
    except NoRespondersError:
        raise ServerUnavailableError(
            "the NATS server has no JetStream (or it is not ready), or this account does not import it: enable "
            f"`jetstream` in its configuration, or {_IMPORT}"
        ) from None
    except NatsTimeoutError:
        raise ServerUnavailableError(
            f"no answer to {subject} in {API_TIMEOUT:g} s: the server is busy or has no leader, "
            "or this user may not receive the answer"
        ) from None
    except NatsError as error:
        raise unavailable(error, "the connection to NATS is gone") from error
    return _checked(name, msgspec.json.decode(answer.data))


async def listen(connection: NatsConnection, subject: str, take: Callable[[Msg], Awaitable[None]]) -> Subscription:
    """Have `take` called with each message on a subject. Raises ServerUnavailableError when the connection is gone."""
    try:
        return await connection.subscribe(subject, cb=take)  # pyright: ignore[reportUnknownMemberType] -- nats-py leaves a Future open
    except NatsError as error:
        raise unavailable(error, "the connection to NATS is gone") from error


async def request(
    connection: NatsConnection, subject: str, payload: bytes, seconds: float, headers: dict[str, str] | None = None
) -> Msg:
    """One answer from anybody. Raises AccessDeniedError at once where this user may not ask, ServerUnavailableError
    when the connection closes; a NatsError of nats-py when nobody answers."""
    # nats-py lets a request wait for its time-out even when the connection closes meanwhile, or the server refuses it.
    before = connection.last_error
    _require_inbox(connection)
    asking = asyncio.ensure_future(connection.request(subject, payload, timeout=seconds, headers=headers))
    try:
        while not asking.done() and not connection.is_closed:
            await asyncio.wait({asking}, timeout=_CLOSED_LOOK)
            heard = connection.last_error
            if heard is not before and denies_publish(heard, subject):
                raise AccessDeniedError(f"this user may not publish to {subject}")
            _require_inbox(connection)
        if not asking.done():
            raise ServerUnavailableError(f"the connection to NATS closed while waiting for {subject}")
        return asking.result()
    finally:
        asking.cancel()


def _require_inbox(connection: NatsConnection) -> None:
    """Raise InboxDeniedError where the server refuses the inbox, which it says for the first request only."""
    heard = connection.last_error
    prefix: str = getattr(connection, "inbox_prefix", "_INBOX")
    if denies_subscription(heard) and f'"{prefix.lower()}.' in str(heard).lower():
        raise InboxDeniedError(f"this user may not receive answers ({heard}): {INBOX_ADVICE}")


def _checked(request: str, answer: dict[str, Any]) -> dict[str, Any]:
    error = answer.get("error")
    if error is None:
        return answer
    err_code = int(error.get("err_code", 0))
    description = str(error.get("description", "no reason given"))
    if err_code in _NO_JETSTREAM:
        raise ServerUnavailableError(f"JetStream is off for this account ({description}): enable it, or {_IMPORT}")
    raise ApiError(request, int(error.get("code", 0)), err_code, description)
