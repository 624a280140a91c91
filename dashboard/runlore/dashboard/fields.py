"""Fields that Runlore itself keeps of an entity (status, stage, run …), as pages show them."""

from __future__ import annotations

from typing import Any, NamedTuple

from runlore.dashboard.display import Shown, duration, show
from runlore.dashboard.texts import short_reference
from runlore.dashboard.visit import Visit
from runlore.query import Entity
from runlore.schemas.visible import visible


class FieldCell(NamedTuple):
    """One field, ready to be shown: a status, a link, a text or a value."""

    status: str = ""
    href: str | None = None
    text: str = ""
    title: str | None = None
    shown: Shown | None = None


def fields_of(entity: Entity) -> dict[str, Any]:
    """Return an entity's fields, with the `seconds` that a run or step took."""
    fields = entity.fields
    if fields.get("started_at") and fields.get("finished_at"):
        fields["seconds"] = (fields["finished_at"] - fields["started_at"]).total_seconds()
    return fields


def field_cell(visit: Visit, name: str, value: Any) -> FieldCell:
    """Return how to show a field; one without a value is empty."""
    match name:
        case "status" | "stage":
            return FieldCell(status=value or "")
        case "seconds":
            return FieldCell(text=duration(value))
        case "run" | "last_run" if value:
            return _link(visit, f"run:{value}")
        case "produced_by" | "retry_of" | "parent" if value:
            return _link(visit, value)
        case _:
            return FieldCell() if value is None else FieldCell(shown=show(value))


def _link(visit: Visit, reference: str) -> FieldCell:
    return FieldCell(
        href=visit.url("/entity", ref=reference), text=short_reference(reference), title=visible(reference)
    )
