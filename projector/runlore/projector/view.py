"""A view: one generation of the read model that the query library reads."""

from __future__ import annotations

from pathlib import Path

from sqlite_utils import Database

from runlore.projector.database import end_bulk, open_writer
from runlore.projector.fold import ReadModel
from runlore.projector.generations import make_current, next_path
from runlore.projector.projection_file import ProjectionFile, begin
from runlore.projector.search_index import sync_search
from runlore.projector.tables import create_indexes, drop_indexes, view_migrations
from runlore.schemas.errors import CorruptLogError, NotFoundError, StreamMismatchError
from runlore.schemas.layout import DataDir

SEARCH_POSITIONS = 20_000
"""Positions whose texts are indexed in one transaction: about a second of work at most."""


class View(ProjectionFile):
    """The one writing connection to a view, and its fold."""

    def __init__(self, path: Path, db: Database) -> None:
        super().__init__(path, db, ReadModel())

    @classmethod
    def create(cls, path: Path, epoch: str, bulk: bool = False) -> View:
        """Make an empty view. The file must not exist. `bulk`: to be filled at once, then `end_bulk`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise CorruptLogError(f"{path} exists already; a view is never made over another")
        db = open_writer(path, bulk)
        view_migrations.apply(db)
        with db.atomic():
            if bulk:
                drop_indexes(db)
            begin(db, epoch, ReadModel())
        return cls(path, db)

    @classmethod
    def open(cls, path: Path) -> View:
        """Open a view to fold on. Raises NotFoundError when there is none."""
        if not path.exists():
            raise NotFoundError(f"no view at {path}")
        return cls(path, open_writer(path))

    @classmethod
    def open_or_create(cls, data: DataDir, epoch: str) -> View:
        """The live view, or a new first one where there is none.

        Raises StreamMismatchError when the live view was folded from another stream.
        """
        try:
            view = cls.open(data.current_view())
        except NotFoundError:
            view = cls.create(next_path(data), epoch)
            make_current(data, view.path)
            return view
        if view.epoch != epoch:
            view.close()
            raise StreamMismatchError(
                f"{view.path} was folded from stream epoch {view.epoch}, log.db has {epoch}: nothing was "
                f"changed. If log.db is right, remove {data.current} and start the projector again"
            )
        return view

    def sync_search(self, most: int | None = SEARCH_POSITIONS) -> bool:
        """Let the full-text index catch up, by `most` positions; whether it is complete now."""
        with self._db.atomic():
            return sync_search(self._db.conn, most)

    def end_bulk(self) -> None:
        """The file is filled: make it durable and fit for readers beside a writer."""
        end_bulk(self._db, self.path, create_indexes)
        self.sync_search(None)
