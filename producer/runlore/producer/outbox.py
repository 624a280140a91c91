"""The outbox: one producer's events that are not yet on the stream, in a SQLite file of its own.

The file has one writing connection, guarded by one lock: the step inserts, the relay removes. The relay
reads through a second, read-only connection. The row number is the producer's sequence number.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from runlore.schemas.errors import OutboxError
from runlore.schemas.layout import FolderLock

_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dead_letters (
    seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, failed_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS producer (id TEXT NOT NULL, pid INTEGER NOT NULL, created REAL NOT NULL);
"""

READ_ROWS = 1000
"""Rows read at once: as many as JetStream takes in one atomic batch."""
READ_BYTES = 8 * 1024 * 1024
REMOVE_ROWS = 250
"""Rows removed under one hold of the lock, so that a step never waits long for it."""
CHECKPOINT_BYTES = 8 * 1024 * 1024
"""Write-ahead log size at which the relay empties it; SQLite's own checkpoints would stall the step."""

OPEN_OUTBOXES: set[Outbox] = set()
"""Every outbox this process has open, for forks."""
SQLITE_GATE = threading.Lock()
"""Held while a connection is opened or closed: a fork must not happen inside SQLite's own global locks."""


class Row(NamedTuple):
    """One event that waits."""

    seq: int
    subject: str
    payload: bytes


class DeadLetter(NamedTuple):
    """One event that the server will never take, with its reason. `failed_at`: Unix seconds."""

    seq: int
    subject: str
    reason: str
    failed_at: float


class Outbox:
    """An open outbox, its folder lock held. Make one with `create` or `adopt`."""

    def __init__(self, path: Path, folder_lock: FolderLock) -> None:
        self.path = path
        self.producer_id = path.stem
        self.lock = threading.Lock()
        """Guards the writing connection."""
        self._folder_lock = folder_lock
        try:
            with SQLITE_GATE:
                self._write = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
                self._write.execute("PRAGMA journal_mode = WAL").fetchall()
                self._write.execute("PRAGMA synchronous = NORMAL")
                self._write.execute("PRAGMA wal_autocheckpoint = 0")
                self._write.executescript(_TABLES)
                self._read = sqlite3.connect(
                    f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=30
                )
        except sqlite3.Error as error:
            folder_lock.release()
            raise OutboxError(f"cannot open the outbox {path}: {error}") from error
        OPEN_OUTBOXES.add(self)

    @classmethod
    def create(cls, folder: Path, producer_id: str) -> Outbox:
        """A new outbox of this process. Raises OutboxError saying what to do."""
        path = folder.absolute() / f"{producer_id}.db"
        lock = FolderLock(path.with_suffix(".lock"), "a producer")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock.acquire()
        except OSError as error:
            raise OutboxError(
                f"cannot write to {folder}: {error}. Set RUNLORE_DATA_DIR to a folder that can be written, "
                "or RUNLORE_MODE=disabled to log nothing"
            ) from error
        outbox = cls(path, lock)
        outbox._write.execute("INSERT INTO producer VALUES (?, ?, ?)", (producer_id, os.getpid(), time.time()))
        return outbox

    @classmethod
    def adopt(cls, path: Path) -> Outbox | None:
        """The outbox of a process that has ended; None while it lives or another has adopted it."""
        if not path.exists():
            return None
        lock = FolderLock(path.with_suffix(".lock"), "an adopted outbox")
        if not lock.try_acquire():
            return None
        if not path.exists():  # drained and removed meanwhile
            path.with_suffix(".lock").unlink(missing_ok=True)
            lock.release()
            return None
        return cls(path.absolute(), lock)

    def insert(self, seq: int, subject: str, payload: bytes) -> None:
        """Store one event durably; the caller holds `lock`. Raises OutboxError when the file cannot be written."""
        try:
            self._write.execute("INSERT INTO outbox VALUES (?, ?, ?)", (seq, subject, payload))
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox {self.path} cannot be written: {error}. The event was not stored") from error

    def read(self, after: int) -> list[Row]:
        """The oldest rows above number `after`: at most READ_ROWS, and about READ_BYTES of payload."""
        rows: list[Row] = []
        size = 0
        cursor = self._read.execute(
            "SELECT seq, subject, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, READ_ROWS)
        )
        for values in cursor:
            row = Row._make(values)
            size += len(row.payload)
            if rows and size > READ_BYTES:
                break
            rows.append(row)
        cursor.close()
        return rows

    def remove(self, last: int) -> None:
        """Rows up to number `last` are stored on the stream: they leave."""
        for upto in self._borders(last):
            with self.lock:
                self._write.execute("DELETE FROM outbox WHERE seq <= ?", (upto,))
        self._limit_wal()

    def _borders(self, last: int) -> Iterator[int]:
        first = self._read.execute("SELECT min(seq) FROM outbox").fetchone()[0]
        while first is not None and first <= last:
            first += REMOVE_ROWS
            yield min(first - 1, last)

    def bury(self, rows: Sequence[Row], reason: str) -> None:
        """The server will never take these rows: move them to the dead letters."""
        now = time.time()
        with self.lock, self._transaction():
            self._write.executemany(
                "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?)", [(*row, reason, now) for row in rows]
            )
            self._write.executemany("DELETE FROM outbox WHERE seq = ?", [(row.seq,) for row in rows])

    def revive(self) -> int:
        """Put the dead letters back in line; how many there were."""
        with self.lock, self._transaction():
            self._write.execute("INSERT OR IGNORE INTO outbox SELECT seq, subject, payload FROM dead_letters")
            return self._write.execute("DELETE FROM dead_letters").rowcount

    def _transaction(self) -> sqlite3.Connection:
        self._write.execute("BEGIN IMMEDIATE")
        return self._write  # as a context manager it commits, or rolls back on an error

    def waiting(self) -> int:
        """How many rows wait."""
        return int(self._read.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def dead_letters(self) -> list[DeadLetter]:
        """What the server refused for good, oldest first."""
        rows = self._read.execute("SELECT seq, subject, reason, failed_at FROM dead_letters ORDER BY seq")
        return [DeadLetter._make(row) for row in rows]

    def _limit_wal(self) -> None:
        wal = self.path.with_name(self.path.name + "-wal")
        if wal.exists() and wal.stat().st_size > CHECKPOINT_BYTES:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Empty the write-ahead log; the step waits meanwhile, so the relay calls it when it is idle."""
        with self.lock:
            self._write.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file and let go of it; it is removed when nothing is left in it."""
        OPEN_OUTBOXES.discard(self)
        with self.lock, SQLITE_GATE:
            left = self._write.execute(
                "SELECT EXISTS (SELECT 1 FROM outbox) OR EXISTS (SELECT 1 FROM dead_letters)"
            ).fetchone()[0]
            self._read.close()
            self._write.close()
        if not left:
            for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
                self.path.with_suffix(suffix).unlink(missing_ok=True)
        self._folder_lock.release()

    def abandon(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        """In a forked child: let go of the parent's outbox without touching its files.

        Closing the inherited lock's descriptor leaves the parent's lock in place. The connections must
        never be closed here; the caller keeps them for ever.
        """
        self._folder_lock.release()
        return self._write, self._read
