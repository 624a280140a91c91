"""Follow: keep a custom projection up to date with log.db, from event 1 on."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from pathlib import Path

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.fold import Projection
from runlore.projector.logs import get_log
from runlore.projector.progress import Progress
from runlore.projector.views.fitness import UnfitError, fit
from runlore.projector.views.generations import remove_view
from runlore.projector.views.projection_file import ProjectionFile
from runlore.projector.views.rebuild import BATCH
from runlore.schemas.errors import SettingsError
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock

POLL_SECONDS = 0.05
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")


def projection_path(data: DataDir, projection: Projection) -> Path:
    """The file of a projection: one for each name and version. Raises SettingsError for a name that makes no file."""
    if not _NAME.match(projection.name) or projection.name == "view" or projection.version < 1:
        raise SettingsError(
            f"projection {projection.name!r}, version {projection.version!r}: a name of lower-case letters, digits "
            "and dashes other than 'view', and a version from 1 up"
        )
    return data.projection / f"{projection.name}-v{projection.version}.db"


def follow(
    projection: Projection,
    data: DataDir,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
    after_batch: Callable[[ProjectionFile], None] | None = None,
) -> Path:
    """Fold everything of log.db that the projection's file does not have, then what comes, until `stop` is set.

    Without `stop` it returns at the end of the log. `progress` is called until then, `after_batch` is
    called after each later batch.
    The files of other versions go once this one has caught up. Raises NotFoundError without a log, FolderBusyError
    when another process follows with the same projection, SettingsError.
    """
    path = projection_path(data, projection)
    lock = FolderLock(path.with_suffix(".lock"), f"projection {projection.name}")
    with lock, contextlib.closing(ArchiveReader(data.log)) as log, contextlib.ExitStack() as opened:
        file = opened.enter_context(contextlib.closing(_opened(path, log, projection)))
        _catch_up(log, file, progress)
        for other in data.projection.glob(f"{projection.name}-v*.db"):
            if other != path:
                remove_view(other)
        while stop is not None and not stop.is_set():
            if file.erased_at != log.erased_at:
                opened.close()
                file = opened.enter_context(contextlib.closing(_opened(path, log, projection)))
            if not _catch_up(log, file, None):
                stop.wait(POLL_SECONDS)
            elif after_batch is not None:
                after_batch(file)
        file.checkpoint()
    return path


def _opened(path: Path, log: ArchiveReader, projection: Projection) -> ProjectionFile:
    try:
        return fit(lambda: ProjectionFile.open_or_make(path, log.epoch, projection), log)
    except UnfitError as error:
        get_log().warning("making the projection again from log.db", file=path.name, reason=str(error))
    remove_view(path)
    made = ProjectionFile.open_or_make(path, log.epoch, projection)
    made.begin_after(log.erased_at)
    return made


def _catch_up(log: ArchiveReader, file: ProjectionFile, progress: Progress | None) -> bool:
    """Fold to the end of the log; whether there was anything."""
    position = begun = file.position
    while rows := log.read(position, BATCH):
        position = file.fold(rows).position
        if progress is not None:
            progress(position, log.position)
    return position > begun
