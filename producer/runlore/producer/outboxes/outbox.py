"""The outbox: one producer's events that are not yet sent, or not yet archived. See docs/outbox.md for the files.

The step appends to a mapped segment under the outbox's lock, without a system call. The relay reads the segments
through a map of its own and notes in the journal what became of them: neither waits for the other. The row number is
the producer's sequence number.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from runlore.producer.call_lock import CallLock
from runlore.producer.outboxes.gates import IMPORT_GATE, SQLITE_GATE
from runlore.producer.outboxes.journal import Journal
from runlore.producer.outboxes.ledger import NOWHERE, Began, Destination, Ledger
from runlore.producer.outboxes.reserve import Reserve
from runlore.producer.outboxes.rows import DamagedError, DeadLetter, Row, is_full
from runlore.producer.outboxes.segment import FIRST_BYTES, MOST_BYTES, Segment, allocated
from runlore.producer.outboxes.segment_format import RECORD, Info
from runlore.producer.outboxes.segments import Segments, segment_path
from runlore.schemas.errors import FolderError, OutboxError
from runlore.schemas.ids import new_id
from runlore.store.access import make_folder
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.private_folder import claim_folder

ADOPTED = "an adopted outbox"
"""The purpose of the lock of one whose own process has ended."""
SUFFIX = ".outbox"
OLD_SUFFIX = ".db"
"""Of outboxes of older versions, which were SQLite files."""

READ_ROWS = 1000
"""Rows read at once: as many as JetStream takes in one atomic batch."""
READ_BYTES = 8 * 1024 * 1024

OPEN_OUTBOXES: set[Outbox] = set()
"""Every outbox this process has open, for forks."""


class StoredRows(Protocol):
    """Where an outbox's rows are."""

    def read(self, after: int, rows: int, size: int, skip: set[int]) -> list[Row]: ...
    def rows(self, after: int) -> Iterator[Row]: ...
    def count(self, after: int) -> int: ...
    def info(self) -> Info | None: ...
    def began(self) -> Began: ...
    def drop(self, gone: int) -> None: ...
    def destroy(self) -> None: ...
    def close(self) -> None: ...


def outbox_paths(folder: Path) -> list[Path]:
    """The outboxes in a folder, oldest first."""
    found = [*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*{OLD_SUFFIX}")]
    return sorted(path for path in found if not path.name.startswith("."))


def open_rows(path: Path) -> StoredRows:
    """The rows of an outbox, for reading. Raises DamagedError, OSError."""
    if path.suffix == OLD_SUFFIX:
        with IMPORT_GATE:
            # Here, not at the top: seldom needed, and a step that imports the producer does not pay for sqlite3.
            from runlore.producer.outboxes.sqlite_rows import SqliteRows

        return SqliteRows(path)
    return Segments(path)


def journal_path(path: Path) -> Path:
    """Return the path of an outbox's journal."""
    return path.with_suffix(".journal") if path.suffix == OLD_SUFFIX else path / "journal"


def open_ledger(path: Path, began: Began, make_room: Callable[[], bool] = lambda: False) -> Ledger:
    """The ledger of an outbox; `make_room` is called when it has to grow on a full disk."""
    return Ledger(Journal(journal_path(path), make_room), began)


class Outbox:
    """An open outbox, its folder lock held. Make one with `create` or `adopt`."""

    def __init__(self, path: Path, folder_lock: FolderLock, new: Info | None = None, sync: bool = False) -> None:
        self.path = path
        self.producer_id = path.stem
        self.lock = CallLock()
        """Guards the segment that is written."""
        self.closed = False
        self._folder_lock = folder_lock
        self._reserve = Reserve(path.parent.parent)
        self._full = False
        self._sync = sync
        self._info = new
        self._segment: Segment | None = None
        """None in one that was adopted: nothing is written there."""
        try:
            self._open()
            OPEN_OUTBOXES.add(self)
        except BaseException as error:  # KeyboardInterrupt too: nobody else has the lock
            if new is not None:
                with contextlib.suppress(OSError):  # no file may be left to open: then an empty folder stays
                    Segments(path).destroy()
                    path.with_suffix(".lock").unlink(missing_ok=True)
            folder_lock.release()
            if isinstance(error, (DamagedError, OSError)) and not isinstance(error, OutboxError):
                raise OutboxError(f"cannot open the outbox {path}: {error}") from error
            raise

    def _open(self) -> None:
        if self._info is not None:
            self.path.mkdir(mode=0o700)
            self._reserve.keep()
            self._segment = self._allocated(1, FIRST_BYTES, 0)
        self._rows = open_rows(self.path)
        self.ledger = open_ledger(self.path, self._rows.began(), self._make_room)

    def _make_room(self) -> bool:
        """The disk is full of waiting events: what is kept back is for noting that they are sent."""
        self._full = True
        return self._reserve.give_up()

    def has_room(self) -> bool:
        """Whether the disk has room for more than what waits to be sent."""
        return self._reserve.has_room()

    @classmethod
    def create(cls, folder: Path, producer_id: str, destination: Destination = NOWHERE, sync: bool = False) -> Outbox:
        """A new outbox of this process; with `sync`, each event waits for the disk. Raises OutboxError."""
        path = folder.absolute() / f"{producer_id}{SUFFIX}"
        lock = FolderLock(path.with_suffix(".lock"), "a producer")
        try:
            claim_folder(DataDir(folder.parent))
            make_folder(folder)
            lock.acquire()
        except FolderError as error:
            raise OutboxError(f"{error}; RUNLORE_MODE=disabled logs nothing") from error
        except OSError as error:
            raise OutboxError(
                f"cannot write to {folder}: {error}. Set RUNLORE_DATA_DIR to a folder that can be written, "
                "or RUNLORE_MODE=disabled to log nothing"
            ) from error
        return cls(path, lock, Info(producer_id, os.getpid(), time.time(), *destination), sync)

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
        """Store one event durably; the caller holds `lock`. Raises OutboxError when it is not stored."""
        segment = self._segment
        try:
            if segment is None:
                raise ValueError("it belongs to another process")
            if not segment.append(seq, subject, payload):
                size = len(payload) + len(subject.encode())
                self._next_segment(segment, seq, size).append(seq, subject, payload)
        except (OSError, ValueError, DamagedError) as error:
            if isinstance(error, OutboxError):
                raise
            self._full = self._full or is_full(error)
            raise OutboxError(f"the outbox {self.path} cannot be written: {error}. The event was not stored") from error

    def _next_segment(self, segment: Segment, first: int, size: int) -> Segment:
        """Go on in a new segment, which begins with number `first`."""
        # One assignment: an exception before it leaves a segment without records, which nobody reads.
        self._segment = new = self._allocated(first, min(2 * segment.size, MOST_BYTES), size + RECORD.size)
        return new

    def _allocated(self, first: int, size: int, record: int) -> Segment:
        if self._full and not self._reserve.has_room():
            raise OSError("the disk is full")  # what is left is for the relay
        self._full = False
        assert self._info
        return allocated(segment_path(self.path, first), self._info, first, record, size, self._sync)

    def has(self, seq: int) -> bool:
        """Whether row `seq` was stored; the caller holds `lock`. Raises OutboxError."""
        try:
            return self._segment is not None and self._segment.has(seq)
        except ValueError as error:
            raise OutboxError(f"the outbox {self.path} cannot be read: {error}") from error

    def read(self, after: int) -> list[Row]:
        """The oldest rows above number `after` that are not dead: at most READ_ROWS, and about READ_BYTES of payload.

        Raises DamagedError.
        """
        return self._rows.read(max(after, self.ledger.gone), READ_ROWS, READ_BYTES, self.ledger.skipped)

    def remove(self, last: int) -> None:
        """Rows up to number `last` are safe elsewhere: they leave."""
        self.ledger.leave(last)
        self._rows.drop(self.ledger.gone)

    def add_dead_letters(self, rows: Sequence[Row], reason: str) -> None:
        """The server will never take these rows: they become dead letters."""
        self.ledger.add_dead_letters(rows, reason, time.time())

    def retry_dead_letters(self) -> int:
        """Put the dead letters in line in an outbox of their own; how many there were.

        Killed before the end, they are in both: what is sent twice counts once.
        """
        letters = sorted(self.ledger.letters.values())
        if letters:
            again = Outbox.create(self.path.parent, new_id(), self.ledger.destination())
            for seq, letter in enumerate(letters, 1):
                again.insert(seq, letter.subject, letter.payload)
            again.close()
            self.ledger.retried()
        return len(letters)

    def waiting(self) -> int:
        """How many rows wait for the stream."""
        acknowledged = self.ledger.acknowledged
        return self._rows.count(acknowledged) - sum(seq > acknowledged for seq in self.ledger.skipped)

    def dead_letters(self) -> list[DeadLetter]:
        """What the server refused for good, oldest first."""
        return self.ledger.dead_letters()

    def close(self) -> None:
        """Close the files and let go of them; they are removed when nothing is left in them. Harmless when closed."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            OPEN_OUTBOXES.discard(self)
            if self._segment is not None:
                self._segment.finish(segment_path(self.path, self._segment.first))
            left = self._has_any()
            self._rows.close()
            self.ledger.close()
        if not left:
            self._rows.destroy()
            self.path.with_suffix(".lock").unlink(missing_ok=True)
        self._folder_lock.release()

    def _has_any(self) -> bool:
        """Whether anything is left in it, or cannot be known."""
        try:
            return bool(self.ledger.letters) or self._rows.count(self.ledger.gone) > len(self.ledger.skipped)
        except (DamagedError, OSError):
            return True

    def discard(self) -> None:
        """Remove it with all that is in it."""
        with self.lock:
            self.closed = True
            OPEN_OUTBOXES.discard(self)
            if self._segment is not None:
                self._segment.release()
            self.ledger.close()
            self._rows.destroy()
        self.path.with_suffix(".lock").unlink(missing_ok=True)
        self._folder_lock.release()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's outbox without touching its files.

        Closing the inherited lock's descriptor leaves the parent's lock in place.
        """
        self._folder_lock.release()
        if self._segment is not None:
            self._segment.release()
        self.ledger.close()
        self.closed = True


def holds_up_relays() -> bool:
    """Whether a call further down this thread's stack has a lock that relays need: then nobody may wait for them."""
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage] -- see CallLock
    return any(lock.is_inside(frame) for lock in (SQLITE_GATE, *[outbox.lock for outbox in OPEN_OUTBOXES.copy()]))
