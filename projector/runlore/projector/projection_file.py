"""The file of one projection: its tables, its position, and its fold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from sqlite_utils import Database

from runlore.projector.archive import LogRow
from runlore.projector.database import open_writer
from runlore.projector.fold import Fold, FoldResult, Projection
from runlore.projector.tables import STATE_TABLES, run_script
from runlore.schemas.errors import CorruptLogError
from runlore.schemas.layout import VIEW_SCHEMA


class ProjectionFile:
    """The one writing connection to the file of a projection."""

    def __init__(self, path: Path, db: Database, projection: Projection) -> None:
        self.path = path
        self._db = db
        self._fold = Fold(db, projection)
        state = db.conn.execute("SELECT epoch, schema_version, fold_version FROM view_state").fetchone()
        self.epoch: str = state[0]
        self.up_to_date: bool = (state[1], state[2]) == (VIEW_SCHEMA, projection.version)
        """Whether this version of the code wrote it; if not, it is to be made anew, never folded on."""

    @classmethod
    def open_or_make(cls, path: Path, epoch: str, projection: Projection) -> Self:
        """The file of a projection, made with its tables if absent. Raises CorruptLogError for another log's."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path, epoch, projection)
        file = cls(path, open_writer(path), projection)
        if file.epoch != epoch:
            file.close()
            raise CorruptLogError(f"{path} was folded from epoch {file.epoch}, the log has {epoch}: move it away")
        return file

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

    def wal_bytes(self) -> int:
        """Size of the write-ahead log."""
        wal = self.path.with_name(self.path.name + "-wal")
        return wal.stat().st_size if wal.exists() else 0

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, as far as readers allow."""
        self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        self._db.conn.close()


def _make(path: Path, epoch: str, projection: Projection) -> None:
    # Under another name first: who opens the file while it is made would get in the way of its WAL mode.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    db = open_writer(unfinished)
    with db.atomic():
        run_script(db, STATE_TABLES)
        run_script(db, projection.tables)
        begin(db, epoch, projection)
    db.conn.close()
    unfinished.rename(path)


def begin(db: Database, epoch: str, projection: Projection) -> None:
    """Write the state of a file in which nothing is folded yet; the caller holds a transaction."""
    state = (1, 0, 0, epoch, VIEW_SCHEMA, projection.version)
    db.conn.execute("INSERT INTO view_state VALUES (?, ?, ?, ?, ?, ?)", state)
