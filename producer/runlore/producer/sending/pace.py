"""Pace: how many rows go to the server at once, and how long to wait when it has no room for a batch.

A refusal slows down the batch that was refused, never what comes after it for longer than needed: other producers may
have taken the room for a moment, and one row that the server does not like says nothing about the others.
"""

from __future__ import annotations

import asyncio
import random
import time

from runlore.producer.sending.acks import RefusedError

MOST_ROWS = 1000
"""The server takes no more in one batch unless it is configured to."""
FEW = 3
"""No more rows than these go alone: with an fsync for each, a batch takes the server 9 ms and a row 0.5 ms."""
FIRST_WAIT, MOST_WAIT = 0.02, 1.0
"""Seconds to wait at most, before the first and before later tries of a batch for which the server had no room."""
BUSY_SECONDS = 15.0
"""When it has had no room for this long, some rows go alone. By default a server forgets unfinished batches, which a
killed process leaves, after 10 s."""
ALONE_ROWS = 100
SINGLES_SECONDS = 30.0
"""How long batches are not tried on a stream that does not allow them."""


class Pace:
    """Of one connection."""

    def __init__(self) -> None:
        self._most = self._ceiling = MOST_ROWS
        self._alone = 0
        """Rows that still go alone."""
        self._next = MOST_ROWS
        self._alone_until = 0.0
        self._wait = FIRST_WAIT
        self._busy_since: float | None = None

    def rows(self, waiting: int) -> int:
        """How many of those that wait go now."""
        if waiting <= FEW or self._alone or time.monotonic() < self._alone_until:
            return 1
        return min(waiting, self._most, self._next)

    def stored(self, rows: int) -> None:
        """These are on the stream."""
        self._alone, self._next = max(0, self._alone - rows), MOST_ROWS
        self._wait = FIRST_WAIT
        if rows > 1:
            self._busy_since = None
        if rows == self._most:
            self._most = min(2 * self._most, self._ceiling)

    def limit_next(self, rows: int) -> None:
        """No more than these go next."""
        self._next = rows

    async def refused(self, rows: int, error: RefusedError) -> None:
        """These were refused, for another reason than a duplicate: return when to try again."""
        if error.busy:
            await self._wait_for_room()
        elif error.no_batches:
            self._alone_until = time.monotonic() + SINGLES_SECONDS
        else:
            self._most = max(1, rows // 2)  # until the row that is refused is found
            if error.batch_too_large:
                self._ceiling = self._most

    async def _wait_for_room(self) -> None:
        now = time.monotonic()
        if self._busy_since is None:
            self._busy_since = now
        if now - self._busy_since > BUSY_SECONDS and not self._alone:
            self._alone = ALONE_ROWS
            return
        # Anywhere within the time: who was refused together shall not come back together.
        await asyncio.sleep(random.uniform(0, self._wait))  # noqa: S311 -- jitter, not a secret
        self._wait = min(2 * self._wait, MOST_WAIT)
