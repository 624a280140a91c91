"""Rows about the events themselves: their authors, times and producers."""

from __future__ import annotations

import datetime as dt

from runlore.projector.fold.pending import Pending, SqlRow, next_id
from runlore.projector.fold.producer_count import ProducerCount
from runlore.projector.fold.projection import Reads, Recorded
from runlore.projector.fold.signer_rows import SignerRows
from runlore.schemas.events import Actor, Fact, MetadataLogged, event_type

_TABLES = ("events", "events_of_runs", "events_of_steps")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class EventRows:
    """Events, their actors and their producers, as one batch sees and changes them."""

    def __init__(self, reads: Reads, pending: Pending) -> None:
        self._reads, self._pending = reads, pending
        self.forget_all()

    def forget_all(self) -> None:
        """Empty the caches, including rows that are not written yet."""
        self._actors: dict[Actor, int] = {}
        self._producers: dict[tuple[str, str], ProducerCount] = {}
        self._touched: set[tuple[str, str]] = set()
        self._next_actor = next_id(self._reads, "actors", "actor_id")
        self._next_producer = next_id(self._reads, "producers", "producer_id")
        self.signers = SignerRows(self._reads, self._pending)

    @property
    def cached(self) -> int:
        """Rows in the caches: anyone may make many, by a new name with each event."""
        return len(self._actors) + len(self._producers) + self.signers.cached

    def take_touched(self) -> list[SqlRow]:
        """Return the new rows of the producers with events since the last call."""
        rows = [self._producers[name].row() for name in sorted(self._touched)]
        self._touched.clear()
        return rows

    def record(self, at: Recorded, run_id: int | None, step_id: int | None) -> None:
        """One event, and the entities of the run and step it came from."""
        event = at.event
        table, place = _place(event.fact, run_id, step_id)
        producer = self._producer((event.project, event.producer_id), at.position)
        producer.count(event.producer_seq, at.position)
        if event.signature is not None:
            self.signers.record(at.position, event.signature.key)
        self._pending.rows[table].append(
            (
                at.position, event.id, event_type(event.fact),
                (event.occurred_at - _EPOCH) // _MICROSECOND, at.recorded_us,
                self._actor_id(event.actor), producer.producer_id, event.producer_seq, *place,
            )
        )  # fmt: skip

    def _actor_id(self, actor: Actor) -> int:
        found = self._actors.get(actor)
        if found is None:
            who = (actor.user, actor.host, actor.pid, actor.library)
            sql = "SELECT actor_id FROM actors WHERE user = ? AND host = ? AND pid = ? AND library = ?"
            row = self._reads.execute(sql, who).fetchone()
            if row is not None:
                found = int(row[0])
            else:
                found = self._next_actor
                self._next_actor += 1
                self._pending.rows["actors"].append((found, *who))
            self._actors[actor] = found
        return found

    def _producer(self, name: tuple[str, str], position: int) -> ProducerCount:
        """The numbers of a producer of a project; the caller counts on it, and it is written with the batch."""
        self._touched.add(name)
        found = self._producers.get(name)
        if found is None:
            sql = "SELECT * FROM producers WHERE project = ? AND producer = ?"
            row = self._reads.execute(sql, name).fetchone()
            if row is not None:
                found = ProducerCount.from_row(row)
            else:
                found = ProducerCount(self._next_producer, *name, position)
                self._next_producer += 1
            self._producers[name] = found
        return found


def _place(fact: Fact, run_id: int | None, step_id: int | None) -> tuple[str, tuple[int | None, ...]]:
    """The statement for an event, which leaves out the columns that are NULL, and their values."""
    if type(fact) is MetadataLogged and fact.at_step is not None:
        return "events_on_axis", (run_id, step_id, fact.at_step)
    place = () if run_id is None else (run_id,) if step_id is None else (run_id, step_id)
    return _TABLES[len(place)], place
