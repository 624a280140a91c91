"""Pages of the log, event by event."""

from __future__ import annotations

from runlore.dashboard.visit import Visit
from runlore.query.activity import Activity, entity_activity, project_activity


def page_of_log(visit: Visit, limit: int) -> tuple[list[Activity], int | None]:
    """Return events of an entity (`ref=…`) or of the project, newest first, and the `before` of the next page."""
    before = visit.position_before()
    if visit.text("ref"):
        shown = visit.entity()
        found = entity_activity(shown, limit + 1, before)
        return found[:limit], found[limit - 1].position if len(found) > limit else None
    found = project_activity(visit.client.scope, limit, before)
    more = bool(found) and bool(project_activity(visit.client.scope, 1, found[-1].position))
    return found, found[-1].position if more else None
