"""Fitness of a projection's file: it is folded further, or rebuilt from the log.

A view is disposable: whatever is wrong with its file, log.db gives it back. What must not happen is that it is folded
on after it was damaged, or with a log that is not the one it was made from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.views.generations import make_current, next_path, view_files
from runlore.projector.views.projection_file import ProjectionFile
from runlore.projector.views.rebuild import BATCH
from runlore.projector.views.view import View
from runlore.schemas.errors import CorruptLogError, NotFoundError, RunloreError
from runlore.store.folder import DataDir
from runlore.store.sqlite import is_damage, sqlite

File = TypeVar("File", bound=ProjectionFile)


class UnfitError(RunloreError):
    """The file of a projection cannot be folded further; the text gives the reason. Rebuild it from log.db."""


class ErasedError(UnfitError):
    """Values were erased since the file was begun: nothing is wrong with it."""


class AheadError(UnfitError):
    """The file knows more than log.db, whose end a power cut took, or which is being copied again from the stream."""

    def __init__(self, what: str, position: int) -> None:
        self.position = position
        super().__init__(what)


@contextmanager
def damage_is_unfit() -> Generator[None]:
    """Raise UnfitError for what SQLite finds wrong with the content of a projection's file."""
    try:
        yield
    except sqlite.DatabaseError as error:
        if not is_damage(error):
            raise
        raise UnfitError(f"it is damaged: {error}") from error


def require_nothing_erased(file: ProjectionFile, log: ArchiveReader) -> None:
    """Raise ErasedError where values were erased from log.db since the file was begun: it may still hold them."""
    if file.erased_at != log.erased_at:
        raise ErasedError("values were erased from log.db since it was made")


def _require_fit(file: ProjectionFile, log: ArchiveReader) -> None:
    """Raise UnfitError unless this code made the file from this very log."""
    if not file.up_to_date:
        raise UnfitError("it was made by another version")
    if file.epoch != log.epoch:
        raise UnfitError(f"it was folded from stream {file.epoch}, log.db is a copy of {log.epoch}")
    position = file.position
    if not position:
        file.begin_after(log.erased_at)
    require_nothing_erased(file, log)
    if position > log.position:
        raise AheadError(f"it is ahead: at event {position}, and log.db ends at event {log.position}", position)
    if position and not file.knows(log.at(position)):
        raise UnfitError(f"it belongs to another history: event {position} of log.db is another one")


def fit(opened: Callable[[], File], log: ArchiveReader) -> File:
    """Open a file and look whether it may be folded on. Raises UnfitError, CorruptLogError when log.db is damaged."""
    try:
        with damage_is_unfit():
            file = opened()
    except (NotFoundError, CorruptLogError) as error:
        raise UnfitError(str(error)) from error
    with contextlib.ExitStack() as unfit, damage_is_unfit():
        unfit.callback(file.close)
        _require_fit(file, log)
        unfit.pop_all()
    return file


def live_view(data: DataDir, log: ArchiveReader) -> View:
    """Open the live view to fold on; where no view was ever made of a short log, make an empty one.

    Raises UnfitError when there is none that can be folded on, CorruptLogError when log.db is damaged.
    """
    if not data.current.exists() and not view_files(data) and log.position <= BATCH:
        view = View.create(next_path(data), log.epoch)
        view.begin_after(log.erased_at)
        make_current(data, view.path)
        return view
    return fit(lambda: View.open(data.current_view()), log)
