"""The outbox: one producer's events that are not yet on the stream, in a SQLite file of its own.

The file has one connection, guarded by one lock: the step inserts, the relay reads and removes. While events
stream the relay takes the file for that connection alone, and lets others look now and then. The row number is
the producer's sequence number.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from runlore.producer.call_lock import CallLock
from runlore.producer.outboxes.ledger import NOWHERE, Destination, Ledger, read_destination
from runlore.producer.outboxes.outbox_file import WAITING, OutboxFile
from runlore.producer.outboxes.reserve import Reserve, is_full
from runlore.schemas.errors import FolderError, OutboxError
from runlore.store.access import make_folder
from runlore.store.lock import FolderLock

ADOPTED = "an adopted outbox"
"""The purpose of the lock of one whose own process has ended."""

READ_ROWS = 1000
"""Rows read at once: as many as JetStream takes in one atomic batch."""
READ_BYTES = 8 * 1024 * 1024
REMOVE_ROWS = 500
"""Rows removed under one hold of the lock: few longer waits for a busy step (0.7 ms, one call in 500) instead
of many short ones. In chunks of 64 every 60th call waited, which was its p99."""

OPEN_OUTBOXES: set[Outbox] = set()
"""Every outbox this process has open, for forks."""
IMPORT_GATE = CallLock()
"""Held while a relay imports nats-py, for forks too: a child cannot finish an import that a thread began."""
SQLITE_GATE = CallLock()
"""Held around SQLite calls outside the hot path, always taken after an outbox's own lock: who has it waits for nobody.
A fork takes all of them: the child must not inherit SQLite's mutexes locked by a thread that does not exist there."""

Result = TypeVar("Result")

_INSERT = "INSERT INTO outbox VALUES (?, ?, ?)"
_HAS = "SELECT EXISTS (SELECT 1 FROM outbox WHERE seq = ?) OR EXISTS (SELECT 1 FROM dead_letters WHERE seq = ?)"
_PENDING = "SELECT seq, subject, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?"
_SIZES = f"SELECT group_concat(length(payload)) FROM ({_PENDING})"
_HAS_ANY = "SELECT EXISTS (SELECT 1 FROM outbox) OR EXISTS (SELECT 1 FROM dead_letters)"
# One result row is one release of the interpreter lock. Row by row, a busy step makes the relay wait up to
# 5 ms for each to get it back (measured: 100 rows in 86 ms; this way 1,000 rows in 15 ms).
_BATCH = f"""
SELECT group_concat(seq), group_concat(subject, char(10)), CAST(group_concat(payload, '') AS BLOB) FROM ({_PENDING})
"""
# Up to the last acknowledged number nothing is sent: such rows get numbers behind all others.
_REVIVE = """
INSERT OR IGNORE INTO outbox SELECT seq + CASE
        WHEN seq > (SELECT coalesce(max(last), 0) FROM acknowledged) THEN 0
        ELSE (SELECT max(seq) FROM (SELECT seq FROM outbox UNION ALL SELECT seq FROM dead_letters))
    END, subject, payload FROM dead_letters
"""


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

    def __init__(self, path: Path, folder_lock: FolderLock, new_for: Destination | None = None) -> None:
        self.path = path
        self.producer_id = path.stem
        self.lock = CallLock()
        """Guards the connection."""
        self.closed = False
        self._folder_lock = folder_lock
        self._reserve = Reserve(path.parent.parent)
        self._full = False
        self.ledger = Ledger(self._write)
        try:
            with SQLITE_GATE:
                self._open(new_for)
                OPEN_OUTBOXES.add(self)
        except BaseException as error:
            folder_lock.release()
            if isinstance(error, sqlite3.Error):
                raise OutboxError(f"cannot open the outbox {path}: {error}") from error
            raise

    def _open(self, new_for: Destination | None) -> None:
        try:
            self._file = OutboxFile(self.path)
        except sqlite3.OperationalError as error:
            if new_for is not None or not is_full(error) or not self._reserve.give_up():
                raise
            self._file = OutboxFile(self.path)
        if new_for is not None:
            self._reserve.keep()
            about = self.path.stem, os.getpid(), time.time()
            self._file.connection.execute("INSERT INTO producer VALUES (?, ?, ?)", about)
            self._file.connection.execute("INSERT INTO destination VALUES (1, ?, ?, ?)", new_for)
        self._use(full=False)

    def _use(self, full: bool) -> None:
        if full != self._full:
            # A checkpoint copies pages into the file, which would grow into the room that the reserve leaves.
            self._file.checkpoint_by_itself(not full)
        self._full = full
        # One cursor saves a microsecond an insert. On a full disk the room is for the relay.
        self._insert = self._insert_if_room if full else self._file.connection.cursor().execute

    def _insert_if_room(self, sql: str, row: tuple[int, str, bytearray]) -> Any:
        if not self._reserve.has_room():
            raise sqlite3.OperationalError("the disk is full")
        self._use(full=False)
        return self._insert(sql, row)

    def has_room(self) -> bool:
        """Whether the disk has room for more than what waits to be sent."""
        return self._reserve.has_room()

    @classmethod
    def create(cls, folder: Path, producer_id: str, destination: Destination = NOWHERE) -> Outbox:
        """A new outbox of this process. Raises OutboxError saying what to do."""
        path = folder.absolute() / f"{producer_id}.db"
        lock = FolderLock(path.with_suffix(".lock"), "a producer")
        try:
            make_folder(folder)
            lock.acquire()
        except FolderError as error:
            raise OutboxError(f"{error}; RUNLORE_MODE=disabled logs nothing") from error
        except OSError as error:
            raise OutboxError(
                f"cannot write to {folder}: {error}. Set RUNLORE_DATA_DIR to a folder that can be written, "
                "or RUNLORE_MODE=disabled to log nothing"
            ) from error
        return cls(path, lock, new_for=destination)

    @classmethod
    def adopt(cls, path: Path) -> Outbox | None:
        """The outbox of a process that has ended; None while it lives or another has adopted it."""
        if not path.exists():
            return None
        lock = FolderLock(path.with_suffix(".lock"), ADOPTED)
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
            # sqlite3 asks its adapters about every bytes object, 1.7 µs; a bytearray it binds at once.
            self._insert(_INSERT, (seq, subject, bytearray(payload)))
        except sqlite3.Error as error:
            if is_full(error):
                self._use(full=True)
            raise OutboxError(f"the outbox {self.path} cannot be written: {error}. The event was not stored") from error

    def read(self, after: int) -> list[Row]:
        """The oldest rows above number `after`: at most READ_ROWS, and about READ_BYTES of payload."""
        with self.lock, SQLITE_GATE:
            connection = self._file.connection
            sizes = _numbers(connection.execute(_SIZES, (after, READ_ROWS)).fetchone()[0])
            count = _within(sizes, READ_BYTES)
            if not count:
                return []
            seqs, subjects, payloads = connection.execute(_BATCH, (after, count)).fetchone()
        return list(map(Row._make, zip(_numbers(seqs), subjects.split("\n"), _split(payloads, sizes), strict=False)))

    def remove(self, last: int) -> None:
        """Rows up to number `last` are safe elsewhere: they leave."""
        with self.lock, SQLITE_GATE:
            first = self._file.connection.execute("SELECT min(seq) FROM outbox").fetchone()[0]
        while first is not None and first <= last:
            first += REMOVE_ROWS
            self._write(functools.partial(_remove, min(first - 1, last)))
        if self._full:
            self._start_over_if_empty()

    def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Let `work` write; on a full disk, into the room of the reserve."""
        with self.lock, SQLITE_GATE:
            try:
                return work(self._file.connection)
            except sqlite3.OperationalError as error:
                if not is_full(error) or not self._reserve.give_up():
                    raise
            self._use(full=True)
            return work(self._file.connection)

    def _start_over_if_empty(self) -> None:
        """The disk is full of a file in which nothing is left: only a new one is small."""
        with self.lock, SQLITE_GATE:
            if self._has_any():
                return
            destination = read_destination(self._file.connection)
            self._file.connection.close()
            self._unlink_files()
            try:
                self._open(destination)
            except sqlite3.Error:
                self.closed = True  # its process opens another one
                OPEN_OUTBOXES.discard(self)
                raise

    def has(self, seq: int) -> bool:
        """Whether row `seq` waits or is a dead letter; the caller holds `lock`. Raises OutboxError."""
        try:
            (found,) = self._file.connection.execute(_HAS, (seq, seq)).fetchone()
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox {self.path} cannot be read: {error}") from error
        return bool(found)

    def bury(self, rows: Sequence[Row], reason: str) -> None:
        """The server will never take these rows: move them to the dead letters."""
        now = time.time()

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?)", [(*row, reason, now) for row in rows]
            )
            connection.executemany("DELETE FROM outbox WHERE seq = ?", [(row.seq,) for row in rows])

        self._transact(work)

    def revive(self) -> int:
        """Put the dead letters back in line; how many there were."""

        def work(connection: sqlite3.Connection) -> int:
            connection.execute(_REVIVE)
            return connection.execute("DELETE FROM dead_letters").rowcount

        return self._transact(work)

    def _transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        def whole(connection: sqlite3.Connection) -> Result:
            connection.execute("BEGIN IMMEDIATE")
            with connection:  # commits, or rolls back on an error
                return work(connection)

        return self._write(whole)

    def waiting(self) -> int:
        """How many rows wait for the stream."""
        with self.lock, SQLITE_GATE:
            return int(self._file.connection.execute(WAITING).fetchone()[0])

    def dead_letters(self) -> list[DeadLetter]:
        """What the server refused for good, oldest first."""
        with self.lock, SQLITE_GATE:
            rows = self._file.connection.execute(
                "SELECT seq, subject, reason, failed_at FROM dead_letters ORDER BY seq"
            )
            return [DeadLetter._make(row) for row in rows]

    def checkpoint(self) -> None:
        """Empty the write-ahead log; the step waits meanwhile, so the relay calls it when it is idle."""
        with self.lock, SQLITE_GATE:
            try:
                # PASSIVE never waits for a reader, such as someone's sqlite3 shell.
                self._file.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise

    def take(self) -> bool:
        """Have the file for this process alone; False when someone else has it open just now. See OutboxFile."""
        with self.lock, SQLITE_GATE:
            try:
                return self._file.take()
            finally:
                self._use(self._full)

    def share(self) -> None:
        """Let others read the file again."""
        with self.lock, SQLITE_GATE:
            if self._file.taken:
                self._file.share()

    def close(self) -> None:
        """Close the file and let go of it; it is removed when nothing is left in it. Harmless when closed."""
        with self.lock, SQLITE_GATE:
            if self.closed:
                return
            self.closed = True
            OPEN_OUTBOXES.discard(self)
            left = self._has_any()
            self._file.connection.close()
        if not left:
            self._unlink_files()
            self.path.with_suffix(".lock").unlink(missing_ok=True)
        self._folder_lock.release()

    def _unlink_files(self) -> None:
        for suffix in (".db", ".db-wal", ".db-shm"):
            self.path.with_suffix(suffix).unlink(missing_ok=True)

    def _has_any(self) -> bool:
        """Whether anything is left in it, or cannot be known: a damaged file, a full disk."""
        try:
            return bool(self._file.connection.execute(_HAS_ANY).fetchone()[0])
        except sqlite3.Error:
            return True

    def abandon(self) -> sqlite3.Connection:
        """In a forked child: let go of the parent's outbox without touching its files.

        Closing the inherited lock's descriptor leaves the parent's lock in place. The connection must
        never be closed here; the caller keeps it for ever.
        """
        self._folder_lock.release()
        self._insert = _abandoned
        return self._file.connection


def _remove(last: int, connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM outbox WHERE seq <= ?", (last,))


def holds_up_relays() -> bool:
    """Whether a call further down this thread's stack has a lock that relays need: then nobody may wait for them."""
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage] -- see CallLock
    return any(lock.is_inside(frame) for lock in (SQLITE_GATE, *[outbox.lock for outbox in OPEN_OUTBOXES.copy()]))


def _abandoned(*_: object) -> Any:
    raise sqlite3.ProgrammingError("it belongs to the parent process")


def _numbers(text: str | int | None) -> list[int]:
    return [] if text is None else [int(number) for number in str(text).split(",")]


def _within(sizes: Sequence[int], limit: int) -> int:
    """How many of the first sizes fit into `limit`; at least one, if there is any."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > limit and count:
            return count
    return len(sizes)


def _split(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    offset = 0
    for size in sizes:
        yield data[offset : offset + size]
        offset += size
