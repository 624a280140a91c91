"""The client: where reading begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runlore.query import evidence
from runlore.query.comparison import Best, Comparison
from runlore.query.differences import Differences, differences
from runlore.query.entities import Entity
from runlore.query.filters.parse import Where
from runlore.query.finding import Found, find
from runlore.query.histories import History
from runlore.query.listing import Listing
from runlore.query.live import Live
from runlore.query.moments import NO_END, AsOf, check_limit
from runlore.query.waiting import HasEventId, Waiting
from runlore.schemas.references import EntityRef

__all__ = ["Client", "HasEventId"]

Thing = Entity | EntityRef | str
"""An entity, or a reference to one."""


class Client(Waiting, Listing, Live):
    """Reads the metadata of one project. Read-only; safe in several threads and processes at once.

    `data_dir_or_url`: a data folder (default: RUNLORE_DATA_DIR, else ``.runlore``), one view file, or a
    ``file://`` URL of either.

    `as_of`: a position, an aware datetime or a text such as ``"2h ago"``; everything is then read as the log
    knew it then: the log's own clock decides. With ``clock="occurred"`` the producers' clocks decide: what they
    say had happened by then, as far as it is known today; such an answer can still change when an event comes
    late. Times in `since` and `until` go by the same clock. Raises MomentError for what is no such moment.
    """

    # -- several entities ----------------------------------------------------------------------------

    def find(
        self,
        kind: str | None,
        where: Where | None = None,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int = 100,
        after: str | None = None,
        as_of: AsOf | None = None,
    ) -> Found:
        """Entities of a kind (None: of all) that fit a filter, such as ``metrics.accuracy > 0.9 and not retired``.

        `where`: a filter, or several that must all hold; docs/filters.md has the language. Without `order_by` (a key
        or field) the newest come first. `after`: the `cursor` of the page before. Raises FilterError, and MomentError
        by the producers' clocks: a find goes by positions.
        """
        return find(self, kind, where, order_by, descending, limit, after, as_of)

    def compare(self, entities: Sequence[Thing], best: Best | None = None) -> Comparison:
        """A table of the leaves of several entities; those that differ come first.

        `best`: mark the largest (``"max"``) or smallest (``"min"``) number of each row that differs.
        """
        with self.reader.read():
            return Comparison([self._entity_of(item) for item in entities], best)

    def diff(
        self, before: Thing, after: Thing | None = None, since: AsOf | None = None, until: AsOf | None = None
    ) -> Differences:
        """What was added, removed, changed or stayed equal between two entities, or in one between two moments.

        `before` is read as of `since`, `after` as of `until`; without them, as of the moment of the entity, or of
        the client for a reference. Each reference is looked up at its own moment, so that a stage may stand for
        two versions; without `after`, the entity is looked up as of `until`, and is the same on both sides. An
        entity that was not named yet at its moment has no leaves.
        """
        with self.reader.read():
            second = self._side(before if after is None else after, until)
            if after is not None:
                first = self._side(before, since)
            elif since is not None:
                first = second.seen_at(self.moment_of(since))
            else:
                first = self._entity_of(before)
            return differences(first, second)

    def _side(self, thing: Thing, when: AsOf | None) -> Entity:
        if when is None:
            return self._entity_of(thing)
        moment = self.moment_of(when)
        return thing.seen_at(moment) if isinstance(thing, Entity) else self.at(thing, moment)

    def blame(self, entity: Thing, ended: bool = False) -> History:
        """The entry that last set each leaf; see `Entity.blame`."""
        return self._entity_of(entity).blame(ended)

    def _entity_of(self, thing: Thing) -> Entity:
        return thing if isinstance(thing, Entity) else self.get(thing)

    # -- what needs attention ------------------------------------------------------------------------

    def quarantine(self, limit: int = 100) -> list[dict[str, Any]]:
        """Events that could not be folded, newest first: position, event_id, subject, stage, error, payload.

        With `as_of`, those up to that position.
        """
        check_limit(limit)
        names = ("position", "event_id", "subject", "stage", "error", "payload")
        query = f"SELECT {', '.join(names)} FROM quarantine WHERE position <= ? ORDER BY position DESC LIMIT ?"
        rows = self.reader.rows(query, (min(self.moment.position, NO_END - 1), limit))
        return [dict(zip(names, row, strict=True)) for row in rows]

    def quarantined(self, most: int = 1000) -> int:
        """How many events could not be folded, counted up to `most`; with `as_of`, up to that position."""
        query = "SELECT count(*) FROM (SELECT 1 FROM quarantine WHERE position <= ? LIMIT ?)"
        row = self.reader.one(query, (min(self.moment.position, NO_END - 1), check_limit(most)))
        return int(row[0]) if row else 0

    def producers(self) -> list[dict[str, Any]]:
        """Every producer and how many of its events are missing or came late."""
        rows = self.reader.rows(
            "SELECT producer, last_position, highest_seq, highest_seq - seen, late FROM producers"
            " ORDER BY last_position DESC"
        )
        names = ("producer", "last_position", "highest_seq", "missing", "late")
        return [dict(zip(names, row, strict=True)) for row in rows]

    # -- evidence ------------------------------------------------------------------------------------

    def logged_event(self, position: int) -> evidence.LoggedEvent:
        """The event at a position as it was archived: raw, decoded, and proved against the newest checkpoint.

        Reads log.db, so only in the data folder of a projector, and never in its process. The signature of the
        checkpoint is not checked. Raises NotFoundError when there is no such event, CorruptLogError.
        """
        return evidence.logged_event(self, position)

    def audit_state(self) -> evidence.AuditState:
        """How far the log is archived and signed now, its newest checkpoint, and what `audit verify` last found.

        Raises NotFoundError where there is no log, CorruptLogError when it is damaged.
        """
        return evidence.audit_state(self)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
