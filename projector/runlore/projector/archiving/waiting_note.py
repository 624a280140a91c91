"""Signed notes that commands leave in the data folder, until they are in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from runlore.schemas.errors import CorruptLogError
from runlore.store.sqlite import sqlite


class WaitingNote:
    """The file of one kind of note. `logged`: the notes of this kind that a log.db has."""

    def __init__(
        self, path: Path, parse: Callable[[str], object], logged: Callable[[sqlite.Connection], Iterable[str]]
    ) -> None:
        self._path, self._parse, self._logged = path, parse, logged

    def read(self, connection: sqlite.Connection) -> str | None:
        """The note that has to be put into the log, if any; the file goes once it is there. `connection`: of log.db."""
        try:
            note = self._path.read_text(encoding="utf-8")
            self._parse(note)
        except (FileNotFoundError, UnicodeDecodeError, CorruptLogError):
            return None
        if any(one == note for one in self._logged(connection)):
            self._path.unlink()
            return None
        return note
