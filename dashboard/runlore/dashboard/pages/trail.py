"""The log event by event, of one entity or all; and the events that could not be folded."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.responses import Response

from runlore.dashboard.raw import dump, message_pack_text
from runlore.dashboard.rendering import render
from runlore.dashboard.texts import shortened, visible
from runlore.dashboard.visit import Visit
from runlore.query.trail import Happening, recent
from runlore.query.trail import trail as trail_of
from runlore.schemas.layout import ProjectorStatus, read_struct

ROWS = 40
QUARANTINED = 200
DUMPED = 512
"""Bytes of a quarantined event that are shown."""


def trail(visit: Visit) -> Response:
    """`/trail?ref=…&before=…&since=…`: without `ref`, of the whole project; `since` leaves out what was known."""
    shown = visit.entity() if visit.text("ref") else None
    limit, before = visit.number("limit", ROWS), visit.position_before()
    client, since = visit.client, visit.number("since", 0, 2**62) if visit.text("since") else 0
    happenings = recent(client, limit + 1, before) if shown is None else trail_of(shown, limit + 1, before)
    page = [item for item in happenings[:limit] if item.position > since]
    more = len(happenings) > limit and len(page) == limit
    return render(
        visit,
        "trail.html",
        entity=shown,
        happenings=page,
        since=since,
        # An event may touch many entities: the next page begins with the whole last one again.
        older=visit.here(before=page[-1].position + (0 if shown or _alone(page) else 1)) if more else None,
        newest=visit.here(before=None) if before else None,
        kind_shown=shown.kind if shown else None,
        live=shown.reference if shown else "*",
    )


def _alone(page: list[Happening]) -> bool:
    """Whether going on at the last event again would show nothing but it."""
    return page[0].position == page[-1].position or page[-1].position != page[-2].position


class Bad(NamedTuple):
    """One quarantined event, readable."""

    position: int
    event_id: str | None
    subject: str
    stage: str
    error: str
    size: int
    decoded: str | None
    dump: str


def quarantine(visit: Visit) -> Response:
    """`/quarantine`: always as of now"""
    data = visit.now.reader.data
    return render(
        visit,
        "quarantine.html",
        events=[_bad(row) for row in visit.now.quarantine(QUARANTINED)],
        producers=visit.now.producers()[:QUARANTINED],
        projector=read_struct(data.status, ProjectorStatus) if data else None,
        live="*",
    )


def _bad(row: dict[str, Any]) -> Bad:
    payload: bytes = row["payload"]
    return Bad(
        row["position"],
        row["event_id"],
        shortened(row["subject"], 200),
        row["stage"],
        visible(row["error"][:2000], lines=True),
        len(payload),
        message_pack_text(payload),
        dump(payload, DUMPED),
    )
