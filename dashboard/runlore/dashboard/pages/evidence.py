"""Evidence: one archived event with its proof of inclusion, and the state of the audit."""

from __future__ import annotations

from typing import NamedTuple

from starlette.responses import PlainTextResponse, Response

from runlore.dashboard.raw import dump, json_text
from runlore.dashboard.rendering import render
from runlore.dashboard.shared_log import audit_state, logged_event
from runlore.dashboard.texts import shortened
from runlore.dashboard.visit import Visit
from runlore.query.activity import Activity, project_activity
from runlore.query.evidence import AuditState
from runlore.query.records import logged_record
from runlore.query.time.moment import NO_END
from runlore.schemas.errors import ArgumentError, NotFoundError
from runlore.schemas.events import event_type
from runlore.schemas.visible import visible

DUMPED = 4096
"""Maximum number of bytes of an event on its page; all of them can be downloaded."""
TOUCHED = 100
"""Maximum number of changed entities on the page of an event."""
PATHS = 6
"""Maximum number of keys shown for each of them."""


class ChangedEntity(NamedTuple):
    """An entity that an event changed, and the first of its changed keys."""

    reference: str
    href: str
    paths: str
    more: int


def event(visit: Visit) -> Response:
    """`/event?position=…`"""
    position = _position(visit)
    found = logged_event(visit, position)
    recent = project_activity(visit.client.scope, TOUCHED, position + 1)
    changed = [_changed(visit, item) for item in recent if item.position == position][:TOUCHED]
    return render(
        visit,
        "event.html",
        found=found,
        fact=event_type(found.event.fact).replace("_", " ") if found.event else None,
        decoded=json_text(logged_record(found)) if found.event else None,
        headers=visible(found.headers.decode("latin-1").replace("\r\n", "\n"), lines=True).strip(),
        dump=dump(found.payload, DUMPED),
        changed=changed,
        before=position - 1 if position > 1 else None,
        after=position + 1 if position < visit.position else None,
    )


def _changed(visit: Visit, item: Activity) -> ChangedEntity:
    paths = [entry.path for entry in (*item.fields, *item.metadata)]
    return ChangedEntity(
        item.reference,
        visit.url("/entity", ref=item.reference, as_of=item.position),
        ", ".join(shortened(path, 48) for path in paths[:PATHS]) or "no value changed",
        max(0, len(paths) - PATHS),
    )


def payload(visit: Visit) -> Response:
    """`/payload?position=…`: the archived bytes of an event, as a file."""
    found = logged_event(visit, _position(visit))
    return Response(
        found.payload,
        media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="event-{found.position}.msgpack"'},
    )


def audit(visit: Visit) -> Response:
    """`/audit`: always the latest state."""
    state: AuditState | None = None
    absent = ""
    try:
        state = audit_state(visit)
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
        follows="*",
    )


def checkpoint(visit: Visit) -> Response:
    """`/checkpoint.txt`: the latest signed checkpoint, to be stored elsewhere."""
    newest = audit_state(visit).checkpoint
    if newest is None:
        raise NotFoundError("the log has no signed checkpoint yet; the projector signs one with the first event")
    return PlainTextResponse(
        newest.note, headers={"Content-Disposition": f'attachment; filename="checkpoint-{newest.size}.txt"'}
    )


def _position(visit: Visit) -> int:
    if not visit.text("position"):
        raise ArgumentError("missing parameter: position")
    return visit.number("position", 0, NO_END)
