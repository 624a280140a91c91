"""Check, before a replica reads on, that the stream continues what its view was folded from."""

from __future__ import annotations

from nats.aio.client import Client as NatsConnection

from runlore.projector.views.view import View
from runlore.schemas.errors import StreamMismatchError
from runlore.store.log_rows import LogRow
from runlore.wire.headers import event_id_of
from runlore.wire.stream import StreamInfo, get_message

_WHAT_TO_DO = (
    "Nothing was changed here. The projector says what the stream lost, and `runlore stream restore` in its folder "
    "writes it back. To begin again with what the stream has, stop the replica and move its folder `projection` away"
)


async def require_continuation(connection: NatsConnection, info: StreamInfo, view: View) -> None:
    """Return when the stream reaches as far as the view, and its event there is the one that was folded.

    Raises StreamMismatchError.
    """
    position = view.position
    if info.last_seq < position:
        raise StreamMismatchError(
            f"the stream lost its tail: it ends at event {info.last_seq:,}, the view at {position:,}. {_WHAT_TO_DO}"
        )
    found = await get_message(connection, position) if position else None
    if found is None:
        return  # nothing is folded yet, or the stream dropped what is
    row = LogRow(found.sequence, event_id_of(found.headers), 0, found.subject, found.payload, None)
    if not view.knows(row):
        raise StreamMismatchError(
            f"the stream was rewritten: its event {position:,} is not the one that was folded. {_WHAT_TO_DO}"
        )
