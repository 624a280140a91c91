"""The one SQLite library that opens logs and views. Import `sqlite` from here, never `sqlite3`, to open such a file.

POSIX drops all locks of a process on a file when any of its descriptors is closed, so a library counts its own. Two
libraries in one process (pysqlite3 brings its own) do not count each other's: the first to close a file takes the
other's locks, and may cut the shared memory of its write-ahead log: a bus error. The choice is that of sqlite-utils,
which writes. See "How To Corrupt An SQLite Database File", section 2.2.1, in SQLite's documentation.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runlore.schemas.errors import CorruptLogError, FolderError
from runlore.store.access import may, using

if TYPE_CHECKING:
    import sqlite3 as sqlite  # pysqlite3 has no types; its names are those of the standard library
else:
    try:
        from pysqlite3 import dbapi2 as sqlite
    except ImportError:
        import sqlite3 as sqlite

__all__ = ["BUSY_SECONDS", "is_damage", "is_refusal", "log_error", "open_raw_reader", "open_reader", "sqlite"]

BUSY_SECONDS = 5.0
"""Time that a statement waits for the lock of another connection."""


_DAMAGED = frozenset({sqlite.SQLITE_CORRUPT, sqlite.SQLITE_NOTADB, sqlite.SQLITE_FORMAT})
_EMPTIED = ("no such table", "no such column")


def is_damage(error: sqlite.Error) -> bool:
    """Return whether an error is about what the file holds, not about the machine: disk, lock or memory."""
    code = getattr(error, "sqlite_errorcode", None)  # absent where the library itself raises
    return (code is not None and code & 0xFF in _DAMAGED) or str(error).startswith(_EMPTIED)


def log_error(path: Path, error: sqlite.Error) -> Exception:
    """Return the error for one of SQLite's about log.db: a locked file or a full disk stays what it is."""
    if isinstance(error, sqlite.OperationalError):
        return error
    return CorruptLogError(
        f"{path} is damaged ({error}): keep a copy, move it away, and start the projector; it copies the "
        "stream again from the start. `runlore audit verify` says where the damage is. Nothing was changed"
    )


def open_reader(path: Path, timeout: float = BUSY_SECONDS) -> sqlite.Connection:
    """A read-only connection without implicit transactions; any thread may use it, one at a time.

    Raises sqlite.OperationalError when the file is not there, FolderError when it may not be read.
    """
    with using(path):
        # SQLite would say that it is unable to open the file, whatever the reason.
        if path.exists() and not may(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    if not may(path.parent, os.W_OK):
        _require_shared_memory(connection, path)
    return connection


def is_refusal(error: sqlite.OperationalError) -> bool:
    """Return whether SQLite was denied access: the file may be another user's, or on a read-only file system."""
    return error.sqlite_errorcode & 0xFF in (sqlite.SQLITE_READONLY, sqlite.SQLITE_CANTOPEN, sqlite.SQLITE_PERM)


def _require_shared_memory(connection: sqlite.Connection, path: Path) -> None:
    """Raise FolderError if this user cannot create the file's shared memory and no writer has the file open."""
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite.OperationalError as error:
        if not path.exists() or not is_refusal(error):
            return  # the reader gets the error
        connection.close()
        raise FolderError(
            f"{path} can be read by users who may not write to its folder only while a projector runs: start it, ask "
            f"for write access to {path.parent}, or copy the file"
        ) from error
    except sqlite.DatabaseError:
        return  # damaged: as above


def open_raw_reader(path: Path) -> sqlite.Connection:
    """`open_reader`, handing out stored TEXT as the bytes it is, valid or not."""
    connection = open_reader(path)
    connection.text_factory = bytes
    return connection
