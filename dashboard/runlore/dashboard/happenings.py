"""One page of the log, event by event."""

from __future__ import annotations

from runlore.dashboard.visit import Visit
from runlore.query.trail import Happening, recent
from runlore.query.trail import trail as trail_of


def page_of_log(visit: Visit, limit: int) -> tuple[list[Happening], int | None]:
    """`ref=…&before=…`: events of an entity or of the project, newest first, and the `before` of the next page."""
    before = visit.position_before()
    if visit.text("ref"):
        shown = visit.entity()
        found = trail_of(shown, limit + 1, before)
        return found[:limit], found[limit - 1].position if len(found) > limit else None
    found = recent(visit.client, limit, before)
    more = bool(found) and bool(recent(visit.client, 1, found[-1].position))
    return found, found[-1].position if more else None
