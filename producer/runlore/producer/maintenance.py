"""Outbox maintenance from outside a step: status, and draining what ended processes left behind."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import NamedTuple

from runlore.producer.outboxes.damaged import damaged_outboxes
from runlore.producer.outboxes.ledger import NOWHERE, Destination
from runlore.producer.outboxes.look import Look, look_at
from runlore.producer.outboxes.outbox import ADOPTED, Outbox, outbox_paths
from runlore.producer.outboxes.rows import DamagedError, DeadLetter
from runlore.producer.relay import Relay
from runlore.schemas.codec import decode_head
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.access import check_readable
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.wire.destinations import server_key

STOP_SECONDS = 5.0
OTHERS_PAUSE = 0.2
LOOKS = 5

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
    found = [_status(path) for path in outbox_paths(data.outboxes)]
    aside = [
        _damaged(path, f"{note.reason}; {note.rescued:,} events rescued", note.at)
        for path, note in damaged_outboxes(data.outboxes)
    ]
    return [status for status in found if status is not None] + aside


def _status(path: Path) -> OutboxStatus | None:
    lock = FolderLock(path.with_suffix(".lock"), "a look at the outbox")
    free = lock.try_acquire()
    try:
        found = _look(path)
    except DamagedError as error:
        return _damaged(path, str(error), alive=not free)
    except FileNotFoundError:
        return None  # drained and removed while we looked
    except OSError as error:
        logger.warning("runlore: the outbox %s cannot be read now: %s", path, error)
        return None
    finally:
        lock.release()
    return OutboxStatus(
        path,
        path.stem,
        found.pid,
        not free,
        found.waiting,
        found.dead,
        found.created,
        oldest=_occurred(found.first),
        adopted=not free and lock.holder().startswith(ADOPTED),
        kept=found.kept,
        destination=found.destination,
    )


def _look(path: Path) -> Look:
    for _ in range(LOOKS):
        with contextlib.suppress(FileNotFoundError):  # its relay removes segments meanwhile
            return look_at(path)
        if not path.exists():
            break
    raise FileNotFoundError(path)


def _damaged(path: Path, reason: str, created: float | None = None, alive: bool = False) -> OutboxStatus:
    return OutboxStatus(path, path.stem, None, alive, 0, [], created, damaged=reason)


def _occurred(payload: bytes | None) -> float | None:
    try:
        return None if payload is None else decode_head(payload).occurred_at.timestamp()
    except EventDecodeError:
        return None


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
                outbox.retry_dead_letters()
                outbox.close()
    before = _orphaned(data)
    deadline = time.monotonic() + timeout
    keeper = OutboxKeeper(settings)
    keeper.start()
    keeper.wait_swept(timeout)
    for number in sorted(keeper.elsewhere):
        other = OutboxKeeper(settings, Shard(number))
        other.start()
        other.wait_swept(max(0.0, deadline - time.monotonic()))
        other.stop()
    while _orphaned(data) and time.monotonic() < deadline:
        time.sleep(OTHERS_PAUSE)  # another process has adopted them, and sends them
    trouble = keeper.trouble
    keeper.stop()
    after = _orphaned(data)
    if after and trouble:
        logger.warning("runlore: %d event(s) wait in %s: %s", after, data.outboxes, trouble)
    dead = sum(len(status.dead_letters) for status in outbox_status(data) if not status.alive)
    return DrainReport(max(0, before - after), after, dead)


def _take_over(settings: Settings) -> None:
    """Make every outbox of an ended process one for this server, and its stream as it is now."""
    for status in outbox_status(DataDir(settings.data_dir)):
        outbox = None if status.alive or status.damaged else Outbox.adopt(status.path)
        if outbox is not None:
            outbox.ledger.set_destination(Destination(server_key(settings), status.destination.project))
            outbox.ledger.rewind(0)  # what another stream acknowledged is not on this one
            outbox.close()


def _orphaned(data: DataDir) -> int:
    return sum(status.waiting for status in outbox_status(data) if status.left_behind)


class OutboxKeeper:
    """Sends what ended processes leave behind, in the background, for as long as it runs."""

    def __init__(self, settings: Settings, shard: Shard | None = None) -> None:
        """`shard`: where to send; unless given, to that of the settings' project."""
        self._settings, self._shard = settings, shard
        self._relay: Relay | None = None

    def start(self) -> None:
        self._relay = Relay(self._settings, None, lambda: 0, self._shard)
        self._relay.start()

    @property
    def elsewhere(self) -> set[int]:
        """Other shards that something was left behind for."""
        return set() if self._relay is None else set(self._relay.shards.elsewhere)

    @property
    def trouble(self) -> str:
        """Why the server cannot be reached now; empty while it can."""
        return "" if self._relay is None else self._relay.trouble

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
