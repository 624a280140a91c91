"""Folding in bulk: while one batch is written, the next one is already folded.

SQLite works without the interpreter lock, so on two cores the two overlap. Only for a file that nobody reads yet and
that is thrown away when filling it fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sqlite_utils import Database

from runlore.projector.archive import LogRow
from runlore.projector.database import DataErrors
from runlore.projector.fold.fold import BulkWriteError, Fold, FoldResult, stand_of
from runlore.projector.fold.projection import Projection

SWITCH_SECONDS = 0.0005
"""How long the writing thread waits for the interpreter lock after a statement; Python's default is ten times that."""


class Writer:
    """A second thread that does one job at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "runlore-bulk")
        self._job: Future[None] | None = None

    def wait(self) -> None:
        """Until the job is done. Raises what it raised; BulkWriteError for rows that SQLite does not take."""
        job, self._job = self._job, None
        if job is not None:
            try:
                job.result()
            except DataErrors as error:
                raise BulkWriteError(f"a batch could not be written: {error}") from error

    def start(self, job: Callable[[], None]) -> None:
        """Do this next."""
        self.wait()
        self._job = self._pool.submit(job)

    def close(self) -> None:
        self._pool.shutdown()


class WaitingReads:
    """The file as it is after the job in hand."""

    def __init__(self, db: Database, writer: Writer) -> None:
        self._db, self._writer = db, writer

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        self._writer.wait()
        return self._db.conn.execute(sql, parameters)


class BulkFold(Fold):
    """A fold whose batches are written behind it. `finish` before the file is used for anything else."""

    def __init__(self, db: Database, projection: Projection) -> None:
        self._writer = Writer()
        super().__init__(db, projection, WaitingReads(db, self._writer))
        self._position, self._recorded_us = stand_of(db)
        self._switch = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)

    def finish(self) -> None:
        """Until everything is written. Raises BulkWriteError, or an error of the machine."""
        try:
            self._writer.wait()
        finally:
            self.close()

    def close(self) -> None:
        """Let the thread end after its job."""
        self._writer.close()
        sys.setswitchinterval(self._switch)

    def _transact(self, batch: Sequence[LogRow], fold_error: str | None = None) -> FoldResult:
        before = self._position
        recorded_us, result = self._apply(batch, self._recorded_us, fold_error)
        write, quarantined = self._batch.take(), self._take_quarantined()

        def job() -> None:
            with self._db.atomic():
                self._write(write, quarantined)
                self._move(before, batch[0].position, result.position, recorded_us)

        self._writer.start(job)
        self._position, self._recorded_us = result.position, recorded_us
        self._batch.trim()
        return result
