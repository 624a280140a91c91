"""Intake: the stream's messages in order and without a hole, in bounded batches."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.pull import HEARTBEAT, Pull, require_open
from runlore.schemas.errors import ServerUnavailableError
from runlore.store.log_rows import Gap, Received
from runlore.wire.api import ApiError
from runlore.wire.failures import NatsError, unavailable
from runlore.wire.frames import Frames
from runlore.wire.headers import keep_raw_headers
from runlore.wire.stream import next_sequence

BUFFER_MESSAGES = 8_192
BUFFER_BYTES = 16 * 1024 * 1024
"""Above either, no more messages are requested; those requested earlier may still arrive."""

RESTART_PAUSE = 0.1

NOT_HELD = "the stream no longer holds these positions"
"""The reason of a gap, as log.db and its tree keep it."""


class Intake:
    """Reads on after `position`, over one connection. Single use.

    A message missing from the sequence is asked for again once; only a hole that the stream itself
    confirms is passed over, and returned as a Gap.
    """

    def __init__(self, connection: NatsConnection, position: int) -> None:
        self._connection = connection
        keep_raw_headers(connection)
        self._frames = Frames(connection)
        self._next = position + 1
        self._rows: list[Received] = []
        self._bytes = 0
        self._pull: Pull | None = None
        self._wake = asyncio.Event()
        self._interrupted = False
        self._skipped_to: int | None = None
        self._suspect = 0
        """The position where a hole was seen before."""
        self.stream_last = position
        self._restarts = -1  # the first start is none

    def interrupt(self) -> None:
        """Make `batch` return at once: to stop, or because the connection closed. Loop's thread only."""
        self._interrupted = True
        self._wake.set()

    def resume(self) -> None:
        """Call before the next `batch` after being busy, so that this time does not count as silence."""
        if self._pull is not None:
            self._pull.hear()

    def take_restarts(self) -> int:
        """Return how many consumers had to be replaced since this was last asked."""
        restarts, self._restarts = max(self._restarts, 0), min(self._restarts, 0)
        return restarts

    async def batch(self) -> list[Received] | Gap:
        """Return the next messages: at least one, or a Gap; empty only after `interrupt`.

        Raises ServerUnavailableError when the connection or the consumer is lost for good.
        """
        try:
            while True:
                if self._rows:
                    return self._taken()
                if self._interrupted:
                    return []
                require_open(self._connection)
                if gap := await self._restarted():
                    return gap
                await self._ask()
                await self._woken()
        except (ApiError, NatsError) as error:
            raise unavailable(error, "reading the stream failed") from error

    async def close(self) -> None:
        """Stop listening."""
        if self._pull is not None:
            await self._pull.stop()

    def _taken(self) -> list[Received]:
        rows, self._rows, self._bytes = self._rows, [], 0
        return rows

    async def _ask(self) -> None:
        if self._pull is not None and self._bytes < BUFFER_BYTES:
            await self._pull.ask(BUFFER_MESSAGES - len(self._rows))

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(HEARTBEAT):
                await self._wake.wait()
        except TimeoutError:
            return  # time to look whether the consumer is silent
        self._wake.clear()

    async def _restarted(self) -> Gap | None:
        """Replace a consumer that is broken, silent or skipped something; the Gap if there truly is one."""
        pull = self._pull
        if pull is not None and not (self._skipped_to or pull.broken or pull.silent()):
            return None
        if pull is not None and pull.broken:
            await asyncio.sleep(RESTART_PAUSE)  # a stopping server reports it just before it closes the connection
            require_open(self._connection)
        gap = await self._confirmed() if self._skipped_to else None
        await self.close()
        self._pull = Pull(self._connection, self._frames, self._receive, self._wake.set)
        await self._pull.start(self._next)
        self._restarts += 1
        return gap

    async def _confirmed(self) -> Gap | None:
        self._skipped_to = None
        first = self._next
        if self._suspect != first:
            self._suspect = first
            return None  # a consumer may skip: ask once more before believing it
        following = await next_sequence(self._connection, first)
        if following is None or following <= first:
            raise ServerUnavailableError(f"the stream holds event {first} but does not deliver it")
        self._next = following
        return Gap(first, following - 1, NOT_HELD)

    def _receive(self, row: Received, pending: int) -> None:
        if row.position != self._next:
            if row.position > self._next:
                self._skipped_to = row.position
                self._wake.set()
            return
        self._rows.append(row)
        self._bytes += len(row.payload) + len(row.headers)
        self._next += 1
        self.stream_last = row.position + pending
        if len(self._rows) == 1:
            self._wake.set()
