"""Opening SQLite files for writing, and which of its errors are about data and which about the machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlite_utils.utils
from sqlite_utils import Database

# The module that sqlite-utils chose: pysqlite3 where it is installed, else the standard one.
writing_sqlite = sqlite_utils.utils.sqlite3  # type: ignore[attr-defined] # pyright: ignore[reportPrivateImportUsage]

Connection = Any
"""A connection of either module: pysqlite3 has no types."""

CACHE_KIB = 65_536
WAL_PAGES = 4_000

DataErrors: tuple[type[Exception], ...] = (
    # Functions of what is bound, the same at every replay. Other errors (disk, lock, corruption) are not.
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    writing_sqlite.IntegrityError,
    writing_sqlite.DataError,
    writing_sqlite.InterfaceError,
    writing_sqlite.ProgrammingError,
)

MachineErrors: tuple[type[Exception], ...] = (sqlite3.Error, writing_sqlite.Error, OSError, MemoryError)
"""Errors that stop the service, unless they are also in DataErrors."""


def open_writer(path: Path, bulk: bool = False, page_bytes: int = 4096) -> Database:
    """The one writing connection of a file, in WAL mode.

    `bulk`: for a file nobody reads yet, and which is thrown away when filling it is cut short: without a
    write-ahead log and without waiting for the disk. `end_bulk` makes it a file like the others.

    NORMAL keeps the file consistent through a power cut; the last commits may be lost then, and are
    taken again from the hop before, because position and rows commit together.
    """
    connection = writing_sqlite.connect(str(path), check_same_thread=False, isolation_level=None)
    for pragma in (
        f"page_size = {page_bytes}",
        f"journal_mode = {'MEMORY' if bulk else 'WAL'}",
        f"synchronous = {'OFF' if bulk else 'NORMAL'}",
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {WAL_PAGES}",
        "temp_store = MEMORY",
        "busy_timeout = 5000",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return Database(connection, execute_plugins=False)


DatabaseErrors: tuple[type[Exception], ...] = (sqlite3.DatabaseError, writing_sqlite.DatabaseError)
OperationalErrors: tuple[type[Exception], ...] = (sqlite3.OperationalError, writing_sqlite.OperationalError)
"""Of them those about the machine (locked, disk); the others say that a file is damaged."""


@contextmanager
def durable(db: Database) -> Generator[None]:
    """A transaction that is on disk when it ends, with everything before it: NORMAL alone waits for no disk."""
    db.conn.execute("PRAGMA synchronous = FULL")
    try:
        with db.atomic():
            yield
    finally:
        db.conn.execute("PRAGMA synchronous = NORMAL")


def open_reader(path: Path, timeout: float = 5.0) -> Connection:
    """A read-only connection, for a process that may also write the file.

    It must be of the same SQLite library as the writer: POSIX drops all locks of a process on a file when any of its
    descriptors is closed, and two libraries in one process do not know of each other's.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return writing_sqlite.connect(uri, uri=True, timeout=timeout, isolation_level=None)


def open_raw_reader(path: Path) -> Connection:
    """`open_reader`, handing out stored TEXT as the bytes it is, valid or not."""
    connection = open_reader(path)
    connection.text_factory = bytes
    return connection


def end_bulk(db: Database, path: Path, finish: Callable[[sqlite3.Connection], None]) -> None:
    """Let `finish` make the indexes of a bulk file; then it is on disk, and in WAL mode from here on.

    The indexes are made through the standard library's SQLite: that of the wheel always sorts in memory
    (TEMP_STORE=3), which would grow with the log; this one sorts in files (SQLITE_TMPDIR says where). Out of WAL mode
    and between transactions the other connection holds no lock that closing this one could drop.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}", "temp_store = FILE"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        finish(connection)
    finally:
        connection.close()
    db.conn.execute("PRAGMA synchronous = FULL")
    db.conn.execute("PRAGMA journal_mode = WAL").fetchall()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    db.conn.execute("PRAGMA synchronous = NORMAL")
