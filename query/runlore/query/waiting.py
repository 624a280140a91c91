"""Waiting until an event can be read."""

from __future__ import annotations

import time
from typing import Protocol

from runlore.query.scope import Scope
from runlore.schemas.errors import NotFoundError, NotSentError, ReceiptTimeoutError

POLL_SECONDS = 0.003


class HasEventId(Protocol):
    """A receipt of the producer, or anything with an event ID."""

    @property
    def event_id(self) -> str: ...


def wait_for(scope: Scope, what: HasEventId | str | int, timeout: float) -> int:
    """See `Client.wait_for`."""
    deadline = time.monotonic() + timeout
    while True:
        found = _folded(scope, what)
        if found is not None:
            return found
        if time.monotonic() >= deadline:
            raise ReceiptTimeoutError(
                f"{what!r} cannot be read after {timeout:g} s: is the projector running? See `runlore doctor`"
            )
        time.sleep(POLL_SECONDS)


def _folded(scope: Scope, what: HasEventId | str | int) -> int | None:
    try:
        if isinstance(what, int):
            return what if scope.head >= what else None
        event_id = what if isinstance(what, str) else what.event_id
        row = scope.reader.one("SELECT position FROM events WHERE event_id = ?", (event_id,))
        if row is not None:
            return int(row[0])
        bad = scope.reader.one("SELECT position, error FROM quarantine WHERE event_id = ?", (event_id,))
    except NotFoundError:
        return None  # no view yet: the projector is starting
    if bad is not None:
        raise NotSentError(f"event {event_id} is in quarantine, event {bad[0]:,}: {bad[1]}")
    return None
