"""Which stream is on the other side of a connection, for who may not ask the stream itself, too."""

from __future__ import annotations

import contextlib

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.schemas.errors import NotFoundError, ServerUnavailableError
from runlore.wire.api import request, shard_of
from runlore.wire.archived import ArchiveAnswer, ArchiveQuestion
from runlore.wire.failures import NatsError
from runlore.wire.stream import stream_info

ARCHIVE_SECONDS = 1.0
"""How long a projector may take to answer; a busy one is done without."""


async def stream_epoch(connection: NatsConnection) -> str | None:
    """Return the epoch of the stream, as its projector or the server tells it; None where neither does."""
    question = msgspec.json.encode(ArchiveQuestion())
    with contextlib.suppress(ServerUnavailableError, NatsError, msgspec.MsgspecError):
        answer = await request(connection, shard_of(connection).archive_subject, question, ARCHIVE_SECONDS)
        return msgspec.json.decode(answer.data, type=ArchiveAnswer).epoch
    with contextlib.suppress(ServerUnavailableError, NotFoundError):
        return (await stream_info(connection)).epoch
    return None
