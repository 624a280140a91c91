"""Moments of an entity's past to look at: the event before and after a position, and stops spread over all of it."""

from __future__ import annotations

from typing import NamedTuple

from runlore.query.entity import Entity
from runlore.query.time.moment import NO_END, NOW
from runlore.store import stretches

_MENTIONS = stretches.of_entity("e.value")
# The index on mentions answers both, stretch by stretch.
_UPTO = f"""SELECT max((SELECT m.position FROM {_MENTIONS} WHERE {stretches.upto("?1")} AND m.position <= ?1
    ORDER BY s.stretch DESC, m.position DESC LIMIT 1)) FROM json_each(?2) e"""
_AFTER = f"""SELECT min((SELECT m.position FROM {_MENTIONS} WHERE {stretches.since("?1")} AND m.position > ?1
    ORDER BY s.stretch, m.position LIMIT 1)) FROM json_each(?2) e"""
_COUNT = f"SELECT count(*) FROM json_each(?) e CROSS JOIN {_MENTIONS}"
# Of each entity the first position and then every n-th.
_EVERY = f"""SELECT DISTINCT position FROM (
    SELECT m.position, row_number() OVER (PARTITION BY e.value ORDER BY m.position) AS place
    FROM json_each(:ids) e CROSS JOIN {_MENTIONS}) WHERE (place - 1) % :every = 0 ORDER BY position"""


class Stops(NamedTuple):
    """Positions of the events about an entity, around one position."""

    before: int | None
    """The event before the one that holds there; None at the first."""
    after: int | None
    """The next event; None at the last."""
    spread: list[int]
    """All positions in order, or some spread evenly over them, with the first, the last and the one that holds."""


def stops(entity: Entity, position: int, limit: int = 1000) -> Stops:
    """The stops in an entity's past, also later than its moment; a run's include those of its steps."""
    reader = entity.scope.reader
    with reader.read():
        ids = str([part.entity_id for _, part in entity.seen_at(NOW).parts()])

        def at(query: str, place: int) -> int | None:
            row = reader.one(query, (place, ids))
            return None if row is None else row[0]

        here, last = at(_UPTO, position), at(_UPTO, NO_END)
        count = reader.one(_COUNT, (ids,))
        # Room for the two that are always there.
        every = -(-count[0] // (limit - 2)) if count and count[0] > limit else 1
        spread = [row[0] for row in reader.rows(_EVERY, {"ids": ids, "every": every})]
        if len(spread) > limit - 2 and every > 1:  # each of many entities has begun with its first
            spread = [spread[place * len(spread) // (limit - 2)] for place in range(limit - 2)]
        ends = {found for found in (here, last) if found is not None}
        before = None if here is None else at(_UPTO, here - 1)
        return Stops(before, at(_AFTER, position), sorted({*spread, *ends}))
