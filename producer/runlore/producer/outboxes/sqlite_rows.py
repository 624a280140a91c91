"""Outboxes of older versions, which were SQLite files: read, and removed when they are empty; never written.

What became of their events is noted in a journal beside them, as for any outbox.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Iterator
from contextlib import closing
from itertools import starmap
from pathlib import Path
from typing import Any, TypeVar

from runlore.producer.outboxes.gates import SQLITE_GATE
from runlore.producer.outboxes.ledger import NOWHERE, Acknowledged, Began, Destination, Letter
from runlore.producer.outboxes.rows import DamagedError, Row
from runlore.producer.outboxes.segment_format import Info
from runlore.wire.archived import StoredRange

BUSY_SECONDS = 5.0

_KEPT = "SELECT last, bytes, at, first_position, last_position, first_id, last_id FROM acknowledged ORDER BY last"
_DEAD = "SELECT seq, subject, payload, reason, failed_at FROM dead_letters ORDER BY seq"
_ROWS = "SELECT seq, subject, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?"

Result = TypeVar("Result")


class SqliteRows:
    """The rows of one file. No connection stays open. Raises DamagedError; OSError when the file cannot be used now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tables: frozenset[str] = self._use(_tables)

    def _use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with SQLITE_GATE, closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
                return work(connection)
        except sqlite3.Error as error:
            raise _reason(error) from error

    def read(self, after: int, rows: int, size: int, skip: Container[int]) -> list[Row]:
        """As `Segments.read`."""
        found: list[Row] = []
        while "outbox" in self._tables:
            read = self._query(_ROWS, after, rows)
            for row in starmap(Row, read):
                after = row.seq
                if row.seq not in skip:
                    size -= len(row.payload)
                    if found and size < 0:
                        return found
                    found.append(row)
            if found or len(read) < rows:
                break
        return found

    def rows(self, after: int) -> Iterator[Row]:
        """All rows above a number, in order."""
        while found := self.read(after, 1000, 8 * 1024 * 1024, ()):
            yield from found
            after = found[-1].seq

    def count(self, after: int) -> int:
        """How many rows have numbers above `after`."""
        if "outbox" not in self._tables:
            return 0
        return int(self._query("SELECT count(*) FROM outbox WHERE seq > ?", after)[0][0])

    def info(self) -> Info | None:
        if "producer" not in self._tables:
            return None
        found = self._query("SELECT id, pid, created FROM producer")
        return Info(*found[0]) if found else None

    def began(self) -> Began:
        """What the file says besides its rows."""
        rows = self._all("acknowledged", _KEPT)
        kept = [Acknowledged(last, size, at, StoredRange(*where)) for last, size, at, *where in rows]
        letters = [Letter(*row) for row in self._all("dead_letters", _DEAD)]
        return Began(self._destination(), kept, letters)

    def _destination(self) -> Destination:
        found = self._all("destination", "SELECT server, project, epoch FROM destination")
        return Destination(*found[0]) if found else NOWHERE

    def _all(self, table: str, query: str) -> list[Any]:
        return self._query(query) if table in self._tables else []

    def _query(self, query: str, *values: int) -> list[Any]:
        return self._use(lambda file: file.execute(query, values).fetchall())

    def drop(self, gone: int) -> None:
        """Nothing leaves before everything does."""

    def destroy(self) -> None:
        for suffix in (".db", ".db-wal", ".db-shm", ".journal", ".journal.new"):
            self._path.with_suffix(suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is open."""


def _tables(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(name for (name,) in connection.execute("SELECT name FROM sqlite_master"))


def _reason(error: sqlite3.Error) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or str(error).startswith("no such"):
        return DamagedError(str(error))
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return DamagedError(str(error))
    return OSError(str(error))
