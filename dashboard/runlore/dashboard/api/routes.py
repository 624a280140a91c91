"""Endpoints of the API: parameters and answer types, from which the OpenAPI description is generated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from starlette.responses import Response

from runlore.dashboard import shared_log
from runlore.dashboard.activity import page_of_log
from runlore.dashboard.answering import JSONBody
from runlore.dashboard.api import types
from runlore.dashboard.api.making import audit_out, entry_out, logged_event_out, value_out
from runlore.dashboard.api.parameters import DEPTH, EVERYWHERE, REPEATED, ROWS, Bounds, check
from runlore.dashboard.comparing import comparison_of
from runlore.dashboard.pages.compare import column_title
from runlore.dashboard.visit import MAX_PAGE, Visit
from runlore.query.numbers import Number
from runlore.query.page.sketch import sketch
from runlore.query.records import activity_record, differences_record, entity_record, whole_record
from runlore.query.time.moment import NO_END, Moment
from runlore.schemas.errors import ArgumentError

REF, PATH, LIMIT, POINTS, BEFORE, AT, POSITION = "ref", "path", "limit", "points", "before", "at", "position"

MAX_NUMBERS = 100_000
NUMBERS, EVENTS, HITS = Bounds(5000, MAX_NUMBERS), Bounds(40, MAX_PAGE), Bounds(50, MAX_PAGE)


class Endpoint(NamedTuple):
    """One endpoint: its path, its answer, and its parameters besides those of every request."""

    path: str
    read: Callable[[Visit], msgspec.Struct]
    type: type[msgspec.Struct]
    params: tuple[str, ...]
    required: tuple[str, ...] = ()
    bounds: Mapping[str, Bounds] = MappingProxyType({})
    """Where they are others than those of `PARAMETERS`."""

    @property
    def known(self) -> tuple[str, ...]:
        """All parameters."""
        return (*self.params, *EVERYWHERE)

    def repeats(self, name: str) -> bool:
        """Return whether a parameter may be given several times."""
        return self.path == "/compare" and name in REPEATED

    def answer(self, visit: Visit) -> Response:
        """Return the answer to a visit. Raises ArgumentError for parameters that the description does not allow."""
        for name in self.required:
            if not visit.text(name):
                raise ArgumentError(f"missing parameter: {name}")
        for name in self.known:
            given = visit.params.getlist(name)
            if len(given) > 1 and not self.repeats(name):
                raise ArgumentError(f"{name} is given {len(given)} times: once is allowed")
            for text in filter(None, map(str.strip, given)):
                check(name, text, self.bounds)
        return JSONBody(self.read(visit))


def status(visit: Visit) -> types.Status:
    """Project, number of entities of each kind, last event, and how far the view is behind the stream."""
    client = visit.client
    return types.Status(client.project, visit.projects, visit.kinds, visit.position, visit.now.lag, visit.recorded_at)


def moment(visit: Visit) -> types.MomentOut:
    """The event that `as_of` means, and when it was recorded."""
    return types.MomentOut(visit.position, visit.recorded_at, visit.head)


def entities(visit: Visit) -> types.EntityPage:
    """Entities of a kind that match a filter, in order, page by page."""
    found = visit.client.find(
        visit.text("kind") or None,
        visit.text("where") or None,
        order_by=visit.text("order_by") or None,
        descending=visit.text("desc") == "1",
        limit=visit.number(LIMIT, *ROWS),
        after=visit.text("after") or None,
    )
    rows = msgspec.convert([entity_record(entity) for entity in found], list[types.EntityRow])
    return types.EntityPage(rows, found.cursor, found.position)


def entity(visit: Visit) -> types.EntityOut:
    """An entity with the latest entry of each key."""
    return msgspec.convert(whole_record(visit.entity()), types.EntityOut)


def blame(visit: Visit) -> types.BlamePage:
    """The entry that last set each path of an entity."""
    found = visit.entity()
    entries = found.blame()
    return types.BlamePage(found.reference, entries.position, [entry_out(entry) for entry in entries])


def history(visit: Visit) -> types.HistoryPage:
    """The history of a key or group, newest first."""
    limit = visit.number(LIMIT, *ROWS)
    found = visit.entity().history(
        visit.params[PATH], limit + 1, before=visit.position_before(), newest_first=True
    )  # fmt: skip
    more = found[limit - 1].position if len(found) > limit else None
    return types.HistoryPage([entry_out(entry) for entry in found[:limit]], more, found.position)


def series(visit: Visit) -> types.SeriesOut:
    """The latest numbers of a key, or with `points` its whole history for a chart."""
    if visit.text(POINTS):
        drawn = sketch(visit.entity(), visit.params[PATH], visit.number(POINTS, 1, MAX_NUMBERS))
        return types.SeriesOut(
            drawn.path,
            [point.position for point in drawn.points],
            drawn.times,
            [None if point.value is None else _finite(point.value) for point in drawn.points],
            drawn.steps,
            [point.entry for point in drawn.points],
            [point.type for point in drawn.points],
            drawn.total,
        )
    found = visit.entity().series(visit.params[PATH], visit.number(LIMIT, *NUMBERS))
    values = [_finite(value) for value in found.values]
    return types.SeriesOut(found.path, found.positions, found.times, values, list(found.steps))


def diff(visit: Visit) -> types.DifferencesOut:
    """The differences between `since` and the moment, or between `ref` and `other`."""
    other, since = visit.text("other"), visit.text("since")
    first = visit.entity()
    if other:
        found = visit.client.diff(first, visit.find_entity(other, visit.client))
    elif since:
        found = visit.client.diff(first, since=since)
    else:
        found = visit.client.diff(first.seen_at(Moment(0)), first)
    record = differences_record(found, equal=visit.text("all") == "1")
    return msgspec.convert(record, types.DifferencesOut)


def compare(visit: Visit) -> types.ComparisonOut:
    """A table of entities, each at each moment in `at`."""
    table = comparison_of(visit)
    rows = [
        types.ComparisonRow(
            row.path,
            [value_out(value) if there else None for value, there in zip(row.values, row.present, strict=True)],
            row.differs,
            list(row.best),
        )
        for row in table.rows
    ]
    return types.ComparisonOut([column_title(item) for item in table.entities], rows, table.position)


def trail(visit: Visit) -> types.Trail:
    """Events of an entity or of the project, newest first."""
    found, more = page_of_log(visit, visit.number(LIMIT, *EVENTS))
    return types.Trail(
        msgspec.convert([activity_record(item) for item in found], list[types.EventOut]), more, visit.position
    )


def lineage(visit: Visit) -> types.LineageOut:
    """The sources of an entity (`direction=upstream`, the default), or its results (`downstream`)."""
    found, depth = visit.entity(), visit.number("depth", *DEPTH)
    direction = visit.text("direction") or "upstream"
    graph = found.upstream(depth) if direction == "upstream" else found.downstream(depth)
    return msgspec.convert(graph.to_dict(), types.LineageOut)


def search(visit: Visit) -> types.Hits:
    """Names, keys and values that contain the words, in the latest state."""
    hits = visit.now.search(visit.text("q"), visit.text("kind") or None, visit.number(LIMIT, *HITS))
    found = [{**msgspec.structs.asdict(hit), "reference": hit.entity.reference} for hit in hits]
    return types.Hits(msgspec.convert(found, list[types.HitOut]), hits.position)


def event(visit: Visit) -> types.LoggedEventOut:
    """An archived event, raw and decoded, with its proof of inclusion."""
    return logged_event_out(shared_log.logged_event(visit, visit.number(POSITION, 0, NO_END)))


def audit(visit: Visit) -> types.AuditOut:
    """Archived and signed part of the log, and the result of the last `runlore audit verify`."""
    return audit_out(shared_log.audit_state(visit))


class QuarantinePage(msgspec.Struct, frozen=True):
    """Quarantined events, newest first."""

    events: list[types.Quarantined]


def quarantine(visit: Visit) -> QuarantinePage:
    """Events that could not be decoded or applied to the view, newest first."""
    rows = shared_log.quarantine(visit, visit.number(LIMIT, *ROWS))
    return QuarantinePage([types.Quarantined(**row) for row in rows])


def _finite(value: Number) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


ENDPOINTS = (
    Endpoint("/status", status, types.Status, ()),
    Endpoint("/moment", moment, types.MomentOut, ()),
    Endpoint("/entities", entities, types.EntityPage, ("kind", "where", "order_by", "desc", LIMIT, "after")),
    Endpoint("/entity", entity, types.EntityOut, (REF,), (REF,)),
    Endpoint("/blame", blame, types.BlamePage, (REF,), (REF,)),
    Endpoint("/history", history, types.HistoryPage, (REF, PATH, LIMIT, BEFORE), (REF, PATH)),
    Endpoint("/series", series, types.SeriesOut, (REF, PATH, LIMIT, POINTS), (REF, PATH), {LIMIT: NUMBERS}),
    Endpoint("/diff", diff, types.DifferencesOut, (REF, "other", "since", "all"), (REF,)),
    Endpoint("/compare", compare, types.ComparisonOut, (REF, AT, "best"), (REF,)),
    Endpoint("/trail", trail, types.Trail, (REF, LIMIT, BEFORE), (), {LIMIT: EVENTS}),
    Endpoint("/lineage", lineage, types.LineageOut, (REF, "direction", "depth"), (REF,)),
    Endpoint("/search", search, types.Hits, ("q", "kind", LIMIT), ("q",), {LIMIT: HITS}),
    Endpoint("/event", event, types.LoggedEventOut, (POSITION,), (POSITION,)),
    Endpoint("/audit", audit, types.AuditOut, ()),
    Endpoint("/quarantine", quarantine, QuarantinePage, (LIMIT,)),
)
