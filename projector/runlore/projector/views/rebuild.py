"""Rebuild: fold the whole log into a new generation beside the live one, then switch."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.fold import FOLD_VERSION
from runlore.projector.progress import Progress
from runlore.projector.views.digest import ViewSnapshot
from runlore.projector.views.generations import make_current, next_path, rebuilding, remove_view, view_lock
from runlore.projector.views.view import View
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.folder import DataDir
from runlore.store.sqlite import sqlite
from runlore.store.view_tables import VIEW_SCHEMA

BATCH = 10_000
"""Events folded in one transaction; results do not depend on it."""

BULK_BATCH = 50_000
"""The same where nobody waits for the next position: more rows of one entity meet in one batch."""


class Rebuilt(NamedTuple):
    """A new generation that is live now."""

    path: Path
    position: int
    """Its position when it became live."""
    differing: tuple[str, ...] | None
    """Tables in which the old view was not what the log says; None when the two could not be compared."""


def fold_log(
    log: ArchiveReader, view: View, progress: Progress | None = None, until: int | None = None, batch: int = BULK_BATCH
) -> int:
    """Fold what follows the view's position, up to `until` or the end of the log; the position reached."""
    position = view.position
    while rows := log.read(position, batch):
        if until is not None and rows[-1].position > until:
            rows = [row for row in rows if row.position <= until]
            if not rows:
                break
        position = view.fold(rows).position
        if progress is not None:
            progress(position, until or log.position)
    return position


def rebuild_view(data: DataDir, progress: Progress | None = None, compare: bool = True) -> Rebuilt:
    """Make a new generation from log.db and switch to it; a projector may go on folding the live one meanwhile.

    Readers see neither an error nor an older position. Killed at any moment, it leaves the live view as it is.
    Raises FolderBusyError while another rebuild of the folder runs.
    """
    with (
        rebuilding(data),
        contextlib.closing(ArchiveReader(data.log)) as log,
        contextlib.ExitStack() as unfinished,
    ):
        # No further than the live view, which may lag behind the log: the two are compared at its position.
        view = fill(log, next_path(data), progress, _live_position(data) if compare else None)
        unfinished.callback(remove_view, view.path)
        unfinished.callback(view.close)
        differing = _compared(data, log, view) if compare else None
        fold_log(log, view, progress)
        view.sync_search(None)
        with view_lock(data):
            position = fold_log(log, view)
            unfinished.pop_all()
            make_current(data, view.path)
        view.close()
    return Rebuilt(view.path, position, differing)


def fill(log: ArchiveReader, path: Path, progress: Progress | None = None, until: int | None = None) -> View:
    """A new view at `path` with everything of the log up to `until`, or to its end.

    Nothing is left of the file when it fails.
    """
    view = View.create(path, log.epoch, bulk=True)
    with contextlib.ExitStack() as unfinished:
        unfinished.callback(remove_view, path)
        unfinished.callback(view.close)
        view.begin_after(log.erased_at)
        fold_log(log, view, progress, until)
        view.end_bulk()
        unfinished.pop_all()
    return view


def _live_position(data: DataDir) -> int | None:
    """The position of the live view, from where it only moves on; None when there is none to compare with."""
    try:
        with contextlib.closing(ViewSnapshot(data.current_view())) as live:
            return live.position if live.made_by == (VIEW_SCHEMA, FOLD_VERSION) else None
    except (NotFoundError, CorruptLogError, sqlite.DatabaseError):
        return None


def _compared(data: DataDir, log: ArchiveReader, view: View) -> tuple[str, ...] | None:
    """The tables in which the live view differs from the new one at the same position."""
    try:
        with view_lock(data):
            live = ViewSnapshot(data.current_view())
            fold_log(log, view, until=live.position)
    except (NotFoundError, CorruptLogError, sqlite.DatabaseError):
        return None  # there is none, or it cannot be read: all the better that a new one comes
    with contextlib.closing(live), contextlib.closing(ViewSnapshot(view.path)) as new:
        if live.position != new.position or live.made_by != new.made_by:
            return None
        return _differing(live, new)


def _differing(live: ViewSnapshot, new: ViewSnapshot) -> tuple[str, ...] | None:
    wanted = new.digest()
    try:
        found = live.digest()
    except sqlite.DatabaseError:
        return None
    return tuple(table for table, digest in wanted.items() if found[table] != digest)
