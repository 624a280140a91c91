"""One ephemeral consumer, read by raw pull requests to our own inbox.

nats-py's own fetch makes a task, a timer and an ID for every message; this takes a third of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from runlore.schemas.errors import ServerUnavailableError
from runlore.schemas.ids import new_id
from runlore.store.log_rows import Received
from runlore.wire.api import api, api_subject, shard_of
from runlore.wire.failures import NatsError
from runlore.wire.frames import Frames
from runlore.wire.headers import event_id_of, raw_headers

REQUEST_MESSAGES = 2_048
REQUEST_BYTES = 8 * 1024 * 1024
MOST_REQUESTS = 2
"""Two, so that the server always has the next one while an answer is on its way."""

EXPIRES = 30.0
HEARTBEAT = 1.0
SILENCE = 4.0
"""Seconds without a message or heartbeat after which a consumer counts as lost."""

INACTIVE = 30.0
_NS = 10**9
_DELIVERY = "$JS.ACK."

# A request ends in the ordinary way with these; anything else means that the consumer is in doubt.
_ENDED = ("408", "404")
_ENDED_409 = ("batch completed", "exceeds maxbytes")

Sink = Callable[[Received, int], None]
"""Takes one message, and how many follow it on the stream."""


class Pull:
    """One consumer from a start position on. `broken` is the reason it can no longer be trusted."""

    def __init__(self, connection: NatsConnection, frames: Frames, sink: Sink, wake: Callable[[], None]) -> None:
        self._frames = frames
        self._connection, self._sink, self._wake = connection, sink, wake
        self._inbox = connection.new_inbox()
        self._subscription: Subscription | None = None
        self._subject = ""
        self._requests: dict[str, int] = {}
        """Open requests and the messages each may still bring; the server serves the oldest first."""
        self._numbers = 0
        self._bounded = True
        self._time = asyncio.get_running_loop().time
        self._heard = self._time()
        self.broken: str | None = None

    async def start(self, first: int) -> None:
        """Make the consumer. Raises ServerUnavailableError, ApiError."""
        name = f"runlore-{new_id()}"
        stream = shard_of(self._connection).stream
        self._subject = api_subject(self._connection, f"CONSUMER.MSG.NEXT.{stream}.{name}")
        # Without pending limits: nats-py drops what is over them. The open requests are the bound.
        self._subscription = await self._connection.subscribe(  # pyright: ignore[reportUnknownMemberType] -- Future without its type
            f"{self._inbox}.*", cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0
        )
        config = {
            "name": name,
            "description": "runlore projector",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": first,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(INACTIVE * _NS),
        }
        body = {"stream_name": stream, "config": config, "action": "create"}
        self._frames.route(name, self._take)
        await api(self._connection, f"CONSUMER.CREATE.{stream}.{name}", body)
        self._heard = self._time()

    @property
    def requested(self) -> int:
        """Messages that may still come without another request."""
        return sum(self._requests.values())

    async def ask(self, room: int) -> None:
        """Keep requests open, for no more than `room` messages in all."""
        while len(self._requests) < MOST_REQUESTS and self.requested + REQUEST_MESSAGES <= room:
            self._numbers += 1
            inbox = f"{self._inbox}.{self._numbers}"
            self._requests[inbox] = REQUEST_MESSAGES if self._bounded else 1
            request = {"expires": int(EXPIRES * _NS), "idle_heartbeat": int(HEARTBEAT * _NS)}
            request |= {"batch": REQUEST_MESSAGES, "max_bytes": REQUEST_BYTES} if self._bounded else {"batch": 1}
            self._bounded = True
            await self._connection.publish(self._subject, msgspec.json.encode(request), reply=inbox)

    def silent(self) -> bool:
        """Return whether an open request has brought neither message nor heartbeat for too long."""
        return bool(self._requests) and self._time() - self._heard > SILENCE

    def hear(self) -> None:
        """Restart the silence timer after a time in which we did not listen."""
        self._heard = self._time()

    async def stop(self) -> None:
        """Stop listening; the server forgets the consumer by itself."""
        if self._subscription is not None:
            with contextlib.suppress(NatsError):  # it went with the connection
                await self._subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        self._heard = self._time()
        if message.reply.startswith(_DELIVERY):
            self._take(message.subject.encode(), message.reply.encode(), raw_headers(message.headers), message.data)
        else:
            self._on_status(message.subject, message.headers or {})

    def _take(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        self._heard = self._time()
        tokens = reply.split(b".")
        sequence, recorded, pending = (5, 7, 8) if len(tokens) == 9 else (7, 9, 10)
        row = Received(
            int(tokens[sequence]),
            event_id_of(headers),
            int(tokens[recorded]),
            subject.decode(errors="replace"),
            headers,
            payload,
        )
        self._sink(row, int(tokens[pending]))
        self._count_one()

    def _count_one(self) -> None:
        for inbox, left in self._requests.items():
            if left > 1:
                self._requests[inbox] = left - 1
            else:
                del self._requests[inbox]
                self._wake()
            return

    def _on_status(self, inbox: str, headers: Mapping[str, str]) -> None:
        status, reason = headers.get("Status", ""), headers.get("Description", "")
        if status == "100":
            return
        left = self._requests.pop(inbox, None)
        if status == "409" and "exceeds maxbytes" in reason.lower() and left == REQUEST_MESSAGES:
            self._bounded = False  # one message is larger than a whole request: ask for it alone
        ended = status in _ENDED or (status == "409" and reason.lower().endswith(_ENDED_409))
        if not ended and left is not None:
            self.broken = f"the consumer answered {status} {reason}".rstrip()
        self._wake()


def require_open(connection: NatsConnection) -> None:
    """Raises ServerUnavailableError when the connection is gone."""
    if connection.is_closed or not connection.is_connected:
        raise ServerUnavailableError("the connection to NATS is gone")
