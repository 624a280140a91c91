"""A view: one generation of the read model, the file it lies in, and which one is live."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlite_utils import Database

from runlore.projector.archive import LogRow
from runlore.projector.database import end_bulk, open_writer
from runlore.projector.fold import FOLD_VERSION, Fold, FoldResult
from runlore.projector.search_index import sync_search
from runlore.projector.tables import create_indexes, drop_indexes, view_migrations
from runlore.schemas.errors import CorruptLogError, NotFoundError, StreamMismatchError
from runlore.schemas.layout import VIEW_SCHEMA, DataDir, write_private

SEARCH_POSITIONS = 20_000
"""Positions whose texts are indexed in one transaction: about a second of work at most."""


class View:
    """The one writing connection to a view, and its fold."""

    def __init__(self, path: Path, db: Database) -> None:
        self.path = path
        self._db = db
        self._fold = Fold(db)
        state = db.conn.execute("SELECT epoch, schema_version, fold_version FROM view_state").fetchone()
        self.epoch: str = state[0]
        self.up_to_date: bool = (state[1], state[2]) == (VIEW_SCHEMA, FOLD_VERSION)
        """Whether this code's fold wrote it; if not, it is to be rebuilt, never folded on."""

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
            db.conn.execute("INSERT INTO view_state VALUES (1, 0, 0, ?, ?, ?)", (epoch, VIEW_SCHEMA, FOLD_VERSION))
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

    @property
    def position(self) -> int:
        """Everything up to here is folded."""
        return int(self._db.conn.execute("SELECT position FROM view_state").fetchone()[0])

    @property
    def quarantined(self) -> int:
        """How many events are in quarantine."""
        return int(self._db.conn.execute("SELECT count(*) FROM quarantine").fetchone()[0])

    def fold(self, rows: Sequence[LogRow]) -> FoldResult:
        """Fold the rows that follow `position`; see `Fold.fold`."""
        return self._fold.fold(rows)

    def sync_search(self, most: int | None = SEARCH_POSITIONS) -> bool:
        """Let the full-text index catch up, by `most` positions; whether it is complete now."""
        with self._db.atomic():
            return sync_search(self._db.conn, most)

    def wal_bytes(self) -> int:
        """Size of the write-ahead log."""
        wal = self.path.with_name(self.path.name + "-wal")
        return wal.stat().st_size if wal.exists() else 0

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, as far as readers allow."""
        self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def end_bulk(self) -> None:
        """The file is filled: make it durable and fit for readers beside a writer."""
        end_bulk(self._db, self.path, create_indexes)
        self.sync_search(None)

    def close(self) -> None:
        self._db.conn.close()


def next_path(data: DataDir) -> Path:
    """The file of the next generation: above every number in use, live or left over."""
    taken = [int(path.stem.partition("-")[2]) for path in data.projection.glob("view-[0-9]*.db")]
    return data.view(max(taken, default=0) + 1)


def make_current(data: DataDir, path: Path) -> None:
    """Make a view the live one: readers follow at their next read."""
    write_private(data.current, f"{path.name}\n".encode())
