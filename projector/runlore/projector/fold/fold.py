"""Fold batches of the log through a projection into its file."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator, Sequence
from typing import NamedTuple

from sqlite_utils import Database

from runlore.projector.archive import LogRow
from runlore.projector.database import DataErrors, MachineErrors
from runlore.projector.fold.projection import Projection, Recorded
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import CorruptLogError, EventDecodeError
from runlore.schemas.events import Event
from runlore.schemas.subjects import SUBJECT_PREFIX, subject_token


class FoldResult(NamedTuple):
    """What one batch came to."""

    folded: int
    quarantined: int
    position: int


class Fold:
    """One projection over one file. Not thread-safe; the file's only writer."""

    def __init__(self, db: Database, projection: Projection) -> None:
        self._db, self._projection = db, projection
        self._batch = projection.begin(db)
        self._prefixes: dict[str, str] = {}
        self._recorded_us = 0

    def fold(self, batch: Sequence[LogRow]) -> FoldResult:
        """Fold a batch, in one transaction with the new position.

        An event that cannot be folded is quarantined and the rest goes on. Errors of disk, lock or
        memory are raised, and nothing of the batch is written.
        """
        try:
            with _resting_collector():
                return self._transact(batch)
        except MachineErrors as error:
            self._batch.abandon()
            if not isinstance(error, DataErrors):
                raise
        except Exception:  # noqa: BLE001 -- the supervised boundary: a bad event must not stop the log
            self._batch.abandon()
        return self._one_by_one(batch)

    def _one_by_one(self, batch: Sequence[LogRow]) -> FoldResult:
        """Fold the rows of a failed batch each for itself, to find those that fail."""
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
            self._batch.abandon()
            if not isinstance(error, DataErrors):
                raise
            reason = error
        except Exception as error:  # noqa: BLE001 -- as above, now with the event that failed
            self._batch.abandon()
            reason = error
        return self._transact([row], fold_error=f"{type(reason).__name__}: {reason}")

    def _transact(self, batch: Sequence[LogRow], fold_error: str | None = None) -> FoldResult:
        held, conn, apply = self._batch, self._db.conn, self._projection.apply
        quarantined = folded = 0
        position = batch[-1].position
        with self._db.atomic():
            before, self._recorded_us = conn.execute("SELECT position, recorded_us FROM view_state").fetchone()
            for row in batch:
                self._recorded_us = max(self._recorded_us, row.recorded_ns // 1000)
                if row.duplicate_of is not None:
                    continue
                event, stage, error = self._decode(row)
                if event is None or fold_error is not None:
                    self._quarantine(row, stage, fold_error if event else error)
                    quarantined += 1
                else:
                    apply(held, Recorded(row.position, self._recorded_us, event))
                    folded += 1
            held.flush()
            moved = conn.execute(
                "UPDATE view_state SET position = ?, recorded_us = ? WHERE position = ? AND position < ?",
                (position, self._recorded_us, before, batch[0].position),
            )
            if moved.rowcount != 1:
                raise CorruptLogError(f"the view stands at {before}, the batch starts at {batch[0].position}")
        held.trim()
        return FoldResult(folded, quarantined, position)

    def _decode(self, row: LogRow) -> tuple[Event | None, str, str]:
        try:
            event = decode_event(row.payload)
        except EventDecodeError as error:
            return None, "decode", str(error)
        if event.id != row.event_id:
            return None, "decode", f"header Nats-Msg-Id is {row.event_id!r}, the event's ID {event.id!r}"
        prefix = self._prefixes.get(event.project)
        if prefix is None:
            prefix = self._prefixes[event.project] = f"{SUBJECT_PREFIX}.{subject_token(event.project)}."
        if not row.subject.startswith(prefix):
            return None, "decode", f"project {event.project!r} came on subject {row.subject!r}"
        return event, "fold", ""

    def _quarantine(self, row: LogRow, stage: str, error: str | None) -> None:
        self._db.conn.execute(
            "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.position, row.event_id, row.subject, self._recorded_us, stage, error, row.payload),
        )


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
