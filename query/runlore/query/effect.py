"""Whether an archived event took effect, and whether values were erased from it."""

from __future__ import annotations

from typing import Any

import msgspec

from runlore.query.plain import plain
from runlore.query.view.connection import ViewReader
from runlore.schemas.acceptance import Acceptance, Rejection, Stage, second_copy
from runlore.store.audit.actor_keys import actor_key_in
from runlore.store.audit.erasure import LoggedErasure, is_erasure
from runlore.store.audit.statement import is_statement
from runlore.store.log_rows import LogRow

_REFUSED = "SELECT stage, error FROM quarantine WHERE position = ?"


class Rejected(msgspec.Struct, frozen=True):
    """Why a message of the log has no effect: the rule, and the reason."""

    stage: Stage
    why: str
    first: int | None = None
    """The position of the first event with its ID, where it is a second copy."""
    about_log: bool = False
    """True for a statement about the log itself, which is no event and not in quarantine."""


class EventErasure(msgspec.Struct, frozen=True):
    """That values were erased from an event. The statement's signature was not checked: `runlore audit verify` does."""

    position: int
    """Of the erasure in the log."""
    reason: str
    who: str
    """Who asked for it."""


def rejected_of(reader: ViewReader, row: LogRow) -> Rejected | None:
    """Why an event that the view has folded has no effect; None where it has."""
    if (why := _no_event(row)) is not None:
        return Rejected("decode", why, about_log=True)
    refused = reader.one(_REFUSED, (row.position,))
    if refused is not None:
        stage, why = refused
        return Rejected(stage, why, row.duplicate_of)
    return None if row.duplicate_of is None else _copy(row, same=True)


def rejected_by_rules(accept: Acceptance, row: LogRow) -> Rejected | None:
    """The same without a view: what depends on all earlier events is not decided."""
    if (why := _no_event(row)) is not None:
        return Rejected("decode", why, about_log=True)
    if row.duplicate_of is not None:
        return _copy(row, same=not row.conflicts)
    found = accept.event(row.event_id, row.subject, row.payload, row.erased)
    return Rejected(*found) if isinstance(found, Rejection) else None


def event_erasure(logged: LoggedErasure | None) -> EventErasure | None:
    """What erased values of an event."""
    return None if logged is None else EventErasure(logged.position, logged.erasure.reason, logged.erasure.who)


def effect_record(rejected: Rejected | None, erasure: EventErasure | None) -> dict[str, Any]:
    """Return both as JSON, named as in `runlore audit check --json`."""
    why = None if rejected is None else {"stage": rejected.stage, "why": rejected.why, "first": rejected.first}
    return {
        "effect": "accepted" if rejected is None else "rejected",
        "rejected": plain(why),
        "erasure": plain(erasure),
    }


def _copy(row: LogRow, same: bool) -> Rejected:
    assert row.duplicate_of is not None
    return Rejected(*second_copy(row.event_id, row.duplicate_of, same), first=row.duplicate_of)


def _no_event(row: LogRow) -> str | None:
    """What a message is that is about the log itself."""
    if is_statement(row.subject, row.payload):
        return "no event, but a statement about the keys that sign the log"
    if is_erasure(row.subject, row.payload):
        return "no event, but the erasure of values from earlier events"
    if actor_key_in(row.subject, row.payload) is not None:
        return "no event, but a statement about an actor's key"
    return None
