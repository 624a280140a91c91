"""Check on every connect, before reading on, that the stream is still the one that was archived.

A damaged or rewound stream assigns its sequence numbers again; reading on would silently skip the new
events and mix two histories.
"""

from __future__ import annotations

import hashlib

from nats.aio.client import Client as NatsConnection

from runlore.schemas.errors import StreamMismatchError
from runlore.store.log_rows import LogRow
from runlore.wire.headers import event_id_of
from runlore.wire.stream import StoredMessage, StreamIdentity, get_message

_WHAT_TO_DO = (
    "Nothing was overwritten: log.db holds what was archived. Stop the producers and `runlore up`; then `runlore "
    "stream restore` says what it would write back into the stream, and with --apply does it. Nothing else brings "
    "back what the stream lost; moving the folder of log.db away begins a new history without it"
)


async def check_stream(
    connection: NatsConnection, identity: StreamIdentity, epoch: str, position: int, last: LogRow | None
) -> None:
    """Compare the stream with an archive: its epoch, its position, and its last row.

    Raises StreamMismatchError saying what differs and what to do.
    """
    if identity.epoch != epoch:
        raise mismatch(f"the stream was recreated: its epoch is {identity.epoch}, log.db has {epoch}")
    if identity.last_seq < position:
        raise mismatch(f"the stream lost its tail: it ends at event {identity.last_seq}, log.db at event {position}")
    if last is not None:
        _compare(last, await get_message(connection, last.position))


def mismatch(what: str) -> StreamMismatchError:
    """The error for a stream that is not the archived one."""
    return StreamMismatchError(f"{what}. {_WHAT_TO_DO}")


def _compare(ours: LogRow, theirs: StoredMessage | None) -> None:
    if theirs is None:
        raise mismatch(f"the stream lost event {ours.position}, which log.db has")
    found = (event_id_of(theirs.headers), theirs.subject, _digest(theirs.payload))
    if found != (ours.event_id, ours.subject, _digest(ours.payload)):
        raise mismatch(
            f"the stream was rewritten: its event {ours.position} has ID {found[0]} and subject {theirs.subject}, "
            f"in log.db it has ID {ours.event_id} and subject {ours.subject}"
        )


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
