"""Rows of log.db without the values that were erased. The caller holds a transaction of the log's one writer."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.erasure import ErasedEvent, Erasure, Redaction, redaction_of
from runlore.store.log_rows import Received
from runlore.store.sqlite import sqlite

_ROW = "SELECT subject, payload FROM log WHERE position = ?"
# A later erasure takes more from the same event.
_ADD = """INSERT INTO erasures VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET statement = excluded.statement,
    payload_hash = excluded.payload_hash, redacted_hash = excluded.redacted_hash"""


def redact_row(log: sqlite.Connection, statement: int, event: ErasedEvent, erasure: Erasure) -> bool:
    """Redact a row as an erasure says, which is at position `statement`; False where that is done already.

    Raises CorruptLogError where the row is not what the erasure says, EventDecodeError where it cannot be redacted.
    """
    row = log.execute(_ROW, (event.position,)).fetchone() if event.position < statement else None
    if row is None:
        raise CorruptLogError(f"there is no event {event.position:,} before the erasure")
    before = redaction_of(log, event.position)
    if before is not None and (before.redacted_hash == event.redacted_hash or before.statement > statement):
        return False
    logged = before.payload_hash if before is not None else sha256(row[1]).digest()
    after = erasure.redacted(bytes(row[1]), event.paths)
    if (logged, sha256(after).digest()) != (event.payload_hash, event.redacted_hash):
        raise CorruptLogError(f"event {event.position:,} is not the one that the erasure is about")
    log.execute(_ADD, (event.position, statement, event.payload_hash, event.redacted_hash))
    log.execute("UPDATE log SET payload = ? WHERE position = ?", (after, event.position))
    return True


def redacted_copy(log: sqlite.Connection, message: Received, first: int) -> Received | None:
    """A second copy of an event from which values were erased since, without them; None if it is another event."""
    redaction = redaction_of(log, first)
    if redaction is None or sha256(message.payload).digest() != redaction.payload_hash:
        return None
    subject, payload = log.execute(_ROW, (first,)).fetchone()
    if subject != message.subject:
        return None
    log.execute(_ADD, (message.position, *redaction))
    return message._replace(payload=payload)


def add_redactions(log: sqlite.Connection, found: Mapping[int, Redaction]) -> None:
    """Note rows that come redacted from the stream."""
    log.executemany(_ADD, [(position, *one) for position, one in found.items()])
