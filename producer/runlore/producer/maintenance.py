"""Outbox maintenance from outside a step: status, and draining what ended processes left behind."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from runlore.producer.outboxes.ledger import NOWHERE, Destination, read_destination
from runlore.producer.outboxes.outbox import ADOPTED, SQLITE_GATE, DeadLetter, Outbox
from runlore.producer.outboxes.outbox_file import FIRST_WAITING, WAITING
from runlore.producer.outboxes.rescue import damaged_outboxes, is_damage
from runlore.producer.relay import Relay
from runlore.schemas.codec import decode_head
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.settings import Settings
from runlore.store.access import check_readable
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.wire.destinations import server_key

STOP_SECONDS = 5.0
LOOK_SECONDS = 5.0
LOOK_PAUSE = 0.02
OTHERS_PAUSE = 0.2
_FIRST = "SELECT payload FROM outbox ORDER BY seq LIMIT 1"  # in files of older versions


class _OutboxContent(NamedTuple):
    waiting: int
    kept: int
    dead: list[tuple[int, str, str, float]]
    pid: int | None
    created: float | None
    destination: Destination
    first: bytes | None
    """The first waiting event."""


logger = logging.getLogger("runlore")


class OutboxStatus(NamedTuple):
    """One outbox file."""

    path: Path
    producer_id: str
    pid: int | None
    alive: bool
    """True while a process holds it: its own, or one that has adopted it."""
    waiting: int
    dead_letters: list[DeadLetter]
    created: float | None
    """Unix seconds."""
    oldest: float | None = None
    """Time of the first waiting event, Unix seconds; None if none waits, or it is damaged."""
    adopted: bool = False
    """True if its own process has ended and another one sends what it left behind."""
    kept: int = 0
    """Events that the stream has acknowledged, kept until they are archived."""
    destination: Destination = NOWHERE
    """The server and project of its events."""
    damaged: str | None = None
    """Reason it cannot be read. In the folder `damaged`: everything readable was moved to another outbox."""

    @property
    def left_behind(self) -> bool:
        """Return whether its own process has ended."""
        return self.adopted or not self.alive


class DrainReport(NamedTuple):
    """Result of a drain."""

    sent: int
    unsent: int
    dead_letters: int


def outbox_status(data: DataDir) -> list[OutboxStatus]:
    """Every outbox of a data folder, oldest first; then those that were damaged and are set aside.

    Raises FolderError where this user may not look.
    """
    check_readable(data.outboxes)
    found = [_status(path) for path in sorted(data.outboxes.glob("*.db"))]
    aside = [
        _damaged(path, f"{note.reason}; {note.rescued:,} events rescued", note.at)
        for path, note in damaged_outboxes(data.outboxes)
    ]
    return [status for status in found if status is not None] + aside


def _status(path: Path) -> OutboxStatus | None:
    lock = FolderLock(path.with_suffix(".lock"), "a look at the outbox")
    free = lock.try_acquire()
    try:
        found = _look_when_free(path)
    except sqlite3.OperationalError as error:
        if is_damage(error) and path.exists() and path.stat().st_size:
            return _damaged(path, str(error), alive=not free)
        if "locked" in str(error):
            logger.warning("runlore: %s was not free to be read for %g s: try again", path, LOOK_SECONDS)
        return None  # or drained and removed while we looked, or not yet made
    except sqlite3.DatabaseError as error:
        return _damaged(path, str(error), alive=not free)
    finally:
        lock.release()
    dead = [DeadLetter._make(row) for row in found.dead]
    return OutboxStatus(
        path,
        path.stem,
        found.pid,
        not free,
        found.waiting,
        dead,
        found.created,
        oldest=_occurred(found.first),
        adopted=not free and lock.holder().startswith(ADOPTED),
        kept=found.kept,
        destination=found.destination,
    )


def _damaged(path: Path, reason: str, created: float | None = None, alive: bool = False) -> OutboxStatus:
    return OutboxStatus(path, path.stem, None, alive, 0, [], created, damaged=reason)


def _occurred(payload: bytes | None) -> float | None:
    try:
        return None if payload is None else decode_head(payload).occurred_at.timestamp()
    except EventDecodeError:
        return None


def _look_when_free(path: Path) -> _OutboxContent:
    """Read the file once it is free: a relay that holds it exclusively lets go of it for a moment every second."""
    deadline = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            with SQLITE_GATE:  # not while waiting: the relay may be one of this process, and needs it to let go
                return _look(path)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(LOOK_PAUSE)


def _look(path: Path) -> _OutboxContent:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)
    try:
        rows = connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}  # fewer in older versions
        waiting = connection.execute(WAITING).fetchone()[0] if "acknowledged" in tables else rows
        dead = connection.execute("SELECT seq, subject, reason, failed_at FROM dead_letters ORDER BY seq").fetchall()
        pid, created = connection.execute("SELECT pid, created FROM producer").fetchone() or (None, None)
        destination = read_destination(connection) if "destination" in tables else NOWHERE
        first = connection.execute(FIRST_WAITING if "acknowledged" in tables else _FIRST).fetchone()
        return _OutboxContent(waiting, rows - waiting, dead, pid, created, destination, first[0] if first else None)
    finally:
        connection.close()


def drain(settings: Settings, timeout: float, retry_dead_letters: bool = False, take_over: bool = False) -> DrainReport:
    """Send what ended processes left in the folder, for at most `timeout` seconds.

    Outboxes of living processes are left to them, and so are those for another server, or for a stream that was
    replaced, unless `take_over`.
    """
    data = DataDir(settings.data_dir)
    if take_over:
        _take_over(settings)
    if retry_dead_letters:
        for status in outbox_status(data):
            outbox = None if status.alive or not status.dead_letters else Outbox.adopt(status.path)
            if outbox is not None:
                outbox.revive()
                outbox.close()
    before = _orphaned(data)
    deadline = time.monotonic() + timeout
    keeper = OutboxKeeper(settings)
    keeper.start()
    keeper.wait_swept(timeout)
    while _orphaned(data) and time.monotonic() < deadline:
        time.sleep(OTHERS_PAUSE)  # another process has adopted them, and sends them
    keeper.stop()
    after = _orphaned(data)
    dead = sum(len(status.dead_letters) for status in outbox_status(data) if not status.alive)
    return DrainReport(max(0, before - after), after, dead)


def _take_over(settings: Settings) -> None:
    """Make every outbox of an ended process one for this server, and its stream as it is now."""
    for status in outbox_status(DataDir(settings.data_dir)):
        outbox = None if status.alive else Outbox.adopt(status.path)
        if outbox is not None:
            outbox.ledger.set_destination(Destination(server_key(settings), status.destination.project))
            outbox.ledger.rewind(0)  # what another stream acknowledged is not on this one
            outbox.close()


def _orphaned(data: DataDir) -> int:
    return sum(status.waiting for status in outbox_status(data) if status.left_behind)


class OutboxKeeper:
    """Sends what ended processes leave behind, in the background, for as long as it runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._relay: Relay | None = None

    def start(self) -> None:
        self._relay = Relay(self._settings, None, lambda: 0)
        self._relay.start()

    def wait_swept(self, timeout: float) -> bool:
        """Wait until every orphan that was there is sent; False after `timeout` seconds."""
        assert self._relay
        ticket = self._relay.sweep()
        deadline = time.monotonic() + timeout
        while not self._relay.swept(ticket):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def stop(self) -> None:
        """Stop; unsent events stay in their outboxes."""
        if self._relay is not None:
            self._relay.stop(STOP_SECONDS)
            self._relay = None
