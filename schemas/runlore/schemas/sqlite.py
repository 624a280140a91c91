"""The one SQLite library that opens logs and views. Import `sqlite` from here, never `sqlite3`, to open such a file.

POSIX drops all locks of a process on a file when any of its descriptors is closed, so a library counts its own. Two
libraries in one process (pysqlite3 brings its own) do not count each other's: the first to close a file takes the
other's locks, and may cut the shared memory of its write-ahead log: a bus error. The choice is that of sqlite-utils,
which writes. See "How To Corrupt An SQLite Database File", section 2.2.1, in SQLite's documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3 as sqlite  # pysqlite3 has no types; its names are those of the standard library
else:
    try:
        from pysqlite3 import dbapi2 as sqlite
    except ImportError:
        import sqlite3 as sqlite

__all__ = ["BUSY_SECONDS", "is_damage", "open_raw_reader", "open_reader", "sqlite"]

BUSY_SECONDS = 5.0
"""How long a statement waits for the lock of another connection."""


_DAMAGED = frozenset({sqlite.SQLITE_CORRUPT, sqlite.SQLITE_NOTADB, sqlite.SQLITE_FORMAT})
_EMPTIED = ("no such table", "no such column")


def is_damage(error: sqlite.Error) -> bool:
    """Return whether an error is about what the file holds, not about the machine: disk, lock or memory."""
    code = getattr(error, "sqlite_errorcode", None)  # absent where the library itself raises
    return (code is not None and code & 0xFF in _DAMAGED) or str(error).startswith(_EMPTIED)


def open_reader(path: Path, timeout: float = BUSY_SECONDS) -> sqlite.Connection:
    """A read-only connection without implicit transactions; any thread may use it, one at a time.

    Raises sqlite.OperationalError when the file is not there.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


def open_raw_reader(path: Path) -> sqlite.Connection:
    """`open_reader`, handing out stored TEXT as the bytes it is, valid or not."""
    connection = open_reader(path)
    connection.text_factory = bytes
    return connection
