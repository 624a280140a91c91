"""Rebuild: fold the whole log into a new generation beside the live one, then switch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runlore.projector.archive import ArchiveReader
from runlore.projector.view import View, make_current, next_path
from runlore.schemas.layout import DataDir

BATCH = 10_000
"""Events folded in one transaction; results do not depend on it."""

BULK_BATCH = 25_000
"""The same where nobody waits for the next position: more rows of one entity meet in one batch."""

Progress = Callable[[int, int], None]
"""Hears the folded position and the last position."""


def fold_log(log: ArchiveReader, view: View, progress: Progress | None = None, batch: int = BULK_BATCH) -> int:
    """Fold everything of the log that follows the view's position; the position reached."""
    position = view.position
    while rows := log.read(position, batch):
        position = view.fold(rows).position
        if progress is not None:
            progress(position, log.position)
    return position


def rebuild_view(data: DataDir, progress: Progress | None = None) -> Path:
    """Make a new generation from log.db and switch to it. The projector of this folder must not run.

    The old generation stays until `remove_old_views`; a rebuild that is killed leaves the live one untouched.
    """
    log = ArchiveReader(data.log)
    try:
        view = View.create(next_path(data), log.epoch, bulk=True)
        try:
            fold_log(log, view, progress)
            view.end_bulk()
        finally:
            view.close()
        make_current(data, view.path)
    finally:
        log.close()
    return view.path


def remove_old_views(data: DataDir) -> list[Path]:
    """Remove generations that are not live. Readers that still hold one keep it until they let go."""
    live = data.current_view()
    old = [path for path in data.projection.glob("view-[0-9]*.db") if path != live]
    for path in old:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    return old
