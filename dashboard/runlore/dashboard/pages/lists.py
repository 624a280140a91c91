"""Lists of a kind: filter, order, columns and page, all in the address."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from starlette.responses import Response

from runlore.dashboard.display import Shown, show
from runlore.dashboard.rendering import render
from runlore.dashboard.texts import visible
from runlore.dashboard.visit import Visit
from runlore.query import Entity
from runlore.query.find.checks import ENTITY_FIELDS, ONLY_FIELDS
from runlore.schemas.errors import FilterError, InvalidReferenceError
from runlore.schemas.paths import parse_path
from runlore.schemas.references import EntityRef, checked
from runlore.store.cells import from_cell

ROWS = 50
MAX_COLUMNS = 24
DEFAULT_COLUMNS = 6
OFFERED = 300
"""Keys that the chooser offers."""

FIELDS: dict[str, tuple[str, ...]] = {
    "run": ("status", "pipeline", "started_at", "seconds"),
    "step": ("status", "started_at", "seconds"),
    "model": ("stage", "run"),
    "artifact": ("data_type", "produced_by"),
    "pipeline": ("last_run",),
}
"""Columns of Runlore's own knowledge by kind."""
NAMES = {"started_at": "started", "seconds": "took", "data_type": "type", "produced_by": "produced by"}
SORTABLE = ("status", "stage", "pipeline", "started_at")
FIELD_NAMES = ENTITY_FIELDS | ONLY_FIELDS | {*SORTABLE}
"""Names that mean a key only in quotes: bare, they are what the headings of fields order by."""
TITLES = {"run": "Runs", "step": "Steps", "model": "Models", "artifact": "Artifacts", "pipeline": "Pipelines"}

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")


class Line(NamedTuple):
    """One entity: its own fields, and the values of the chosen columns (None where it has none)."""

    entity: Entity
    fields: dict[str, Any]
    values: list[tuple[str, Shown | None]]


class Column(NamedTuple):
    """A heading; `sort` is the address of the list ordered by it, None where it cannot be."""

    name: str
    title: str
    sort: str | None
    order: str | None
    """``ascending`` or ``descending`` where the list is ordered by it."""


def entities(visit: Visit) -> Response:
    """`/list?kind=…&where=…&order_by=…&desc=1&col=…&after=…&limit=…`"""
    kind = visit.text("kind") or "run"
    checked(EntityRef(kind, "x", run="x" if kind == "step" else None))
    where, problem, found, cursor = visit.text("where"), None, list[Entity](), None
    limit = visit.number("limit", ROWS)
    try:
        page = visit.client.find(
            kind,
            where or None,
            order_by=visit.text("order_by") or None,
            descending=visit.text("desc") == "1",
            limit=limit,
            after=visit.text("after") or None,
        )
        found, cursor = list(page), page.cursor
    except FilterError as error:
        problem = visible(str(error), lines=True)
    cells = [entity.parameter_cells() | entity.cells() for entity in found]
    known = dict.fromkeys(path for some in cells for path in some)
    chosen = _chosen(visit, list(known), cells)
    lines = [
        Line(entity, fields_of(entity), [(path, _shown(own.get(path))) for path in chosen])
        for entity, own in zip(found, cells, strict=True)
    ]
    return render(
        visit,
        "list.html",
        status=400 if problem else 200,
        kind_shown=kind,
        title=TITLES.get(kind, kind.capitalize()),
        where=where,
        problem=problem,
        lines=lines,
        own_columns=[_own(visit, name) for name in FIELDS.get(kind, ())],
        created=_column(visit, "created", "created", "created"),
        columns=[_column(visit, path, visible(path), sort_key(path)) for path in chosen],
        numeric=_numeric(lines),
        chosen=chosen,
        offered=sorted(known)[:OFFERED],
        next=visit.here(after=cursor) if cursor else None,
        first=visit.here(after=None) if visit.text("after") else None,
        kinds=visit.kinds,
        live="*",
    )


def _chosen(visit: Visit, known: list[str], cells: list[dict[str, tuple[str, Any]]]) -> list[str]:
    wanted = list(dict.fromkeys(filter(None, visit.params.getlist("col"))))
    if len(wanted) > MAX_COLUMNS:
        raise InvalidReferenceError(f"at most {MAX_COLUMNS} columns fit, not {len(wanted)}")
    return wanted if "col" in visit.params else _usual(known, cells)


def _usual(known: list[str], cells: list[dict[str, tuple[str, Any]]]) -> list[str]:
    """The columns most entities of a page have, short values before long ones; metrics first."""

    def rank(path: str) -> tuple[bool, int]:
        having = [own[path] for own in cells if path in own]
        long = any(isinstance(cell, (str, bytes)) and len(cell) > 40 for _, cell in having)
        return long or "metric" not in path.lower(), -len(having)

    return [path for path in sorted(known, key=rank) if path][:DEFAULT_COLUMNS]


def _numeric(lines: list[Line]) -> set[str]:
    """The columns that hold nothing but numbers on this page: their headings stand above the digits."""
    kinds: dict[str, set[str]] = {}
    for line in lines:
        for path, shown in line.values:
            if shown is not None:
                kinds.setdefault(path, set()).add(shown.css)
    return {path for path, found in kinds.items() if found <= {"number", "mark"}}


def sort_key(path: str) -> str | None:
    """A path as an order names it: odd names, and those of fields, in quotes. None for what is no path."""
    try:
        parts = parse_path(path)
    except InvalidReferenceError:
        return None
    if len(parts) == 1 and path in FIELD_NAMES:
        return json.dumps(path)
    return ".".join(part if _PLAIN_NAME.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in parts)


def _own(visit: Visit, name: str) -> Column:
    title = NAMES.get(name, name)
    return _column(visit, name, title, name if name in SORTABLE else None)


def _column(visit: Visit, name: str, title: str, key: str | None) -> Column:
    if key is None:
        return Column(name, title, None, None)
    ordered = visit.text("order_by") == key
    descending = visit.text("desc") == "1"
    # The first click shows the largest first, as one looks for the best; the second turns it round.
    turned = visit.here(order_by=key, desc=None if ordered and descending else "1", after=None)
    return Column(name, title, turned, ("descending" if descending else "ascending") if ordered else None)


def _shown(cell: tuple[str, Any] | None) -> Shown | None:
    return None if cell is None else show(from_cell(*cell))


def fields_of(entity: Entity) -> dict[str, Any]:
    """Runlore's own fields, with the seconds that a run or step took."""
    fields = entity.fields
    if fields.get("started_at") and fields.get("finished_at"):
        fields["seconds"] = (fields["finished_at"] - fields["started_at"]).total_seconds()
    return fields
