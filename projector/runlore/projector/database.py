"""Opening SQLite files for writing, and telling errors about data from errors about the machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from runlore.store.access import unusable, why_refused
from runlore.store.database import Database
from runlore.store.private_folder import make_shared_file
from runlore.store.sqlite import is_refusal, sqlite

CACHE_KIB = 65_536
WAL_AUTO_BYTES = 32 * 1024 * 1024
"""Size at which a write-ahead log is moved into the file: of a page that changed often, only the last state is."""

CHECKPOINT_WAIT_MS = 200
"""Time that emptying a write-ahead log may wait for its readers; its writer waits meanwhile."""

WAL_BYTES = 48 * 1024 * 1024
"""A write-ahead log above this size was held by a reader: without one it stays below 32 MiB."""

CHECKPOINT_SECONDS = 5.0
"""Interval of that check. SQLite never shrinks the file by itself, however long ago the reader left."""

_libraries = (sqlite, sqlite3)  # the standard one makes the indexes of a bulk file, and a projection may open its own

DataErrors: tuple[type[Exception], ...] = tuple(
    # Functions of what is bound, the same at every replay. Other errors (disk, lock, corruption) are not.
    error
    for library in _libraries
    for error in (library.IntegrityError, library.DataError, library.InterfaceError, library.ProgrammingError)
)

MachineErrors: tuple[type[Exception], ...] = (*(library.Error for library in _libraries), OSError, MemoryError)
"""Errors that stop the service, unless they are also in DataErrors."""


def open_writer(path: Path, bulk: bool = False, page_bytes: int = 4096) -> Database:
    """The one writing connection of a file, in WAL mode.

    `bulk`: for a file nobody reads yet, and which is thrown away when filling it is cut short: without a
    write-ahead log and without waiting for the disk. `end_bulk` makes it a file like the others.

    NORMAL keeps the file consistent through a power cut; the last commits may be lost then, and are
    taken again from the hop before, because position and rows commit together. Raises FolderError where this user may
    not write.
    """
    make_shared_file(path)
    with _refusals_named(path):
        return _open_writer(path, bulk, page_bytes)


def _open_writer(path: Path, bulk: bool, page_bytes: int) -> Database:
    connection = sqlite.connect(str(path), check_same_thread=False, isolation_level=None)
    try:
        for pragma in (
            f"page_size = {page_bytes}",
            f"journal_mode = {'MEMORY' if bulk else 'WAL'}",
            f"synchronous = {'OFF' if bulk else 'NORMAL'}",
            f"cache_size = -{CACHE_KIB}",
            f"wal_autocheckpoint = {WAL_AUTO_BYTES // page_bytes}",
            "temp_store = MEMORY",
            "busy_timeout = 5000",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite.Error:
        connection.close()
        raise
    return Database(connection, execute_plugins=False)


class OpenFiles:
    """The files of an open database as they were found, to notice when somebody removes or replaces one."""

    def __init__(self, path: Path) -> None:
        self._paths = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
        self._held = list(map(_identity, self._paths))

    def misplaced(self) -> list[Path]:
        """Return the paths where the open file was removed or replaced."""
        return [path for path, held in zip(self._paths, self._held, strict=True) if _identity(path) != held]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def wal_bytes(path: Path) -> int:
    """Return the size of a database's write-ahead log."""
    wal = path.with_name(path.name + "-wal")
    return wal.stat().st_size if wal.exists() else 0


def empty_wal(db: Database) -> None:
    """Move the write-ahead log into the file and cut it to nothing, unless a reader holds it: then try again later."""
    before = db.conn.execute("PRAGMA busy_timeout").fetchone()[0]
    db.conn.execute(f"PRAGMA busy_timeout = {CHECKPOINT_WAIT_MS}").fetchall()
    db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.conn.execute(f"PRAGMA busy_timeout = {before}").fetchall()


@contextmanager
def _refusals_named(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite.OperationalError as error:
        if not is_refusal(error):
            raise
        raise unusable(path, why_refused(path)) from error


@contextmanager
def durable(db: Database) -> Generator[None]:
    """A transaction that is on disk when it ends, with everything before it: NORMAL alone waits for no disk."""
    db.conn.execute("PRAGMA synchronous = FULL")
    try:
        with db.atomic():
            yield
    finally:
        db.conn.execute("PRAGMA synchronous = NORMAL")


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
