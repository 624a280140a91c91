"""Folder locks: one writer a folder, and a file that says who it is."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import time
from pathlib import Path
from typing import Any

from runlore.schemas.errors import FolderBusyError
from runlore.store.access import make_folder
from runlore.store.ownership import open_private, require_own_folder

_PAUSE = 0.05


def is_running(pid: int) -> bool:
    """Return whether this machine has a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


class FolderLock:
    """An advisory lock on a file that names its holder; released when the process ends.

    A child that inherits `descriptor` holds the lock too: it is free when the last of them has ended.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        self._path = path
        self._purpose = purpose
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it. Raises FolderError where it cannot be made."""
        make_folder(self._path.parent)
        require_own_folder(self._path.parent)
        descriptor = open_private(self._path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # the disk is full: the lock is held anyway
            self.name_holder(os.getpid())
        return True

    def acquire(self, seconds: float = 0.0, advice: str = "") -> None:
        """Take the lock within `seconds`, or raise FolderBusyError naming the holder, followed by `advice`."""
        deadline = time.monotonic() + seconds
        while not self.try_acquire():
            if time.monotonic() >= deadline:
                busy = f"{self._path.parent} is in use by {self.holder()} (lock {self._path.name})"
                raise FolderBusyError(f"{busy}. {advice}" if advice else busy)
            time.sleep(_PAUSE)

    @property
    def descriptor(self) -> int:
        """The open lock file, for a child to inherit. Only while held."""
        assert self._descriptor is not None
        return self._descriptor

    def name_holder(self, pid: int) -> None:
        """Write into the file that this process holds the lock, and since when. Only while held."""
        since = dt.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{self._purpose}, process {pid}, since {since}".encode(), 0)

    def holder(self) -> str:
        """Return the holder's own description: purpose, process, and since when."""
        try:
            return self._path.read_text() or "another process"
        except OSError:
            return "another process"

    def release(self) -> None:
        """Release the lock; harmless if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()
