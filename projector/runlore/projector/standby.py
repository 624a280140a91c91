"""Taking a folder: at once or not at all, or as a standby that waits until the projector before it dies or hangs.

A hung process keeps its lock, and might write again when it wakes. So a standby never goes past the lock: it ends the
process that holds it (SIGKILL, which a stopped process cannot refuse) and takes the lock that the kernel then releases.
There are never two writers, and what the ended one had in hand is a transaction that SQLite rolls back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Generator
from pathlib import Path

from runlore.projector.logs import get_log
from runlore.projector.state import LIVE_SECONDS
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock

POLL_SECONDS = 0.1


@contextlib.contextmanager
def taken(data: DataDir, wait: bool, stop: threading.Event, holder: str = "the projector") -> Generator[bool]:
    """Hold the folder; False when `stop` was set while waiting for it. Raises FolderBusyError unless it may `wait`."""
    lock = FolderLock(data.projector_lock, holder)
    if wait:
        yield from _held(lock, _Standby(data, lock).took(stop))
        return
    with lock:
        yield True


def _held(lock: FolderLock, took: bool) -> Generator[bool]:
    try:
        yield took
    finally:
        lock.release()


class _Standby:
    """Waits for one lock, and listens for the heartbeat of its holder: status.json, written every second."""

    def __init__(self, data: DataDir, lock: FolderLock) -> None:
        self._data, self._lock = data, lock
        self._beat: bytes | None = None
        self._heard = time.monotonic()  # our own clock, which stands still with the machine: what sleeps is not hung

    def took(self, stop: threading.Event) -> bool:
        if self._lock.try_acquire():
            return True
        get_log().info("standing by", holder=self._lock.holder(), folder=str(self._data.projection))
        while not stop.wait(POLL_SECONDS):
            if self._lock.try_acquire():
                get_log().warning("taking over: the projector before has ended")
                return True
            if self._silent():
                self._heard = time.monotonic()  # once more after as long
                end_holder(self._data.projector_lock, f"no heartbeat for {LIVE_SECONDS:g} s")
        return False

    def _silent(self) -> bool:
        beat = _content(self._data.status)
        if beat != self._beat:
            self._beat, self._heard = beat, time.monotonic()
        return time.monotonic() - self._heard > LIVE_SECONDS


def end_holder(lock: Path, reason: str) -> bool:
    """End the process that holds a lock file; False when it cannot be told which one, or it is not ours to end.

    The file says its number. It counts only if a process of that number has this very file open: in another container
    the number means another process.
    """
    text = (_content(lock) or b"").decode(errors="replace")
    number = text.rpartition(" ")[2]
    if not number.isdecimal() or int(number) == os.getpid() or not _has_open(int(number), lock):
        get_log().error("a holder of the folder hangs, and cannot be ended from here", holder=text, reason=reason)
        return False
    get_log().error("ending the holder of the folder", holder=text, reason=reason)
    try:
        os.kill(int(number), signal.SIGKILL)
    except OSError as error:
        get_log().error("the holder of the folder cannot be ended", holder=text, error=str(error))
        return False
    return True


def _has_open(process: int, path: Path) -> bool:
    """Return whether a process has a file open, as Linux tells; False where it does not."""
    try:
        wanted = path.stat()
        descriptors = list(Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            found = descriptor.stat()
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
