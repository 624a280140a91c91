"""Generations of the view: which file is live, the lock for writing or switching it, and removal of old ones."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.ownership import open_private
from runlore.store.private_files import write_private
from runlore.store.private_folder import make_shared_folder
from runlore.store.sqlite import sqlite

REMOVAL_SECONDS = 1.0
"""For which the removal of old views may hold the lock of rebuilds."""

_SUFFIXES = ("", "-wal", "-shm", "-journal")


def next_path(data: DataDir) -> Path:
    """The file of the next generation: above every number in use, live, left over or lost."""
    used = list(map(_number, view_files(data)))
    with contextlib.suppress(NotFoundError, CorruptLogError):
        used.append(_number(data.current_view()))  # a file made where a lost one was would be read before it is whole
    return data.view(max(used, default=0) + 1)


def make_current(data: DataDir, path: Path) -> None:
    """Make a view the live one: readers follow at their next read."""
    write_private(data.current, f"{path.name}\n".encode(), shared=True)


@contextmanager
def view_lock(data: DataDir) -> Generator[None]:
    """Hold the right to move the live view forward or to switch to another; waits for it.

    The fold holds it for each batch, so the live view does not change while a rebuild holds it.
    """
    make_shared_folder(data.projection)
    descriptor = open_private(data.projection / "view.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def rebuild_lock(data: DataDir) -> FolderLock:
    """Held while a new generation is made: there is one at a time."""
    return FolderLock(data.projection / "rebuild.lock", "a rebuild")


@contextmanager
def rebuilding(data: DataDir) -> Generator[None]:
    """Hold that lock. Raises FolderBusyError if another rebuild has it, not while old views are just being removed."""
    lock = rebuild_lock(data)
    lock.acquire(REMOVAL_SECONDS)
    try:
        yield
    finally:
        lock.release()


def remove_old_views(data: DataDir) -> list[Path]:
    """Remove the generations that nobody can come to any more; those that a reader still has open stay for now."""
    try:
        live = _number(data.current_view())
    except (NotFoundError, CorruptLogError):
        return []  # nobody can say which one is live
    old = [path for path in view_files(data) if _number(path) < live and not _in_use(path)]
    unfinished = rebuild_lock(data)
    if unfinished.try_acquire():
        try:
            old += [path for path in view_files(data) if _number(path) > live]
        finally:
            unfinished.release()
    for path in old:
        remove_view(path)
    return old


def remove_view(path: Path) -> None:
    """Remove a file and what SQLite keeps beside it."""
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def view_files(data: DataDir) -> list[Path]:
    """Every generation in the folder: live, old or unfinished."""
    return [path for path in data.projection.glob("view-[0-9]*.db") if path.stem[5:].isdecimal()]


def _number(path: Path) -> int:
    return int(path.stem[5:])


def _in_use(path: Path) -> bool:
    """Return whether anyone has it open: only the last connection of a file may leave WAL mode."""
    connection = sqlite.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)
    try:
        return bool(connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "wal")
    except sqlite.OperationalError as error:
        return "locked" in str(error)
    except sqlite.DatabaseError:
        return False  # damaged: nobody reads it
    finally:
        connection.close()
