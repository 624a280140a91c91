"""Events from which values were erased: each must be what an erasure left that a trusted key has signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runlore.projector.audit.key_history import TrustedRange, is_signed, signs
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.erasure import (
    Redaction,
    covers,
    is_erasure,
    parse_erasure,
    read_erasures,
    redaction_of,
    redactions,
)
from runlore.store.audit.proof import ProvenEvent
from runlore.store.audit.tree import leaf_index
from runlore.store.sqlite import sqlite


def require_erasures(events: Sequence[ProvenEvent], keys: Sequence[TrustedRange]) -> None:
    """Check that what took the place of a logged payload is what a later event of the bundle says.

    The proofs of all events hold already. Raises CorruptLogError.
    """
    found = {event.position: event for event in events}
    for event in events:
        if event.logged_hash is None and event.erasure is None:
            continue
        statement = found.get(event.erasure or 0)
        if event.logged_hash is None or event.erasure is None or statement is None or not _says(statement, event):
            raise CorruptLogError(
                f"event {event.position} is not as it was logged, and no erasure in the bundle says why"
            )
        if not any(one.covers(statement.index) and signs(one.key, statement.payload.decode()) for one in keys):
            raise CorruptLogError(f"no trusted key has signed the erasure {statement.position}: give its --key, too")


def _says(statement: ProvenEvent, event: ProvenEvent) -> bool:
    if statement.logged_hash is not None or not is_erasure(statement.subject, statement.payload):
        return False
    assert event.logged_hash is not None
    erasure = parse_erasure(statement.payload.decode())
    named = next((one for one in erasure.events if one.payload_hash == event.logged_hash), None)
    if named is None:
        return False
    redaction = Redaction(statement.position, event.logged_hash, named.redacted_hash)
    # A second copy that came after the erasure is not named by it: what it held is.
    late = event.position > statement.position
    return redaction.fits(event.payload) and (late or covers(erasure, event.position, redaction))


class Unproved(NamedTuple):
    """A redacted row without a right erasure."""

    position: int
    what: str


def check_redactions(log: sqlite.Connection, until: int, keys: Sequence[TrustedRange]) -> tuple[int, Unproved | None]:
    """The number of redacted rows up to a position, and the first that no erasure explains."""
    rows = redactions(log)  # before the erasures: a live log has each of them first
    found = {logged.position: logged for logged in read_erasures(log)}
    count = sum(position <= until for position in rows)
    for position, redaction in rows.items():
        logged, at = found.get(redaction.statement), _named(log, position, redaction)
        if logged is None or logged.position <= at or not covers(logged.erasure, at, redaction):
            return count, Unproved(position, "the payload was replaced, and no erasure in the log is about it")
        if not is_signed(logged, leaf_index(log, logged.position), keys):
            what = f"values were erased, and no trusted key has signed the erasure, event {logged.position:,}"
            return count, Unproved(position, what)
    return count, None


def _named(log: sqlite.Connection, position: int, redaction: Redaction) -> int:
    """The position that an erasure names for a redacted row: of a second copy that came later, the first one's."""
    row = log.execute("SELECT duplicate_of FROM log WHERE position = ?", (position,)).fetchone()
    first = row[0] if row is not None and row[0] is not None else position
    late = position > redaction.statement and redaction_of(log, first) == redaction
    return first if late else position
