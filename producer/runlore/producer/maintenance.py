"""Looking after outboxes from outside a step: their status, draining what ended processes left behind."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from runlore.producer.outbox import SQLITE_GATE, DeadLetter, Outbox
from runlore.producer.relay import Relay
from runlore.producer.rescue import damaged_outboxes, is_damage
from runlore.schemas.layout import DataDir, FolderLock
from runlore.schemas.settings import Settings

STOP_SECONDS = 5.0
LOOK_SECONDS = 5.0
LOOK_PAUSE = 0.02

_Found = tuple[int, list[tuple[int, str, str, float]], tuple[int | None, float | None]]

logger = logging.getLogger("runlore")


class OutboxStatus(NamedTuple):
    """One outbox file."""

    path: Path
    producer_id: str
    pid: int | None
    alive: bool
    """Whether a process holds it: its own, or one that has adopted it."""
    waiting: int
    dead_letters: list[DeadLetter]
    created: float | None
    """Unix seconds."""
    damaged: str | None = None
    """Why it cannot be read; in the folder `damaged`, of what could be read everything waits in another outbox."""


class DrainReport(NamedTuple):
    """What draining came to."""

    sent: int
    unsent: int
    dead_letters: int


def outbox_status(data: DataDir) -> list[OutboxStatus]:
    """Every outbox of a data folder, oldest first; then those that were damaged and are set aside."""
    found = [_status(path) for path in sorted(data.outboxes.glob("*.db"))]
    aside = [
        OutboxStatus(path, path.stem, None, False, 0, [], note.at, f"{note.reason}; {note.rescued:,} events rescued")
        for path, note in damaged_outboxes(data.outboxes)
    ]
    return [status for status in found if status is not None] + aside


def _status(path: Path) -> OutboxStatus | None:
    lock = FolderLock(path.with_suffix(".lock"), "a look at the outbox")
    free = lock.try_acquire()
    try:
        waiting, dead, made = _look_in_turn(path)
    except sqlite3.OperationalError as error:
        if is_damage(error) and path.exists() and path.stat().st_size:
            return OutboxStatus(path, path.stem, None, not free, 0, [], None, str(error))
        if "locked" in str(error):
            logger.warning("runlore: %s was not free to be read for %g s: try again", path, LOOK_SECONDS)
        return None  # or drained and removed while we looked, or not yet made
    except sqlite3.DatabaseError as error:
        return OutboxStatus(path, path.stem, None, not free, 0, [], None, str(error))
    finally:
        lock.release()
    return OutboxStatus(path, path.stem, made[0], not free, waiting, [DeadLetter._make(row) for row in dead], made[1])


def _look_in_turn(path: Path) -> _Found:
    """A relay that has the file to itself lets go of it for a while every second."""
    deadline = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            with SQLITE_GATE:  # not while waiting: the relay may be one of this process, and needs it to let go
                return _look(path)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(LOOK_PAUSE)


def _look(path: Path) -> _Found:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)
    try:
        waiting = connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
        dead = connection.execute("SELECT seq, subject, reason, failed_at FROM dead_letters ORDER BY seq").fetchall()
        return waiting, dead, connection.execute("SELECT pid, created FROM producer").fetchone() or (None, None)
    finally:
        connection.close()


def drain(settings: Settings, timeout: float, retry_dead_letters: bool = False) -> DrainReport:
    """Send what ended processes left in the folder, for at most `timeout` seconds.

    Outboxes of living processes are left to them.
    """
    data = DataDir(settings.data_dir)
    if retry_dead_letters:
        for status in outbox_status(data):
            outbox = None if status.alive or not status.dead_letters else Outbox.adopt(status.path)
            if outbox is not None:
                outbox.revive()
                outbox.close()
    before = _orphaned(data)
    keeper = OutboxKeeper(settings)
    keeper.start()
    keeper.wait_swept(timeout)
    keeper.stop()
    after = _orphaned(data)
    dead = sum(len(status.dead_letters) for status in outbox_status(data) if not status.alive)
    return DrainReport(max(0, before - after), after, dead)


def _orphaned(data: DataDir) -> int:
    return sum(status.waiting for status in outbox_status(data) if not status.alive)


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
        """Stop; what is not sent stays in its outbox."""
        if self._relay is not None:
            self._relay.stop(STOP_SECONDS)
            self._relay = None
