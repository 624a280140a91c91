"""The log event by event, of one entity or of the project, and the quarantined events."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.responses import Response

from runlore.dashboard import shared_log
from runlore.dashboard.activity import page_of_log
from runlore.dashboard.raw import dump, message_pack_text
from runlore.dashboard.rendering import render
from runlore.dashboard.texts import shortened
from runlore.dashboard.visit import Visit
from runlore.schemas.visible import visible
from runlore.store.private_files import read_struct
from runlore.store.records import ProjectorStatus

ROWS = 40
QUARANTINED = 200
DUMPED = 512
"""Maximum number of bytes of a quarantined event on the page."""
DECODED = 16_384
"""Maximum size, in bytes, of an event decoded here, as there may be many. The page of a larger event decodes it."""


def trail(visit: Visit) -> Response:
    """`/trail?ref=…&before=…&since=…`: without `ref`, of the whole project; `since` leaves out earlier events."""
    shown = visit.entity() if visit.text("ref") else None
    since = visit.number("since", 0, 2**62) if visit.text("since") else 0
    activity, older = page_of_log(visit, visit.number("limit", ROWS))
    page = [item for item in activity if item.position > since]
    return render(
        visit,
        "trail.html",
        entity=shown,
        activity=page,
        since=since,
        older=visit.here(before=older) if older is not None and len(page) == len(activity) else None,
        newest=visit.here(before=None) if visit.position_before() else None,
        kind_shown=shown.kind if shown else None,
        follows=shown.reference if shown else "*",
    )


class QuarantinedEvent(NamedTuple):
    """One quarantined event in readable form."""

    position: int
    event_id: str | None
    subject: str
    failed: str
    """``decoded``, ``verified`` or ``applied``: the step that failed."""
    error: str
    size: int
    decoded: str | None
    dump: str


def quarantine(visit: Visit) -> Response:
    """`/quarantine`: always the latest state."""
    data = visit.now.scope.reader.data
    return render(
        visit,
        "quarantine.html",
        events=[_quarantined(row) for row in shared_log.quarantine(visit, QUARANTINED, now=True)],
        producers=shared_log.producers(visit)[:QUARANTINED],
        projector=shared_log.projector_status(visit, read_struct(data.status, ProjectorStatus) if data else None),
        follows="*",
    )


def _quarantined(row: dict[str, Any]) -> QuarantinedEvent:
    payload: bytes = row["payload"]
    return QuarantinedEvent(
        row["position"],
        row["event_id"],
        shortened(row["subject"], 200),
        {"decode": "decoded", "signature": "verified"}.get(row["stage"], "applied"),
        visible(row["error"][:2000], lines=True),
        len(payload),
        message_pack_text(payload) if len(payload) <= DECODED else None,
        dump(payload, DUMPED),
    )
