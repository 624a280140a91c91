"""Opening SQLite files for writing, and which of its errors are about data and which about the machine."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.utils import (
    sqlite3 as writing_sqlite,  # pyright: ignore[reportPrivateImportUsage] -- the module sqlite-utils chose
)

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


def open_writer(path: Path) -> Database:
    """The one writing connection of a file, in WAL mode.

    NORMAL keeps the file consistent through a power cut; the last commits may be lost then, and are
    taken again from the hop before, because position and rows commit together.
    """
    connection = writing_sqlite.connect(str(path), check_same_thread=False, isolation_level=None)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {WAL_PAGES}",
        "temp_store = MEMORY",
        "busy_timeout = 5000",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return Database(connection, execute_plugins=False)
