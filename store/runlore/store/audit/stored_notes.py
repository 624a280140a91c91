"""Checkpoints as log.db keeps them, with the cosignatures that witnesses added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runlore.store.sqlite import sqlite

_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'cosignatures'"
_LINES = "SELECT line FROM cosignatures WHERE size = ? ORDER BY witness"
_NEWEST = "SELECT size, note, created_ns FROM checkpoints WHERE size > ? ORDER BY size DESC"


class StoredNote(NamedTuple):
    """A checkpoint's size, its note with all signatures, and when it was signed."""

    size: int
    note: str
    created_ns: int


def newest_note(connection: sqlite.Connection) -> StoredNote | None:
    """The newest checkpoint; None when there is none."""
    return next(notes_from_newest(connection), None)


def notes_from_newest(connection: sqlite.Connection, above: int = 0) -> Iterator[StoredNote]:
    """The checkpoints of more than `above` leaves, newest first."""
    witnessed = connection.execute(_TABLE).fetchone() is not None  # an older version made no such table
    for size, note, created_ns in connection.execute(_NEWEST, (above,)):
        lines = connection.execute(_LINES, (size,)).fetchall() if witnessed else []
        yield StoredNote(size, _text(note) + "".join(_text(line) for (line,) in lines), created_ns)


def _text(stored: str | bytes) -> str:
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored
