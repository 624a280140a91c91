"""The canonical digest of a view: equal rows give equal digests, whatever the file looks like inside."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from runlore.schemas.errors import CorruptLogError
from runlore.store.sqlite import open_raw_reader
from runlore.store.view_tables import TABLES

_encode = msgspec.msgpack.Encoder().encode

PORTION = 20_000
"""Rows between two progress reports."""


class ViewSnapshot:
    """A view as it is at one moment: its writer may go on meanwhile, and even its file may be removed."""

    def __init__(self, path: Path) -> None:
        # Stored TEXT may hold anything SQLite accepts; bytes are compared, never decoded.
        self._connection = open_raw_reader(path)
        self._connection.execute("BEGIN")
        sql = "SELECT position, schema_version, fold_version, epoch FROM view_state"
        state = self._connection.execute(sql).fetchone()
        if state is None:
            raise CorruptLogError(f"{path} has lost its position")
        self.position: int = state[0]
        self.made_by: tuple[int, int] = state[1:3]
        """Version of the tables, and of the fold that filled them."""
        self.epoch: str = state[3].decode()
        """Of the stream that it was folded from."""

    def rows(self) -> int:
        """Return the number of rows that the digest covers."""
        return sum(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES)

    def digest(self, read: Callable[[int], None] | None = None) -> dict[str, str]:
        """SHA-256 (hex) of each table: its rows as MessagePack arrays, in primary key order. Constant memory.

        `read` is called with the number of rows in each portion.
        """
        return {table: self._table(table, read) for table in TABLES}

    def _table(self, table: str, read: Callable[[int], None] | None) -> str:
        columns = self._connection.execute(f"SELECT name, pk FROM pragma_table_info('{table}')").fetchall()
        key = ", ".join(name.decode() for name, order in sorted(columns, key=lambda c: c[1]) if order)
        digest = hashlib.sha256()
        cursor = self._connection.execute(f"SELECT * FROM {table} ORDER BY {key}")
        number = 0
        for number, row in enumerate(cursor, 1):
            digest.update(_encode(row))
            if read is not None and number % PORTION == 0:
                read(PORTION)
        if read is not None:
            read(number % PORTION)
        return digest.hexdigest()

    def close(self) -> None:
        self._connection.close()


def view_digest(path: Path) -> dict[str, str]:
    """The digest of each table of a view as it is now."""
    with contextlib.closing(ViewSnapshot(path)) as snapshot:
        return snapshot.digest()
