"""The canonical digest of a view: equal rows give equal digests, whatever the file looks like inside."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import msgspec

from runlore.projector.tables import TABLES

_encode = msgspec.msgpack.Encoder().encode


def view_digest(path: Path) -> dict[str, str]:
    """SHA-256 (hex) of each table: its rows as MessagePack arrays, in primary key order.

    Reads in one transaction, in constant memory; the live writer may go on meanwhile.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        # Stored TEXT may hold anything SQLite accepts; bytes are compared, never decoded.
        connection.text_factory = bytes
        connection.execute("BEGIN")
        return {table: _table_digest(connection, table) for table in TABLES}
    finally:
        connection.close()


def _table_digest(connection: sqlite3.Connection, table: str) -> str:
    columns = connection.execute(f"SELECT name, pk FROM pragma_table_info('{table}')").fetchall()
    key = ", ".join(name.decode() for name, order in sorted(columns, key=lambda c: c[1]) if order)
    digest = hashlib.sha256()
    for row in connection.execute(f"SELECT * FROM {table} ORDER BY {key}"):
        digest.update(_encode(row))
    return digest.hexdigest()
