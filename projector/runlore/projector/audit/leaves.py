"""Leaf hashes of what log.db holds, read from its raw rows in the order of the log, in constant memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from runlore.store.audit.erasure import has_erasures
from runlore.store.audit.leaf import LeafCoder
from runlore.store.sqlite import sqlite

_ROWS = """SELECT l.position, event_id, recorded_ns, subject, headers, payload, duplicate_of, {hashes}
    FROM log l {erasures} WHERE l.position > ? AND l.position <= ? ORDER BY l.position LIMIT ?"""
_WITH_ERASURES = _ROWS.format(
    hashes="e.payload_hash, e.redacted_hash", erasures="LEFT JOIN erasures e ON e.position = l.position"
)
_WITHOUT = _ROWS.format(hashes="NULL, NULL", erasures="")
_GAPS = "SELECT first, last, reason FROM gaps WHERE last > ? AND first <= ? ORDER BY first"
_FIRST = "SELECT event_id, duplicate_of, subject, payload FROM log WHERE position = ?"
_STEP = 4096
"""Rows read by one statement: an open one would hold the write-ahead log of a live projector."""


LeafKind = Literal["event", "duplicate", "conflict", "gap"]
"""A conflict has the event ID of an earlier event, and other content."""


class LeafAt(NamedTuple):
    """One leaf hash, and the positions it stands for (one, or those of a gap)."""

    first: int
    last: int
    hash: bytes
    kind: LeafKind


class LeafError(Exception):
    """The rows are no log from here on."""

    def __init__(self, position: int, what: str) -> None:
        self.position, self.what = position, what
        super().__init__(f"position {position}: {what}")


def leaves(connection: sqlite.Connection, coder: LeafCoder, after: int, until: int) -> Iterator[LeafAt]:
    """The leaves of positions in (after, until], from rows and gaps. The connection's text factory must be `bytes`.

    Raises LeafError at the first position that neither holds, or that both do, or whose row is no message.
    """
    expected = after + 1
    gaps = iter(connection.execute(_GAPS, (after, until)).fetchall())
    gap = next(gaps, None)
    for row in _rows(connection, after, until):
        position, event_id, recorded_ns, subject, headers, payload, duplicate_of, logged_hash, redacted_hash = row
        while gap is not None and gap[0] <= position:
            yield _gap_leaf(coder, gap, expected)
            expected = gap[1] + 1
            gap = next(gaps, None)
        if position != expected:
            raise _out_of_place(position, expected)
        kind: LeafKind = "event"
        if duplicate_of is not None:
            same = _is_first_copy(connection, position, event_id, duplicate_of, (subject, payload))
            kind = "duplicate" if same else "conflict"
        if redacted_hash is not None and sha256(payload).digest() != redacted_hash:
            raise LeafError(position, "values were erased from the row, and it is not what their erasure left")
        try:
            leaf = coder.event(position, event_id, recorded_ns, subject, headers, payload, logged_hash)
        except (TypeError, ValueError, struct.error) as error:
            raise LeafError(position, f"the row is not a message: {error}") from error
        yield LeafAt(position, position, leaf, kind)
        expected = position + 1
    while gap is not None:
        yield _gap_leaf(coder, gap, expected)
        expected, gap = gap[1] + 1, next(gaps, None)
    if expected != until + 1:
        raise LeafError(expected, f"the row is missing: the log ends before its position {until}")


def _rows(connection: sqlite.Connection, after: int, until: int) -> Iterator[Any]:
    # One statement sees a row and its erasure at one moment, also while a projector redacts rows.
    sql = _WITH_ERASURES if has_erasures(connection) else _WITHOUT
    while True:
        last = after
        for row in connection.execute(sql, (after, until, _STEP)):
            yield row
            last = row[0]
        if last == after:
            return
        after = last


def _gap_leaf(coder: LeafCoder, gap: tuple[int, int, bytes], expected: int) -> LeafAt:
    first, last, reason = gap
    if first != expected or last < first:
        raise _out_of_place(first, expected)
    return LeafAt(first, last, coder.gap(first, last, reason), "gap")


def _out_of_place(found: int, expected: int) -> LeafError:
    if found > expected:
        return LeafError(expected, "the row is missing, and no gap accounts for it")
    return LeafError(found, "the row lies in what is recorded as a gap")


def _is_first_copy(
    connection: sqlite.Connection, position: int, event_id: bytes | None, first: int, content: tuple[bytes, bytes]
) -> bool:
    """Return whether the first event of this ID has the same content. Raises LeafError when it has not even the ID."""
    found = connection.execute(_FIRST, (first,)).fetchone()
    if event_id is None or first >= position or found is None or found[:2] != (event_id, None):
        raise LeafError(position, f"the row claims to be a second copy of {first}, and is not")
    return bool(found[2:] == content)
