"""The history of one key, group or field: a chart if it has numbers, and a table."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from starlette.responses import Response

from runlore.dashboard.display import Shown, show, show_entry
from runlore.dashboard.drawing import broken_line
from runlore.dashboard.rendering import render
from runlore.dashboard.texts import counted, shortened
from runlore.dashboard.visit import Visit
from runlore.query import Entity, Entry
from runlore.query.numbers import difference
from runlore.query.page.sketch import Sketch, sketch
from runlore.schemas.errors import ArgumentError, NotFoundError
from runlore.schemas.values import encode_value
from runlore.schemas.visible import visible
from runlore.store.cells import nearest_float

ROWS = 100
POINTS = 4000
"""Approximate number of points of a chart: more than its width has pixels."""
CHART = (900, 240)


class HistoryRow(NamedTuple):
    """One entry, with the change of its number or of the keys of its group."""

    entry: Entry
    shown: Shown | None
    change: str


def history(visit: Visit) -> Response:
    """`/history?ref=…&path=…` (or `field=…`) `&before=…&limit=…`"""
    shown = visit.entity()
    path, field = visit.params.get("path"), visit.text("field")
    if not path and not field:
        raise ArgumentError("missing parameter: path or field")
    limit = visit.number("limit", ROWS)
    before = visit.position_before()
    if path:
        entries = list(shown.history(path, limit + 1, before=before, newest_first=True))
    else:
        past = [entry for entry in shown.field_history(field) if before is None or entry.position < before]
        entries = past[::-1][: limit + 1]
        if not past:
            raise NotFoundError(f"{shown.reference} never had a field {field!r}")
    series = numbers(shown, path) if path else None
    drawn = [] if series is None else series.points
    return render(
        visit,
        "history.html",
        entity=shown,
        path=path,
        field=field,
        rows=[_row(entry) for entry in entries[:limit]],
        older=visit.here(before=entries[limit - 1].position) if len(entries) > limit else None,
        newest=visit.here(before=None) if before else None,
        series=series,
        chart_label=_chart_label(path, series) if path and series else "",
        drawn=sum(point.value is not None for point in drawn),
        lines_drawn=broken_line([(point.entry, point.value if point.finite else None) for point in drawn], *CHART),
        points=POINTS,
        chart=CHART,
        kind_shown=shown.kind,
        follows=shown.reference,
    )


def numbers(shown: Entity, path: str) -> Sketch | None:
    """Return the numbers of a key for a chart; None for a group and for a key with fewer than two numbers."""
    try:
        series = sketch(shown, path, POINTS)
    except NotFoundError:
        return None
    return series if series.total > 1 else None


def _chart_label(path: str, series: Sketch) -> str:
    last = [point.value for point in series.points if point.value is not None][-1]
    return f"{visible(path)} over the log: {counted(series.total, 'number')}, the last {show(last).text}"


def _row(entry: Entry) -> HistoryRow:
    exact, _ = difference(entry.previous, entry.value)
    delta = None if exact is None else nearest_float(exact)
    change = f"{delta:+.4g}" if delta else _changed_keys(entry)
    return HistoryRow(entry, None if entry.ended else show_entry(entry), change)


def _changed_keys(entry: Entry) -> str:
    """Return the changes of a group: `accuracy removed, loss changed, f1 added`; '' for anything else."""
    values: tuple[Any, Any] = entry.value, entry.previous
    if not all(isinstance(value, dict) for value in values):
        return ""
    now, before = cast("tuple[dict[str, Any], dict[str, Any]]", values)
    changes = [f"{key} removed" for key in before if key not in now]
    # Encoded, NaN equals NaN, and True is not 1.
    same = {key for key in now if key in before and encode_value(now[key]) == encode_value(before[key])}
    changes += [f"{key} changed" for key in now if key in before and key not in same]
    changes += [f"{key} added" for key in now if key not in before]
    return shortened(", ".join(changes), 120)
