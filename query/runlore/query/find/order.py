"""The order of what is found, and the cursor that says where a page ended.

One total order: numbers (exact, whatever their type; false is 0, a duration its microseconds), not-a-number, texts and
times (times by their moment in UTC), bytes; ties by type, then by the order of creation. What has no value, null,
or one longer than 200 characters comes last, newest first, in either direction.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
from typing import Any, NamedTuple

import msgspec

from runlore.query.time.iso import iso_micros
from runlore.query.view.functions import exact
from runlore.schemas.errors import FilterError
from runlore.schemas.extensions import read_datetime
from runlore.schemas.shards import Shard

Cell = int | float | str | bytes
NUMERIC = ("int", "float", "StorageSize", "timedelta", "decimal")


class FoundRow(NamedTuple):
    """An entity that was found, and the value it is ordered by."""

    entity_id: int
    created: int
    type: str | None = None
    value: Cell | None = None


def rank(row: FoundRow) -> tuple[Any, ...]:
    """Return the sort key of a row with a value."""
    assert row.type is not None
    return (*_rank(row.type, row.value), row.type, row.entity_id)


def _rank(kind: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (int, float)):
        return 0, value
    if isinstance(value, bytes):
        return 3, value
    if kind in NUMERIC:
        number = exact(value)
        return (1, 0) if number is None or number.is_nan() else (0, number)
    return 2, _in_utc(value) if kind == "datetime" else value


def _in_utc(text: str) -> str:
    """A time with another offset as UTC, so that texts are in the order of the moments."""
    if odd_offset(text) and iso_micros(text) is not None:
        try:
            return read_datetime(text).astimezone(dt.UTC).isoformat()
        except OverflowError:
            return text
    return text


def odd_offset(text: str) -> bool:
    """Return whether an ISO time has an offset that is not UTC's."""
    return (text[-6:-5] in ("+", "-") and text[-6:] != "+00:00") or text[-9:-8] in ("+", "-")


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """The last row of a page, and of which question."""

    question: bytes
    entity_id: int
    created: int
    type: str | None
    value: Any
    shard: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.value, Cell | None) or (self.type is None) != (self.value is None):
            raise ValueError("a value and its type go together")
        if not all(0 <= number < 2**63 for number in (self.entity_id, self.created)):
            raise ValueError("what SQLite can hold")

    @property
    def row(self) -> FoundRow:
        """The row it was made of."""
        return FoundRow(self.entity_id, self.created, self.type, self.value)


def query_fingerprint(*parts: object) -> bytes:
    """A short fingerprint of a query: a cursor continues that one only."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=6).digest()


def write_cursor(fingerprint: bytes, row: FoundRow, shard: Shard) -> str:
    """An opaque text."""
    packed = msgspec.msgpack.encode(Cursor(fingerprint, *row, shard.number))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(text: str, fingerprint: bytes, shard: Shard) -> FoundRow:
    """Return the row of a cursor. Raises FilterError when it is none, or one of another question or shard."""
    try:
        padded = text + "=" * (-len(text) % 4)
        cursor = msgspec.msgpack.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=Cursor)
    except (msgspec.DecodeError, binascii.Error, ValueError, AttributeError, TypeError) as error:
        raise FilterError("not a cursor: `after` takes the cursor of a page that was found") from error
    if cursor.shard != shard.number:
        raise FilterError(f"this cursor is of shard {cursor.shard}, and {shard} is read: start without a cursor")
    if cursor.question != fingerprint:
        raise FilterError(
            "this cursor is of another kind, filter or order: repeat the same query, or start without a cursor"
        )
    return cursor.row
