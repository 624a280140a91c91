"""Signed notes that commands leave in the data folder, until they are in the log."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.statement import Series, read_notes
from runlore.store.sqlite import sqlite


class WaitingNote:
    """The file of one kind of note, for one log."""

    def __init__(self, path: Path, series: Series, parse: Callable[[str], object]) -> None:
        self.series: Series = series
        self._path, self._parse = path, parse
        self._number = 0
        self._logged: set[bytes] = set()
        """Hashes of the notes of the series up to that number."""

    def read(self, connection: sqlite.Connection) -> str | None:
        """The note that has to be put into the log, if any; the file goes once it is there. `connection`: of log.db."""
        try:
            note = self._path.read_text(encoding="utf-8")
            self._parse(note)
        except (FileNotFoundError, UnicodeDecodeError, CorruptLogError):
            return None
        for logged in read_notes(connection, self.series, self._number):
            self._number = logged.number
            self._logged.add(_hash(logged.note))
        if _hash(note) in self._logged:
            self._path.unlink()
            return None
        return note


def _hash(note: str) -> bytes:
    return sha256(note.encode()).digest()
