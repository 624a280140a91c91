"""The page of one entity: cards of what is known, its steps, lineage, notes and retractions."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import msgspec
from starlette.responses import PlainTextResponse, Response

from runlore.dashboard.display import Shown, show
from runlore.dashboard.drawing import bars
from runlore.dashboard.graphs import neighbours
from runlore.dashboard.pages.lists import fields_of
from runlore.dashboard.python_text import python_text
from runlore.dashboard.rendering import render
from runlore.dashboard.texts import visible
from runlore.dashboard.visit import Visit
from runlore.query import Entity, Entry, PipelineRun
from runlore.query.compare.diff import Difference
from runlore.query.page.sparklines import sparklines
from runlore.query.plain import plain
from runlore.schemas.errors import InvalidReferenceError, NotFoundError
from runlore.schemas.paths import parse_path

MAX_LINES = 2000
"""Leaves that one page shows; the API has all."""
MAX_CHANGES = 100
VERSIONS = 8
OWN_FIELDS = ("name", "status", "error_type", "error_message", "started_at", "finished_at", "parameters", "note")
"""Fields that the page shows elsewhere than among the facts."""


class FieldChange(NamedTuple):
    """What Runlore knew of the entity itself, then and now; None where it knew nothing."""

    name: str
    before: Any
    after: Any


class Line(NamedTuple):
    """One leaf: its names, value, entry, and the numbers that it had."""

    names: list[str]
    shown: Shown
    entry: Entry
    spark: list[float] | None


class Card(NamedTuple):
    """A group, or the keys without one (`key` None)."""

    title: str
    key: str | None
    lines: list[Line]


def entity(visit: Visit) -> Response:
    """`/entity?ref=…`"""
    shown = visit.entity()
    fields = fields_of(shown)
    blame = shown.blame(ended=True)
    live, small = [entry for entry in blame if not entry.ended], _small(shown)
    steps = list(shown.steps.values()) if isinstance(shown, PipelineRun) else []
    return render(
        visit,
        "entity.html",
        entity=shown,
        fields=fields,
        facts=[(name, value) for name, value in fields.items() if name not in OWN_FIELDS and name != "seconds"],
        cards=cards(live[:MAX_LINES], small, [prefix for prefix, _ in shown.parts() if prefix]),
        left_out=max(0, len(live) - MAX_LINES),
        retracted=[entry for entry in blame if entry.type == "retracted"],
        bars=bars(steps, visit.recorded_at or dt.datetime.now(dt.UTC)),
        around=neighbours(shown),
        versions=_versions(visit, shown),
        since=_since(visit, shown),
        since_fields=_since_fields(visit, shown, fields),
        kind_shown=shown.kind,
        live=shown.reference,
    )


def cards(entries: list[Entry], small: dict[str, list[float]], prefixes: list[str]) -> list[Card]:
    """Each group a card, the ungrouped keys in one card of their own, which comes first; a step's keys likewise.

    `prefixes`: what the keys of steps begin with, ``train::``.
    """
    made: dict[tuple[str, str | None], list[Line]] = {}
    for entry in entries:
        parts = parse_path(entry.path)
        prefix = max((each for each in prefixes if parts[0].startswith(each)), key=len, default="")
        names = (parts[0].removeprefix(prefix), *parts[1:])
        group = names[0] if len(names) > 1 else None
        title = (f"{prefix.removesuffix('::')} › " if prefix else "") + (group or "")
        line = Line([visible(name) for name in (names[1:] if group else names)], show(entry.value), entry,
                    small.get(entry.path))  # fmt: skip
        made.setdefault((title, parts[0] if group else None), []).append(line)
    # Ungrouped keys first, each part in the order of the log.
    return [
        Card(visible(title).removesuffix(" › ") or "Keys", key, lines)
        for (title, key), lines in sorted(made.items(), key=lambda item: item[0][0] != "")
    ]


def _small(shown: Entity) -> dict[str, list[float]]:
    """The small charts; none by the producers' clocks, by which a chart would read every event's time."""
    return sparklines(shown) if shown.moment.occurred_us is None else {}


def _versions(visit: Visit, shown: Entity) -> list[Entity]:
    if shown.version is None:
        return []
    return visit.client.list_entities(shown.kind, shown.name, VERSIONS)


def _since(visit: Visit, shown: Entity) -> list[Difference] | None:
    """What is different now from the moment that is looked at; None when that is now."""
    if not visit.past:
        return None
    today = shown.seen_at(visit.now.scope.moment)
    return visit.now.diff(shown, today).only("added", "removed", "changed")[:MAX_CHANGES]


def _since_fields(visit: Visit, shown: Entity, then: dict[str, Any]) -> list[FieldChange]:
    if not visit.past:
        return []
    now = shown.seen_at(visit.now.scope.moment).fields
    gone = [name for name in then if name not in now and name != "seconds"]
    changes = [FieldChange(name, then.get(name), now.get(name)) for name in (*now, *gone)]
    return [change for change in changes if change.before != change.after]


def copy_text(visit: Visit) -> Response:
    """`/copy?ref=…&as=json|python&key=…`: the metadata, or one key of it, as text."""
    values: dict[str, Any] = visit.entity().metadata
    key = visit.params.get("key")
    if key is not None and key not in values:
        raise NotFoundError(f"no key {key!r} here")
    value = values if key is None else values[key]
    if visit.text("as") == "python":
        try:
            return PlainTextResponse(visible(python_text(value), lines=True))
        except ValueError as error:
            raise InvalidReferenceError("it holds a number of more digits than Python writes: copy the JSON") from error
    return PlainTextResponse(_json_lines(value))


def _json_lines(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(plain(value))).decode()
