"""The comparison of entities, or of one at several moments: a table in parts, and its export."""

from __future__ import annotations

import csv
import io
from typing import Any, NamedTuple

import msgspec
from starlette.responses import PlainTextResponse, Response

from runlore.dashboard.answering import JSONBody
from runlore.dashboard.comparing import Best, best_of, comparison_of
from runlore.dashboard.display import Shown, show
from runlore.dashboard.rendering import render
from runlore.dashboard.texts import shortened
from runlore.dashboard.visit import Visit, as_of_text
from runlore.query import Comparison, Entity
from runlore.query.compare.comparison import ComparisonRow, best_columns
from runlore.query.numbers import is_number
from runlore.query.plain import plain
from runlore.query.spreadsheet import cell, inert
from runlore.query.time.moment import NO_END, NOW, utc

CELLS = 1500
"""Number of cells in one part of the table; the page fetches the next part when it is scrolled to."""
MAX_REMOVABLE = 20
"""Number of columns up to which each has a button that removes it."""
WIDE = 12
"""Number of columns above which all cells have one size."""
FITS = 14
"""Characters that fit such a cell. Cut here: CSS that cuts would make each cell a layer in the browser."""


class ComparedKey(NamedTuple):
    """One row of the table: a cell for each column, None where the key is absent."""

    path: str
    cells: list[Shown | None]
    differs: bool
    numeric: bool
    """True for numbers with a history."""
    highlight: Best | None
    """``max`` or ``min``: the numbers that are highlighted; None for none."""
    best: tuple[int, ...]
    """Columns of these numbers."""


class Heading(NamedTuple):
    """One column of the table: an entity, at a moment if it is not now."""

    entity: Entity
    title: str
    href: str
    moment: str | None
    absent: bool
    """True if the entity did not exist yet."""
    remove: str | None
    """Address of the comparison without the entity."""


class Choice(NamedTuple):
    """One of several buttons."""

    title: str
    href: str
    current: bool


def compare(visit: Visit) -> Response:
    """`/compare?ref=…&ref=…&at=…&best=max&all=1&from=…`; `part=1` gives the rows only."""
    table = comparison_of(visit)
    everything = visit.text("all") == "1" or len(table.entities) < 2
    rows = [row for row in table.rows if everything or row.differs]
    size = max(10, CELLS // max(1, len(table.entities)))
    start = min(visit.number("from", 1, len(rows) + 1) - 1, len(rows))
    best, turned = best_of(visit), turned_of(visit)
    keys = [_key(row, best, row.path in turned, row.path not in table.parameters) for row in rows[start : start + size]]
    wide = len(table.entities) > WIDE
    if wide:
        keys = [key._replace(cells=[cell and _fitting(cell) for cell in key.cells]) for key in keys]
    following = start + size + 1
    values: dict[str, Any] = {
        "table": table,
        "headings": _headings(visit, table),
        "keys": keys,
        "wide": wide,
        "next": visit.here(**{"from": following, "part": None}) if following <= len(rows) else None,
        "equal": sum(not row.differs for row in table.rows),
        "shown_choices": _shown_choices(visit, everything),
        "best_choices": _best_choices(visit, best),
        "turning": _turning(visit, turned) if best else [],
        "query": visit.here(**{"from": None}).partition("?")[2],
        "suggested": _suggested(visit, table) if len(table.entities) < 2 else [],
    }
    if visit.text("part") != "1":
        return render(visit, "compare.html", **values)
    part = render(visit, "compare_part.html", **values)
    if values["next"]:
        # In a header, as the part holds rows only.
        part.headers["X-Next"] = values["next"]
    return part


def column_title(entity: Entity) -> str:
    """Return a reference, with its moment if it is in the past."""
    moment = _moment(entity)
    return entity.reference if moment is None else f"{entity.reference} at {moment}"


def _moment(entity: Entity) -> str | None:
    """Return the moment of a column, an event or a time by the producers' clocks; None for now."""
    position, occurred = entity.moment
    if occurred is not None:
        return as_of_text(utc(occurred))
    return None if position == NO_END else str(position)


def _headings(visit: Visit, table: Comparison) -> list[Heading]:
    removable = 2 < len(table.entities) <= MAX_REMOVABLE
    references = visit.params.getlist("ref")
    return [
        Heading(
            entity,
            column_title(entity),
            _address(visit, entity),
            _moment(entity),
            entity.moment != NOW and not entity.known,
            visit.here(ref=[each for each in references if each != entity.reference], **{"from": None})
            if removable
            else None,
        )
        for entity in table.entities
    ]


def _shown_choices(visit: Visit, everything: bool) -> list[Choice]:
    return [
        Choice("Differences", visit.here(all=None, **{"from": None}), not everything),
        Choice("All keys", visit.here(all="1", **{"from": None}), everything),
    ]


def _best_choices(visit: Visit, best: Best | None) -> list[Choice]:
    choices = (("Highlight highest", "max"), ("Highlight lowest", "min"), ("No highlight", None))
    return [Choice(title, visit.here(best=each), each == best) for title, each in choices]


def _address(visit: Visit, entity: Entity) -> str:
    """Return the address of a column's entity at its moment."""
    moment = _moment(entity)
    clock = None if entity.moment.occurred_us is None else visit.clock
    return visit.url("/entity", ref=entity.reference, as_of=moment, clock=clock)


def turned_of(visit: Visit) -> list[str]:
    """Return the keys whose highlight is reversed: `turn=metrics.loss`; a second `turn` undoes it."""
    given = visit.params.getlist("turn")
    return [path for path in dict.fromkeys(given) if given.count(path) % 2]


def _turning(visit: Visit, turned: list[str]) -> list[tuple[str, str]]:
    """Return the page's parameters for the form in which each row has a button that reverses its highlight."""
    left_out = ("turn", "from", "part", *visit.kept)
    kept = [pair for pair in visit.params.multi_items() if pair[0] not in left_out]
    return [*kept, *visit.kept.items(), *(("turn", path) for path in turned)]


def _suggested(visit: Visit, table: Comparison) -> list[Entity]:
    if visit.occurred_at is not None:
        return []  # lists are by the log's clock only
    recent = [*visit.client.find("model", limit=6), *visit.client.find("run", limit=6)]
    chosen = {column_title(entity) for entity in table.entities}
    return [entity for entity in recent if entity.reference not in chosen]


def _key(row: ComparisonRow, best: Best | None, turned: bool, logged: bool) -> ComparedKey:
    """Return a row of the table; `logged`: it is metadata, which has a history, and not a parameter."""
    cells = [show(value) if there else None for value, there in zip(row.values, row.present, strict=True)]
    there = [value for value, is_there in zip(row.values, row.present, strict=True) if is_there]
    numeric = logged and bool(there) and all(map(is_number, there))
    if not best or not row.best:
        return ComparedKey(row.path, cells, row.differs, numeric, None, ())
    if not turned:
        return ComparedKey(row.path, cells, row.differs, numeric, best, tuple(row.best))
    other: Best = "min" if best == "max" else "max"
    return ComparedKey(row.path, cells, row.differs, numeric, other, tuple(best_columns(row.values, other)))


def _fitting(shown: Shown) -> Shown:
    """Cut a text to the size of a cell in a wide table, with the full text as its title. Scripts rewrite times."""
    if shown.time or len(shown.text) <= FITS:
        return shown
    return msgspec.structs.replace(shown, text=shortened(shown.text, FITS - 1), title=shown.title or shown.text)


def export_json(visit: Visit) -> Response:
    """`/compare.json`: `{path: {column: value}}`."""
    return JSONBody(
        as_dict(comparison_of(visit)), headers={"Content-Disposition": 'attachment; filename="compare.json"'}
    )


def as_dict(table: Comparison) -> dict[str, dict[str, Any]]:
    """Return values by path and column title, without columns where the key is absent."""
    titles = [column_title(entity) for entity in table.entities]
    return {
        row.path: {
            title: plain(value) for title, value, there in zip(titles, row.values, row.present, strict=True) if there
        }
        for row in table.rows
    }


def export_csv(visit: Visit) -> Response:
    """`/compare.csv`: one line per key, one column per entity. No cell is a formula to a spreadsheet."""
    table = comparison_of(visit)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["path", *(inert(column_title(entity)) for entity in table.entities)])
    for row in table.rows:
        cells = (cell(value) if there else "" for value, there in zip(row.values, row.present, strict=True))
        writer.writerow([inert(row.path), *cells])
    return PlainTextResponse(
        out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="compare.csv"'},
    )
