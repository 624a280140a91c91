"""Connections of the page's server: bounded in number, and in the time that a request may take to arrive.

uvicorn waits forever for the rest of a request, and takes connections until the process has no more files. A program
that opens many and sends nothing would silence the page.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 256
"""Connections at once, far fewer than the files that a process may have open."""
REQUEST_SECONDS = 10.0
"""Time for a whole request to arrive."""
RETRY_SECONDS = 5
"""Time after which who is refused may ask again."""

_REFUSAL = (
    "HTTP/1.1 503 Service Unavailable\r\n"
    f"Retry-After: {RETRY_SECONDS}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
).encode()
_numbers = itertools.count()


class BoundedProtocol(H11Protocol):
    """A connection that gives way to a new one, when there are too many, while nothing of its own is under way."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._number = next(_numbers)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
        """Take a connection in the place of the oldest that waits; refuse it if none does."""
        super().connection_made(transport)
        if len(self.connections) <= MAX_CONNECTIONS or self._replace_another():
            self._watch()
            return
        self.connections.discard(self)
        transport.write(_REFUSAL)
        transport.close()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._stop_timer()

    @property
    def waits(self) -> bool:
        """True while the client has yet to send a request or the rest of one."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    @property
    def stalls(self) -> bool:
        """True while the client does not read its answer."""
        return self.flow.write_paused

    def end(self) -> None:
        """End the connection now, whatever is buffered."""
        self.connections.discard(self)
        self.transport.abort()

    def _replace_another(self) -> bool:
        all_open = cast("set[BoundedProtocol]", self.connections)  # there are no others: WebSockets are off
        others = [one for one in all_open if one is not self]
        idle = [one for one in others if one.waits] or [one for one in others if one.stalls]
        if not idle:
            return False
        min(idle, key=lambda one: one._number).end()
        return True

    def _watch(self) -> None:
        """Have a time limit while the connection waits, from when it began to."""
        if not self.waits or self.transport.is_closing():
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(REQUEST_SECONDS, self.end)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
