"""A view: one generation of the read model that the query library reads."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runlore.projector.database import end_bulk, open_writer
from runlore.projector.fold import FoldResult, ReadModel
from runlore.projector.views.projection_file import ProjectionFile, begin
from runlore.projector.views.search_index import sync_search
from runlore.projector.views.value_index import BEHIND, CATCHING_UP, fill_heads, follow_history, follow_values
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.database import Database
from runlore.store.log_rows import LogRow
from runlore.store.private_folder import make_shared_folder
from runlore.store.view_migrations import create_indexes, drop_indexes, view_migrations
from runlore.store.view_tables import HELPERS, INDEXES, TABLES

SEARCH_POSITIONS = 20_000
"""Positions whose texts are indexed in one transaction: about a second of work at most."""

_FIRST_COPIES = """
WITH wanted AS (SELECT value AS event_id FROM json_each(?))
SELECT event_id, position FROM events JOIN wanted USING (event_id)
UNION ALL SELECT event_id, position FROM quarantine
WHERE stage <> 'conflict' AND event_id IN (SELECT event_id FROM wanted)
"""
_NEEDED = (*TABLES, *HELPERS, *INDEXES)


class View(ProjectionFile):
    """The one writing connection to a view, and its fold."""

    def __init__(self, path: Path, db: Database, bulk: bool = False) -> None:
        super().__init__(path, db, ReadModel())
        self._bulk = bulk

    @classmethod
    def create(cls, path: Path, epoch: str, bulk: bool = False) -> View:
        """Make an empty view. The file must not exist. `bulk`: to be filled at once, then `end_bulk`."""
        make_shared_folder(path.parent)
        if path.exists():
            raise CorruptLogError(f"{path} exists already; a view is never made over another")
        db = open_writer(path, bulk)
        view_migrations.apply(db)
        with db.atomic():
            if bulk:
                drop_indexes(db)
            begin(db, epoch, ReadModel())
        return cls(path, db, bulk)

    @classmethod
    def open(cls, path: Path) -> View:
        """Open a view to fold on. Raises NotFoundError when there is none, CorruptLogError, sqlite.DatabaseError."""
        if not path.exists():
            raise NotFoundError(f"no view at {path}")
        with contextlib.ExitStack() as unfit:
            db = open_writer(path)
            unfit.callback(db.conn.close)
            found = {name for (name,) in db.conn.execute("SELECT name FROM sqlite_master")}
            if missing := [name for name in _NEEDED if name not in found]:
                raise CorruptLogError(f"{path} has lost {', '.join(missing)}")
            view = cls(path, db)
            unfit.pop_all()
        return view

    def fold(self, rows: Sequence[LogRow]) -> FoldResult:
        """Fold the rows that follow `position`; see `Fold.fold`."""
        result = super().fold(rows)
        # Behind the batch, so that nobody waits for its events meanwhile.
        if self._bulk:
            with self._db.atomic():
                follow_history(self._db.conn)
        else:
            self.follow_values(BEHIND if len(rows) <= BEHIND else CATCHING_UP)
        return result

    def positions_of(self, event_ids: Sequence[str]) -> dict[str, int]:
        """The position of the first copy of each of these events that was folded or quarantined."""
        found = self._db.conn.execute(_FIRST_COPIES, (msgspec.json.encode(event_ids).decode(),))
        return {str(event_id): int(position) for event_id, position in found}

    def sync_search(self, most: int | None = SEARCH_POSITIONS) -> bool:
        """Let the full-text index catch up, by `most` positions; whether it is complete now."""
        with self._db.atomic():
            return sync_search(self._db.conn, most)

    def follow_values(self, behind: int = BEHIND) -> None:
        """Let the values that are searched follow, once they are `behind` positions or more."""
        with self._db.atomic():
            follow_values(self._db.conn, behind)

    def end_bulk(self) -> None:
        """The file is filled: make it durable and fit for readers beside a writer."""
        with self._db.atomic():
            fill_heads(self._db.conn)
        end_bulk(self._db, self.path, create_indexes)
        self._bulk = False
        self.sync_search(None)
