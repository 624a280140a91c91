"""Events that come a second time: a replica has no log.db, so it looks for their first copies in its view.

The view knows the ID of every event that it folded or quarantined. What the first copy held, the stream says.
"""

from __future__ import annotations

from collections.abc import Sequence

from nats.aio.client import Client as NatsConnection

from runlore.projector.views.view import View
from runlore.store.log_rows import LogRow, Received
from runlore.wire.stream import get_message

Content = tuple[str, bytes]
"""Subject and payload."""


class FirstCopyLostError(Exception):
    """The stream no longer holds the first copy of an event: nobody can say whether the second one is the same."""

    def __init__(self, position: int, first: int) -> None:
        self.position, self.first = position, first
        super().__init__(f"event {position:,} is a second copy of event {first:,}, which the stream no longer holds")


async def rows_of(connection: NatsConnection, view: View, batch: Sequence[Received]) -> list[LogRow]:
    """The messages of a batch as the archive would hand them to the fold.

    Raises FirstCopyLostError, ServerUnavailableError.
    """
    before = view.positions_of([one.event_id for one in batch if one.event_id is not None])
    firsts: dict[str, Received] = {}
    rows: list[LogRow] = []
    for one in batch:
        first, content = before.get(one.event_id or ""), None
        if one.event_id is None:
            pass
        elif first is not None:
            content = await _content(connection, one.position, first)
        elif (earlier := firsts.setdefault(one.event_id, one)) is not one:
            first, content = earlier.position, (earlier.subject, earlier.payload)
        conflicts = content is not None and content != (one.subject, one.payload)
        rows.append(LogRow(one.position, one.event_id, one.recorded_ns, one.subject, one.payload, first, conflicts))
    return rows


async def _content(connection: NatsConnection, position: int, first: int) -> Content:
    found = await get_message(connection, first)
    if found is None:
        raise FirstCopyLostError(position, first)
    return found.subject, found.payload
