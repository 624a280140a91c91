"""RFC 3161 time stamps of checkpoints, as log.db keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runlore.store.sqlite import sqlite

_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'timestamps'"
_STAMPS = """SELECT size, note, response FROM timestamps JOIN checkpoints USING (size)
    ORDER BY size"""


class StoredStamp(NamedTuple):
    """A checkpoint's size and note, and what the time-stamping authority answered about its text."""

    size: int
    note: str
    response: bytes
    """TimeStampResp, DER. Nothing of it is verified."""


def read_stamps(connection: sqlite.Connection) -> Iterator[StoredStamp]:
    """The time stamps, that of the smallest tree first."""
    if connection.execute(_TABLE).fetchone() is None:
        return  # an older version made no such table
    for size, note, response in connection.execute(_STAMPS):
        yield StoredStamp(size, note.decode(errors="replace") if isinstance(note, bytes) else note, bytes(response))
