"""The evidence: one event as it was archived with its proof, and how the log stands under audit."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from runlore.dashboard.raw import dump, json_text
from runlore.dashboard.rendering import render
from runlore.dashboard.texts import visible
from runlore.dashboard.visit import Visit
from runlore.query.activity import project_activity
from runlore.query.evidence import AuditState, event_plain
from runlore.query.time.moment import NO_END
from runlore.schemas.errors import InvalidReferenceError, NotFoundError
from runlore.schemas.events import event_type

DUMPED = 4096
"""Bytes of an event that are shown; all of them can be fetched."""
TOUCHED = 100
"""Entities that one event is shown to have changed."""


def event(visit: Visit) -> Response:
    """`/event?position=…`"""
    position = _position(visit)
    found = visit.client.logged_event(position)
    recent = project_activity(visit.client.scope, TOUCHED, position + 1)
    activity = [item for item in recent if item.position == position][:TOUCHED]
    return render(
        visit,
        "event.html",
        found=found,
        fact=event_type(found.event.fact) if found.event else None,
        decoded=json_text(event_plain(found.event)) if found.event else None,
        headers=visible(found.headers.decode("latin-1").replace("\r\n", "\n"), lines=True).strip(),
        dump=dump(found.payload, DUMPED),
        activity=activity,
        before=position - 1 if position > 1 else None,
        after=position + 1 if position < visit.position else None,
    )


def payload(visit: Visit) -> Response:
    """`/payload?position=…`: the bytes that were archived, as a file."""
    found = visit.client.logged_event(_position(visit))
    return Response(
        found.payload,
        media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="event-{found.position}.msgpack"'},
    )


def audit(visit: Visit) -> Response:
    """`/audit`: always as of now."""
    state: AuditState | None = None
    absent = ""
    try:
        state = visit.now.audit_state()
    except NotFoundError as error:
        absent = str(error)
    verify = state.verify if state else None
    return render(
        visit,
        "audit.html",
        state=state,
        absent=absent,
        unsigned=state.leaves - (state.checkpoint.size if state.checkpoint else 0) if state else 0,
        verify=verify,
        unverified=state.position - verify.position if state and verify else 0,
        quarantined=len(visit.now.quarantine(100)),
        live="*",
    )


def checkpoint(visit: Visit) -> Response:
    """`/checkpoint.txt`: the newest signed note, to be kept elsewhere."""
    newest = visit.now.audit_state().checkpoint
    if newest is None:
        raise NotFoundError("the log has no signed checkpoint yet: the projector signs one with the first event")
    return PlainTextResponse(
        newest.note, headers={"Content-Disposition": f'attachment; filename="checkpoint-{newest.size}.txt"'}
    )


def _position(visit: Visit) -> int:
    if not visit.text("position"):
        raise InvalidReferenceError("which event? say position=...")
    return visit.number("position", 0, NO_END)
