"""The past of one key, group, leaf or field: a chart where it has numbers, and a table."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from starlette.responses import Response

from runlore.dashboard.display import Shown, show
from runlore.dashboard.drawing import broken_line
from runlore.dashboard.rendering import render
from runlore.dashboard.texts import shortened
from runlore.dashboard.visit import Visit
from runlore.query import Entity, Entry
from runlore.query.numbers import difference
from runlore.query.page.sketch import Sketch, sketch
from runlore.schemas.errors import InvalidReferenceError, NotFoundError
from runlore.schemas.values import encode_value
from runlore.store.cells import nearest_float

ROWS = 100
POINTS = 4000
"""About how many numbers a chart shows: more than its width has room for."""
CHART = (900, 240)


class Line(NamedTuple):
    """One entry, by how much a number changed, or which keys of a group did."""

    entry: Entry
    shown: Shown | None
    delta: float | None
    keys: str


def history(visit: Visit) -> Response:
    """`/history?ref=…&path=…` (or `field=…`) `&before=…&limit=…`"""
    shown = visit.entity()
    path, field = visit.params.get("path"), visit.text("field")
    if not path and not field:
        raise InvalidReferenceError("a history is of a key: say path=... or field=...")
    limit = visit.number("limit", ROWS)
    before = visit.position_before()
    if path:
        entries = list(shown.history(path, limit + 1, before=before, newest_first=True))
    else:
        past = [entry for entry in shown.field_history(field) if before is None or entry.position < before]
        entries = past[::-1][: limit + 1]
        if not past:
            raise NotFoundError(f"{shown.reference} never had a {field!r}")
    series = numbers(shown, path) if path else None
    drawn = [] if series is None else series.points
    return render(
        visit,
        "history.html",
        entity=shown,
        path=path,
        field=field,
        lines=[_line(entry) for entry in entries[:limit]],
        older=visit.here(before=entries[limit - 1].position) if len(entries) > limit else None,
        newest=visit.here(before=None) if before else None,
        series=series,
        drawn=[point.value for point in drawn if point.value is not None],
        lines_drawn=broken_line([(point.entry, point.value if point.finite else None) for point in drawn], *CHART),
        points=POINTS,
        chart=CHART,
        kind_shown=shown.kind,
        live=shown.reference,
    )


def numbers(shown: Entity, path: str) -> Sketch | None:
    """The numbers of a leaf for a chart, None where it is a group or never had two."""
    try:
        series = sketch(shown, path, POINTS)
    except NotFoundError:
        return None
    return series if series.total > 1 else None


def _line(entry: Entry) -> Line:
    change, _ = difference(entry.previous, entry.value)
    delta = None if change is None else nearest_float(change)
    return Line(entry, None if entry.ended else show(entry.value), delta or None, _changed_keys(entry))


def _changed_keys(entry: Entry) -> str:
    """How a group differs from what it was: `accuracy gone, loss changed, f1 new`; '' where there is no group."""
    values: tuple[Any, Any] = entry.value, entry.previous
    if not all(isinstance(value, dict) for value in values):
        return ""
    now, before = cast("tuple[dict[str, Any], dict[str, Any]]", values)
    said = [f"{key} gone" for key in before if key not in now]
    # Not-a-number is the same as before, and True is not 1.
    said += [f"{key} changed" for key in now if key in before and encode_value(now[key]) != encode_value(before[key])]
    said += [f"{key} new" for key in now if key not in before]
    return shortened(", ".join(said), 120)
