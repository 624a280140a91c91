"""The outbox: one producer's events that are not yet on the stream, in a SQLite file of its own.

The file has one writing connection, guarded by one lock: the step inserts, the relay removes. The relay
reads through a second, read-only connection. The row number is the producer's sequence number.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from runlore.schemas.errors import OutboxError
from runlore.schemas.ids import new_id
from runlore.schemas.layout import FolderLock

_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dead_letters (
    seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, failed_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS producer (id TEXT NOT NULL, pid INTEGER NOT NULL, created REAL NOT NULL);
"""

REMOVE_CHUNK = 250
"""Rows removed under one hold of the lock, so that a step never waits long for it."""

CHECKPOINT_BYTES = 8 * 1024 * 1024
"""Write-ahead log size at which the relay empties it; SQLite's own checkpoints would stall the step."""


class Row(NamedTuple):
    """One event that waits."""

    seq: int
    subject: str
    payload: bytes


class DeadLetter(NamedTuple):
    """One event that the server will never take, with its reason."""

    seq: int
    subject: str
    reason: str
    failed_at: float


class Outbox:
    """An open outbox, its lock held. Make one with `create` or `adopt`."""

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self.path = path
        self.producer_id = path.stem
        self._folder_lock = lock
        self._lock = threading.Lock()
        try:
            self._write = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            self._write.execute("PRAGMA journal_mode = WAL").fetchall()
            self._write.execute("PRAGMA synchronous = NORMAL")
            self._write.execute("PRAGMA wal_autocheckpoint = 0")
            self._write.executescript(_TABLES)
            self._read = sqlite3.connect(
                f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=30
            )
        except sqlite3.Error as error:
            lock.release()
            raise OutboxError(f"cannot open the outbox {path}: {error}") from error
        self.last_seq: int = self._write.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM outbox), 0), coalesce((SELECT max(seq) FROM dead_letters), 0))"
        ).fetchone()[0]
        self.sent_seq: int = self._write.execute(
            "SELECT coalesce((SELECT min(seq) FROM outbox) - 1, ?)", (self.last_seq,)
        ).fetchone()[0]
        """Everything up to here has left."""

    @classmethod
    def create(cls, folder: Path) -> Outbox:
        """A new outbox of this process. Raises OutboxError saying what to do."""
        producer_id = new_id()
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
        lock = FolderLock(path.with_suffix(".lock"), "an adopted outbox")
        if not path.exists() or not lock.try_acquire():
            return None
        if not path.exists():  # drained and removed while we waited
            lock.release()
            return None
        return cls(path.absolute(), lock)

    def append(self, make: Callable[[int], tuple[str, bytes]]) -> int:
        """Store one event durably; its sequence number.

        `make` gets the number and returns subject and payload; what it raises is raised, and nothing stored.
        Raises OutboxError when the file cannot be written.
        """
        with self._lock:
            seq = self.last_seq + 1
            try:
                self._write.execute("INSERT INTO outbox VALUES (?, ?, ?)", (seq, *make(seq)))
            except sqlite3.Error as error:
                raise OutboxError(
                    f"the outbox {self.path} cannot be written: {error}. The event was not stored"
                ) from error
            self.last_seq = seq
        return seq

    def waiting(self, limit: int, max_bytes: int) -> list[Row]:
        """The oldest rows that have not left, at most `limit` and about `max_bytes` of payload."""
        rows: list[Row] = []
        size = 0
        cursor = self._read.execute(
            "SELECT seq, subject, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (self.sent_seq, limit)
        )
        for values in cursor:
            row = Row._make(values)
            size += len(row.payload)
            if rows and size > max_bytes:
                break
            rows.append(row)
        cursor.close()
        return rows

    def remove(self, last: int) -> None:
        """Rows up to `last` are stored on the stream: they leave."""
        for upto in _chunks(self.sent_seq, last):
            with self._lock:
                self._write.execute("DELETE FROM outbox WHERE seq <= ?", (upto,))
        self.sent_seq = last

    def bury(self, row: Row, reason: str) -> None:
        """The server will never take this row: move it to the dead letters."""
        with self._lock:
            self._write.execute("BEGIN")
            self._write.execute(
                "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?)", (*row, reason, time.time())
            )
            self._write.execute("DELETE FROM outbox WHERE seq = ?", (row.seq,))
            self._write.execute("COMMIT")
        self.sent_seq = row.seq

    def revive(self) -> int:
        """Put the dead letters back in line; how many there were."""
        with self._lock:
            self._write.execute("BEGIN")
            self._write.execute("INSERT OR IGNORE INTO outbox SELECT seq, subject, payload FROM dead_letters")
            revived = self._write.execute("DELETE FROM dead_letters").rowcount
            self._write.execute("COMMIT")
            first = self._write.execute("SELECT min(seq) FROM outbox").fetchone()[0]
        if first is not None:
            self.sent_seq = first - 1
        return revived

    def count(self) -> int:
        """How many rows wait."""
        return int(self._read.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def dead_letters(self) -> list[DeadLetter]:
        rows = self._read.execute("SELECT seq, subject, reason, failed_at FROM dead_letters ORDER BY seq")
        return [DeadLetter._make(row) for row in rows]

    def checkpoint(self, always: bool = False) -> None:
        """Empty the write-ahead log when it is large. Called by the relay; the step waits meanwhile."""
        wal = self.path.with_name(self.path.name + "-wal")
        if always or (wal.exists() and wal.stat().st_size > CHECKPOINT_BYTES):
            with self._lock:
                self._write.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file and let go of it; removed when nothing is left in it."""
        with self._lock:
            left = self._write.execute(
                "SELECT EXISTS (SELECT 1 FROM outbox) OR EXISTS (SELECT 1 FROM dead_letters)"
            ).fetchone()[0]
            self._read.close()
            self._write.close()
        if not left:
            for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
                self.path.with_suffix(suffix).unlink(missing_ok=True)
        self._folder_lock.release()

    def forget(self) -> None:
        """In a forked child: let go of what belongs to the parent without touching its files.

        Closing a connection here could checkpoint the parent's file, so both are kept for ever. Closing
        the lock's descriptor leaves the parent's lock in place.
        """
        import ctypes

        for connection in (self._write, self._read):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._folder_lock.release()


def _chunks(first: int, last: int) -> Iterator[int]:
    while first < last:
        first = min(first + REMOVE_CHUNK, last)
        yield first


def adopt_orphans(folder: Path) -> Iterator[Outbox]:
    """Every outbox whose process has ended, oldest first, opened and locked as it is asked for."""
    for path in sorted(folder.glob("*.db")):
        outbox = Outbox.adopt(path)
        if outbox is not None:
            yield outbox
