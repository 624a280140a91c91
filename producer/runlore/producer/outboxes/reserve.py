"""A reserve of disk space: given up when the disk is full, so that waiting events can be marked as sent and leave."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from runlore.store.ownership import open_private

MAX_BYTES = 2 * 1024 * 1024
SHARE = 16
"""Denominator of the share of a small disk that is kept back."""
ROOM_BYTES = 64 * 1024
"""Free space from which on calls are stored again."""

_PIECE = 64 * 1024


class Reserve:
    """A file of nothing, one a data folder. Where space is handed out late (copy on write), it helps less."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "reserve"

    def keep(self) -> bool:
        """Have the reserve; False when there is no room for it and as much again."""
        if self.path.exists():
            return True
        try:
            disk = os.statvfs(self.path.parent)
            size = min(MAX_BYTES, disk.f_blocks * disk.f_frsize // SHARE)
            if _free(disk) < 2 * size:
                return False
            descriptor = open_private(self.path, os.O_WRONLY | os.O_CREAT)
            try:
                allocate(descriptor, size)
            finally:
                os.close(descriptor)
        except OSError:
            self.give_up()
            return False
        return True

    def give_up(self) -> bool:
        """Free its space; False when it was gone already."""
        with contextlib.suppress(OSError):
            self.path.unlink()
            return True
        return False

    def has_room(self) -> bool:
        """Whether calls can be stored beside the reserve."""
        return self.keep() and _free(os.statvfs(self.path.parent)) >= ROOM_BYTES


def allocate(descriptor: int, size: int) -> None:
    """Have the disk space of a file now: written later, a map over missing space is a bus error. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
        else:
            return
    os.ftruncate(descriptor, size)
    for at in range(0, size, _PIECE):
        os.pwrite(descriptor, bytes(min(_PIECE, size - at)), at)


def _free(disk: os.statvfs_result) -> int:
    return disk.f_bavail * disk.f_frsize
