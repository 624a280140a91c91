"""Lists of entities of a kind: filter, order, columns and page are all in the address."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from starlette.responses import Response

from runlore.dashboard.display import Shown, show
from runlore.dashboard.fields import FieldCell, field_cell, fields_of
from runlore.dashboard.rendering import render
from runlore.dashboard.visit import Visit
from runlore.query import Entity
from runlore.query.find.checks import ENTITY_FIELDS, ONLY_FIELDS
from runlore.query.find.unknown import UnknownKey
from runlore.query.view.budget import read_cell
from runlore.schemas.errors import ArgumentError, FilterError, InvalidReferenceError
from runlore.schemas.paths import parse_path
from runlore.schemas.references import EntityRef, checked
from runlore.schemas.visible import visible

ROWS = 50
MAX_COLUMNS = 24
DEFAULT_COLUMNS = 6
OFFERED = 300
"""Maximum number of keys that the column chooser offers."""

FIELDS: dict[str, tuple[str, ...]] = {
    "run": ("status", "pipeline", "started_at", "seconds"),
    "step": ("status", "started_at", "seconds"),
    "model": ("stage", "run"),
    "artifact": ("data_type", "produced_by"),
    "pipeline": ("last_run",),
}
"""Columns of fields, by kind."""
NAMES = {"started_at": "started", "seconds": "took", "data_type": "type", "produced_by": "produced by"}
SORTABLE = ("status", "stage", "pipeline", "started_at")
FIELD_NAMES = ENTITY_FIELDS | ONLY_FIELDS | {*SORTABLE}
"""Names that mean a key only in quotes: unquoted, they mean fields."""
EXAMPLES = {"run": "status = 'failed' and parameters.lr > 0.1"}
TITLES = {"run": "Runs", "step": "Steps", "model": "Models", "artifact": "Artifacts", "pipeline": "Pipelines"}

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")


class ListRow(NamedTuple):
    """One entity: its fields, and the values of the chosen columns (None where it has none)."""

    entity: Entity
    fields: list[FieldCell]
    values: list[Shown | None]


class Column(NamedTuple):
    """The heading of a column; `sort`: the address of the list ordered by it, None if that is impossible."""

    title: str
    sort: str | None
    order: str | None
    """``ascending`` or ``descending`` if the list is ordered by this column."""
    numeric: bool = False


def entities(visit: Visit) -> Response:
    """`/list?kind=…&where=…&order_by=…&desc=1&col=…&after=…&limit=…`"""
    kind = visit.text("kind") or "run"
    checked(EntityRef(kind, "x", run="x" if kind == "step" else None))
    where, problem, found, cursor = visit.text("where"), None, list[Entity](), None
    unknown = list[UnknownKey]()
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
        found, cursor, unknown = list(page), page.cursor, page.unknown
    except FilterError as error:
        problem = visible(str(error), lines=True)
    cells = [entity.parameter_cells() | entity.cells() for entity in found]
    known = dict.fromkeys(path for some in cells for path in some)
    chosen = _chosen(visit, list(known), cells)
    own_fields = FIELDS.get(kind, ())
    rows = [
        ListRow(entity, _fields(visit, entity, own_fields), [_shown(own.get(path)) for path in chosen])
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
        unknown_keys=unknown,
        rows=rows,
        field_columns=[_field_column(visit, name) for name in own_fields],
        created=_column(visit, "created", "created"),
        columns=_key_columns(visit, chosen, rows),
        example=EXAMPLES.get(kind, "metrics.accuracy > 0.9 and not retired"),
        filter_hidden=_hidden(visit, "where", "col", col=chosen if "col" in visit.params else None),
        chooser_hidden=_hidden(visit, "col"),
        choices=_choices(chosen, sorted(known)[:OFFERED]),
        next=visit.here(after=cursor) if cursor else None,
        first=visit.here(after=None) if visit.text("after") else None,
        kinds=visit.kinds,
        follows="*",
    )


def _chosen(visit: Visit, known: list[str], cells: list[dict[str, tuple[str, Any]]]) -> list[str]:
    wanted = list(dict.fromkeys(filter(None, visit.params.getlist("col"))))
    if len(wanted) > MAX_COLUMNS:
        raise ArgumentError(f"a list has at most {MAX_COLUMNS} columns, not {len(wanted)}")
    return wanted if "col" in visit.params else _usual(known, cells)


def _usual(known: list[str], cells: list[dict[str, tuple[str, Any]]]) -> list[str]:
    """Return the columns that most entities of a page have: metrics first, long values last."""

    def rank(path: str) -> tuple[bool, int]:
        having = [own[path] for own in cells if path in own]
        long = any(isinstance(cell, (str, bytes)) and len(cell) > 40 for _, cell in having)
        return long or "metric" not in path.lower(), -len(having)

    return [path for path in sorted(known, key=rank) if path][:DEFAULT_COLUMNS]


def _key_columns(visit: Visit, chosen: list[str], rows: list[ListRow]) -> list[Column]:
    """Return the columns of keys; one with only numbers on this page is numeric: its heading is above the digits."""
    columns: list[Column] = []
    for place, path in enumerate(chosen):
        kinds = {shown.css for row in rows if (shown := row.values[place]) is not None}
        numeric = bool(kinds) and kinds <= {"number", "mark"}
        columns.append(_column(visit, visible(path), sort_key(path), numeric))
    return columns


def _hidden(visit: Visit, *without: str, **more: list[str] | None) -> list[tuple[str, str]]:
    """Return the parameters that a form of this page keeps, without some of them and with `more`."""
    kept = [pair for pair in visit.form if pair[0] not in without]
    moment = [("as_of", visit.kept["as_of"])] if visit.past else []
    return [*kept, *moment, *((name, value) for name, values in more.items() for value in values or ())]


def _choices(chosen: list[str], offered: list[str]) -> list[tuple[str, bool]]:
    """Return the keys that the column chooser offers, and whether each is a column now."""
    return [*((path, True) for path in chosen if path not in offered), *((path, path in chosen) for path in offered)]


def _fields(visit: Visit, entity: Entity, names: tuple[str, ...]) -> list[FieldCell]:
    fields = fields_of(entity) if names else {}
    return [field_cell(visit, name, fields.get(name)) for name in names]


def sort_key(path: str) -> str | None:
    """Return a path as `order_by` takes it, with unusual names and names of fields in quotes; None if it is no path."""
    try:
        parts = parse_path(path)
    except InvalidReferenceError:
        return None
    if len(parts) == 1 and path in FIELD_NAMES:
        return json.dumps(path)
    return ".".join(part if _PLAIN_NAME.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in parts)


def _field_column(visit: Visit, name: str) -> Column:
    return _column(visit, NAMES.get(name, name), name if name in SORTABLE else None)


def _column(visit: Visit, title: str, key: str | None, numeric: bool = False) -> Column:
    if key is None:
        return Column(title, None, None, numeric)
    ordered = visit.text("order_by") == key
    descending = visit.text("desc") == "1"
    # The first click orders descending, as users look for the highest value; the second reverses the order.
    turned = visit.here(order_by=key, desc=None if ordered and descending else "1", after=None)
    return Column(title, turned, ("descending" if descending else "ascending") if ordered else None, numeric)


def _shown(cell: tuple[str, Any] | None) -> Shown | None:
    return None if cell is None else show(read_cell(*cell))
