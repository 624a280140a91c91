"""The archive's answers to relays: which stream it is a copy of, and which acknowledged events it has.

A relay keeps what the stream has acknowledged until the archive has it, and asks on the shard's `archive_subject` with
its epoch. On `archive_subject` alone it asks who is there, where it may not ask the stream itself.
"""

from __future__ import annotations

import contextlib

import msgspec
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg

from runlore.projector.archiving.archive import Archive
from runlore.wire.api import listen, shard_of
from runlore.wire.archived import ArchiveAnswer, ArchiveQuestion, Fate
from runlore.wire.failures import NatsError
from runlore.wire.stream import StreamInfo

MOST_RANGES = 1024
"""Of one question: its answer must not hold up the archive."""

_decode = msgspec.json.Decoder(ArchiveQuestion).decode


class ArchiveService:
    """Answers over one connection, in its event loop, where the archive lives too."""

    def __init__(self, archive: Archive, info: StreamInfo) -> None:
        self._archive, self._info = archive, info

    async def start(self, connection: NatsConnection) -> None:
        """Answer from now on, until the connection closes. Raises ServerUnavailableError when it has."""
        own = shard_of(connection).archive_subject
        for subject in (own, f"{own}.{self._archive.epoch}"):
            await listen(connection, subject, self._on_question)

    async def _on_question(self, message: Msg) -> None:
        try:
            question = _decode(message.data)
        except msgspec.MsgspecError:
            return  # not a relay of ours
        fates: tuple[Fate, ...] = tuple(self._archive.fate(stored) for stored in question.ranges[:MOST_RANGES])
        archive, info = self._archive, self._info
        answer = ArchiveAnswer(archive.epoch, archive.position, info.replicas, info.domain, fates)
        with contextlib.suppress(NatsError):  # the connection is gone: the relay asks again
            await message.respond(msgspec.json.encode(answer))
