"""Fold batches of the log through a projection into its file."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from runlore.projector.database import DataErrors, MachineErrors
from runlore.projector.fold.projection import Projection, Recorded
from runlore.schemas.acceptance import Acceptance, Rejection, second_copy
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.about_log import is_about_log
from runlore.store.audit.actor_keys import actor_key_in
from runlore.store.database import Database
from runlore.store.log_rows import LogRow

_MOVE = """UPDATE view_state SET position = ?, recorded_us = ?, event_id = ?, event_hash = ?
    WHERE position = ? AND position < ?"""


class FoldResult(NamedTuple):
    """Result of one batch."""

    folded: int
    quarantined: int
    position: int


class Fold:
    """One projection over one file. Not thread-safe; the file's only writer."""

    def __init__(self, db: Database, projection: Projection) -> None:
        self._db, self._projection = db, projection
        self._batch = projection.begin(db.conn)
        self._accept = Acceptance().event
        self._quarantined: list[tuple[Any, ...]] = []

    def fold(self, batch: Sequence[LogRow]) -> FoldResult:
        """Fold a batch, in one transaction with the new position.

        An event that cannot be folded is quarantined and the rest goes on. Errors of disk, lock or
        memory are raised, and nothing of the batch is written.
        """
        try:
            with _resting_collector():
                return self._transact(batch)
        except MachineErrors as error:
            self._abandon()
            if not isinstance(error, DataErrors):
                raise
        except Exception:  # noqa: BLE001 -- the supervised boundary: a bad event must not stop the log
            self._abandon()
        return self._one_by_one(batch)

    def _one_by_one(self, batch: Sequence[LogRow]) -> FoldResult:
        """Fold the rows of a failed batch one by one, to find those that fail."""
        results = [self._alone(row) for row in batch]
        return FoldResult(
            sum(result.folded for result in results),
            sum(result.quarantined for result in results),
            results[-1].position,
        )

    def _alone(self, row: LogRow) -> FoldResult:
        try:
            return self._transact([row])
        except MachineErrors as error:
            self._abandon()
            if not isinstance(error, DataErrors):
                raise
            reason = error
        except Exception as error:  # noqa: BLE001 -- as above, now with the event that failed
            self._abandon()
            reason = error
        return self._transact([row], fold_error=f"{type(reason).__name__}: {reason}")

    def _abandon(self) -> None:
        self._batch.abandon()
        self._quarantined.clear()

    def _transact(self, batch: Sequence[LogRow], fold_error: str | None = None) -> FoldResult:
        with self._db.atomic():
            state = _read_state(self._db)
            recorded_us, result = self._apply(batch, state[1], fold_error)
            self._write(self._batch.take(), self._take_quarantined())
            self._move(state[0], batch[0].position, batch[-1], recorded_us)
        self._batch.trim()
        return result

    def _apply(self, batch: Sequence[LogRow], recorded_us: int, fold_error: str | None) -> tuple[int, FoldResult]:
        """Apply the projection to every event of the batch; return the log's clock after it, and the result."""
        held, apply, accept = self._batch, self._projection.apply, self._accept
        folded = 0
        for row in batch:
            recorded_us = max(recorded_us, row.recorded_ns // 1000)
            if row.duplicate_of is not None:
                if row.conflicts:
                    self._quarantine(row, recorded_us, second_copy(row.event_id, row.duplicate_of, same=False))
                continue
            event = accept(row.event_id, row.subject, row.payload, row.erased)
            if isinstance(event, Rejection):
                if not self._states(row):
                    self._quarantine(row, recorded_us, event)
            elif fold_error is not None:
                self._quarantine(row, recorded_us, Rejection("fold", fold_error))
            else:
                apply(held, Recorded(row.position, recorded_us, event))
                folded += 1
        return recorded_us, FoldResult(folded, len(self._quarantined), batch[-1].position)

    def _states(self, row: LogRow) -> bool:
        """Return whether a message is about the log itself: for auditors, and not an event that went wrong."""
        stated = actor_key_in(row.subject, row.payload)
        if stated is not None and row.trusted:
            self._projection.actor_key(self._batch, row.position, stated)
        return stated is not None or is_about_log(row.subject, row.payload)

    def _quarantine(self, row: LogRow, recorded_us: int, rejection: Rejection) -> None:
        self._quarantined.append((row.position, row.event_id, row.subject, recorded_us, *rejection, row.payload))

    def _take_quarantined(self) -> list[tuple[Any, ...]]:
        taken, self._quarantined = self._quarantined, []
        return taken

    def _write(self, write: Callable[[Any], None], quarantined: list[tuple[Any, ...]]) -> None:
        write(self._db.conn)
        self._db.conn.executemany("INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?)", quarantined)

    def _move(self, before: int, first: int, last: LogRow, recorded_us: int) -> None:
        """Move the position, which is the fence: nobody else may have moved it."""
        moved = self._db.conn.execute(_MOVE, (last.position, recorded_us, last.event_id, last.digest, before, first))
        if moved.rowcount != 1:
            raise CorruptLogError(f"the view is at position {before}, the batch starts at {first}")


def _read_state(db: Database) -> tuple[int, int]:
    """Return the view's position and the log's clock there."""
    position, recorded_us = db.conn.execute("SELECT position, recorded_us FROM view_state").fetchone()
    return int(position), int(recorded_us)


@contextlib.contextmanager
def _resting_collector() -> Generator[None]:
    """No garbage collection: a batch makes a million tuples and no cycle; looking for one costs 3 µs an event."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
