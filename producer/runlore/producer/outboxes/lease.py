"""The lease: an outbox's file for its process alone while events stream, and for everybody in between."""

from __future__ import annotations

import asyncio
import time

from runlore.producer.outboxes.outbox import Outbox

STREAMING_ROWS = 200
"""Events waiting at one look of the relay at which they count as a stream: a call every 25 µs since the last one."""
HOLD_SECONDS = 1.0
REST_SECONDS = 0.15
"""Longer than SQLite's longest pause between two tries, 0.1 s: who waits to read gets in."""


class Lease:
    """Takes one outbox's file again and again while told that events stream. For the relay's loop only."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._timer: asyncio.TimerHandle | None = None
        self._rest_until = 0.0

    def begin(self, waiting: int) -> None:
        """Take the file when so many events wait that they stream, unless others have their turn."""
        if waiting < STREAMING_ROWS or self._timer is not None or time.monotonic() < self._rest_until:
            return
        # By a timer: the file must be free in time also when the server lets a batch wait.
        self._timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self.end)
        if not self._outbox.take():
            self.end()

    def end(self) -> None:
        """Let others read."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._rest_until = time.monotonic() + REST_SECONDS
            self._outbox.share()

    def forget(self) -> None:
        """Let go without touching the file."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
