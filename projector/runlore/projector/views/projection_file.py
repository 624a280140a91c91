"""The file of one projection: its tables, its position, and its fold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from runlore.projector.database import OpenFiles, empty_wal, open_writer, wal_bytes
from runlore.projector.fold import Fold, FoldResult, Projection
from runlore.schemas.errors import CorruptLogError
from runlore.store.database import Database
from runlore.store.log_rows import LogRow
from runlore.store.private_folder import make_shared_folder
from runlore.store.view_migrations import run_script
from runlore.store.view_tables import STATE_TABLES, VIEW_SCHEMA


class ProjectionFile:
    """The one writing connection to the file of a projection."""

    def __init__(self, path: Path, db: Database, projection: Projection) -> None:
        self.path = path
        self._db = db
        self._fold = Fold(db, projection)
        state = _state(path, db)
        self.epoch = str(state["epoch"])
        made_by = (state["schema_version"], state["fold_version"])
        self.up_to_date = made_by == (VIEW_SCHEMA, projection.version) and "event_hash" in state
        """True if this version of the code wrote it; if not, it is rebuilt, never folded further."""
        self._files = OpenFiles(path)

    @classmethod
    def open_or_make(cls, path: Path, epoch: str, projection: Projection) -> Self:
        """The file of a projection, made with its tables if absent. Raises CorruptLogError, sqlite.DatabaseError."""
        make_shared_folder(path.parent)
        if not path.exists():
            _make(path, epoch, projection)
        return cls(path, open_writer(path), projection)

    def knows(self, event: LogRow | None) -> bool:
        """Return whether an event of the log is the one that was folded last."""
        state = _state(self.path, self._db)
        return event is not None and (event.event_id, event.digest) == (state["event_id"], state["event_hash"])

    def in_place(self) -> bool:
        """Return whether what lies at the path is still the file that is open here, with its write-ahead log."""
        return not self._files.misplaced()

    @property
    def erased_at(self) -> int:
        """The newest erasure that log.db had executed before anything was folded into this file."""
        return int(self._db.conn.execute("PRAGMA user_version").fetchone()[0])

    def begin_after(self, erased_at: int) -> None:
        """Note the newest erasure that log.db has executed: nothing is folded yet."""
        self._db.conn.execute(f"PRAGMA user_version = {erased_at}")

    @property
    def position(self) -> int:
        """Everything up to here is folded."""
        return int(self._db.conn.execute("SELECT position FROM view_state").fetchone()[0])

    @property
    def quarantined(self) -> int:
        """Return the number of events in quarantine."""
        return int(self._db.conn.execute("SELECT count(*) FROM quarantine").fetchone()[0])

    def fold(self, rows: Sequence[LogRow]) -> FoldResult:
        """Fold the rows that follow `position`; see `Fold.fold`."""
        return self._fold.fold(rows)

    def wal_bytes(self) -> int:
        """Size of the write-ahead log."""
        return wal_bytes(self.path)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, as far as readers allow."""
        empty_wal(self._db)

    def close(self) -> None:
        self._db.conn.close()


def _make(path: Path, epoch: str, projection: Projection) -> None:
    # Under another name first: who opens the file while it is made would get in the way of its WAL mode.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    db = open_writer(unfinished)
    with db.atomic():
        run_script(db, STATE_TABLES)
        projection.make_tables(db)
        begin(db, epoch, projection)
    db.conn.close()
    unfinished.rename(path)


def begin(db: Database, epoch: str, projection: Projection) -> None:
    """Write the state of a file in which nothing is folded yet; the caller holds a transaction."""
    state = (1, 0, 0, epoch, VIEW_SCHEMA, projection.version, None, b"")
    db.conn.execute("INSERT INTO view_state VALUES (?, ?, ?, ?, ?, ?, ?, ?)", state)


def _state(path: Path, db: Database) -> dict[str, Any]:
    cursor = db.conn.execute("SELECT * FROM view_state")
    row = cursor.fetchone()
    if row is None:
        raise CorruptLogError(f"{path} has lost its position")
    return dict(zip((column[0] for column in cursor.description), row, strict=True))
