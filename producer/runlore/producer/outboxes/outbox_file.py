"""The SQLite file of an outbox: one connection, which has the file for itself while events stream through it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dead_letters (
    seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, failed_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS producer (id TEXT NOT NULL, pid INTEGER NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS destination (
    id INTEGER PRIMARY KEY CHECK (id = 1), server TEXT, project TEXT, epoch TEXT
);
CREATE TABLE IF NOT EXISTS acknowledged (
    last INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, at REAL NOT NULL, first_position INTEGER NOT NULL,
    last_position INTEGER NOT NULL, first_id TEXT NOT NULL, last_id TEXT NOT NULL
);
"""
WAITING = "SELECT count(*) FROM outbox WHERE seq > (SELECT coalesce(max(last), 0) FROM acknowledged)"
"""Rows that the stream has not acknowledged; those before them wait for the archive only."""
FIRST_WAITING = """SELECT payload FROM outbox WHERE seq > (SELECT coalesce(max(last), 0) FROM acknowledged)
    ORDER BY seq LIMIT 1"""

PAGE_BYTES = 2048
"""Each commit logs whole pages, and an event is about 400 bytes: half a usual page is half the writing."""
CHECKPOINT_PAGES = 8000
"""Write-ahead log pages at which a commit empties it (16 MiB): its fsync is the one long wait of a step."""
BUSY_SECONDS = 30


class OutboxFile:
    """The open file. Not thread-safe: an outbox calls it under its lock. Raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.taken = False
        self.connection = self._connect()
        self._set_up()
        self.connection.executescript(_TABLES)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)

    def _set_up(self) -> None:
        for pragma in (
            f"page_size = {PAGE_BYTES}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            # Debian's SQLite overwrites what is deleted with zeros, and logs those pages too.
            "secure_delete = OFF",
        ):
            self.connection.execute(f"PRAGMA {pragma}").fetchall()

    def checkpoint_by_itself(self, on: bool) -> None:
        """Whether a commit empties a long write-ahead log."""
        self.connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if on else 0}").fetchall()

    def take(self) -> bool:
        """Keep all others out, which saves an insert its six lock calls (12 µs become 6); False if someone reads.

        Never waits. In WAL mode the connection still shares its index, so that `share` can undo this.
        """
        try:
            self._switch("EXCLUSIVE", 0)
            self.taken = True
        except sqlite3.OperationalError:
            self.connection.execute("PRAGMA locking_mode = NORMAL").fetchall()
            self.connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}").fetchall()
            # SQLite would keep new readers out until the next try succeeds: only closing lets go of that.
            before, self.connection = self.connection, self._connect()
            before.close()
            self._set_up()
        return self.taken

    def share(self) -> None:
        """Let others read again."""
        self._switch("NORMAL", BUSY_SECONDS)
        self.taken = False

    def _switch(self, mode: str, seconds: int) -> None:
        # The mode takes effect with the next transaction.
        execute = self.connection.execute
        execute(f"PRAGMA busy_timeout = {seconds * 1000}").fetchall()
        execute(f"PRAGMA locking_mode = {mode}").fetchall()
        execute("BEGIN IMMEDIATE")
        execute("COMMIT")
        execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}").fetchall()
