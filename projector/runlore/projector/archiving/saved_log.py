"""Saving log.db when its file is removed or replaced while it is open: only the open connection has it then."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from runlore.projector.database import empty_wal
from runlore.schemas.errors import CorruptLogError, RunloreError
from runlore.store.database import Database
from runlore.store.private_folder import make_shared_file
from runlore.store.sqlite import sqlite

_AGAIN = "Nothing is lost; start the projector again"


def saved(path: Path, db: Database, misplaced: Sequence[Path], position: int) -> RunloreError:
    """Save the content of an open log; return the error that says what happened and where the content is now."""
    if not path.parent.is_dir():
        return CorruptLogError(f"{path.parent} was removed while the projector ran, and log.db with it")
    if path not in misplaced:
        names = ", ".join(one.name for one in misplaced)
        empty_wal(db)
        return RunloreError(f"{names} was removed or replaced while log.db was open. {_AGAIN}")
    copy = path.with_name(f"{path.name}.saved-{time.time_ns()}")
    make_shared_file(copy)
    with contextlib.closing(sqlite.connect(str(copy))) as target:
        db.conn.backup(target)
    _sync(copy)
    if path.exists():
        return CorruptLogError(
            f"another file was put in the place of {path} while the projector ran. What was archived, up to event "
            f"{position:,}, is in {copy}: move that file back to {path}, and start the projector again"
        )
    for suffix in ("-wal", "-shm"):  # those of the removed file: SQLite would replay them into the copy
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copy.rename(path)
    return RunloreError(f"{path} was removed while it was open; it was written back up to event {position:,}. {_AGAIN}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
