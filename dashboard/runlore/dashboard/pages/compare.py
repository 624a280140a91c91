"""Comparing entities, or one at several moments: a table in parts, and its export."""

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
from runlore.query.compare.comparison import Row, best_columns
from runlore.query.numbers import is_number
from runlore.query.plain import plain
from runlore.query.time.moment import NO_END, NOW, utc
from runlore.store.cells import readable

CELLS = 1500
"""Cells that one part of the table has; the page fetches the next part when it is scrolled to."""
WIDE = 12
"""A table of more columns has cells of one size."""
FITS = 14
"""Characters that such a cell has room for. Cut here: a style that cuts makes each cell a layer in a browser."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Beginnings that spreadsheets take for formulas."""


class Line(NamedTuple):
    """One leaf: a cell for each column, None where it is absent."""

    row: Row
    cells: list[Shown | None]
    numeric: bool
    best: Best | None
    """Which of its numbers are marked, None for none."""


def compare(visit: Visit) -> Response:
    """`/compare?ref=…&ref=…&at=…&best=max&all=1&from=…`; `part=1` gives the rows only."""
    table = comparison_of(visit)
    everything = visit.text("all") == "1" or len(table.entities) < 2
    rows = [row for row in table.rows if everything or row.differs]
    size = max(10, CELLS // max(1, len(table.entities)))
    start = min(visit.number("from", 1, len(rows) + 1) - 1, len(rows))
    best, turned = best_of(visit), turned_of(visit)
    lines = [
        _line(row, best, row.path in turned, row.path not in table.parameters) for row in rows[start : start + size]
    ]
    wide = len(table.entities) > WIDE
    if wide:
        lines = [line._replace(cells=[cell and _fitting(cell) for cell in line.cells]) for line in lines]
    following = start + size + 1
    values: dict[str, Any] = {
        "table": table,
        "titles": [column_title(entity) for entity in table.entities],
        "moments": [_moment(entity) for entity in table.entities],
        "absent": [entity.moment != NOW and not entity.known for entity in table.entities],
        "addresses": [_address(visit, entity) for entity in table.entities],
        "turning": _turning(visit, turned),
        "lines": lines,
        "wide": wide,
        "start": start,
        "next": visit.here(**{"from": following, "part": None}) if following <= len(rows) else None,
        "equal": sum(not row.differs for row in table.rows),
        "rows": len(rows),
        "everything": everything,
        "best": best,
        "query": visit.here(**{"from": None}).partition("?")[2],
        "kinds": visit.kinds if len(table.entities) < 2 else {},
        "suggested": _suggested(visit) if len(table.entities) < 2 else [],
        "live": "",
    }
    if visit.text("part") != "1":
        return render(visit, "compare.html", **values)
    part = render(visit, "compare_part.html", **values)
    if values["next"]:
        # The page goes on here; in a header, as the part is nothing but rows.
        part.headers["X-Next"] = values["next"]
    return part


def column_title(entity: Entity) -> str:
    """A reference, with the position where it is looked at in the past."""
    moment = _moment(entity)
    return entity.reference if moment is None else f"{entity.reference} at {moment}"


def _moment(entity: Entity) -> str | None:
    """Where in the past a column looks, a position or a time by the producers' clocks; None for now."""
    position, occurred = entity.moment
    if occurred is not None:
        return as_of_text(utc(occurred))
    return None if position == NO_END else str(position)


def _address(visit: Visit, entity: Entity) -> str:
    """A column's entity at its moment."""
    moment = _moment(entity)
    clock = None if entity.moment.occurred_us is None else visit.clock
    return visit.url("/entity", ref=entity.reference, as_of=moment, clock=clock)


def turned_of(visit: Visit) -> list[str]:
    """Keys whose best is the other way round: `turn=metrics.loss`, again to turn it back."""
    given = visit.params.getlist("turn")
    return [path for path in dict.fromkeys(given) if given.count(path) % 2]


def _turning(visit: Visit, turned: list[str]) -> list[tuple[str, str]]:
    """The page's parameters for the form in which each row has a button to turn it round."""
    left_out = ("turn", "from", "part", *visit.kept)
    kept = [pair for pair in visit.params.multi_items() if pair[0] not in left_out]
    return [*kept, *visit.kept.items(), *(("turn", path) for path in turned)]


def _suggested(visit: Visit) -> list[Entity]:
    if visit.occurred_at is not None:
        return []  # what there was goes by positions
    return [*visit.client.find("model", limit=6), *visit.client.find("run", limit=6)]


def _line(row: Row, best: Best | None, turned: bool, logged: bool) -> Line:
    """`logged`: whether it is metadata, which has a history; a parameter has none worth a chart."""
    cells = [show(value) if there else None for value, there in zip(row.values, row.present, strict=True)]
    there = [value for value, is_there in zip(row.values, row.present, strict=True) if is_there]
    numeric = logged and bool(there) and all(map(is_number, there))
    if not best or not row.best:
        return Line(row, cells, numeric, None)
    if turned:
        best = "min" if best == "max" else "max"
        row = row._replace(best=best_columns(row.values, best))
    return Line(row, cells, numeric, best)


def _fitting(shown: Shown) -> Shown:
    """No longer than a cell of a wide table; what was cut is in its title. Scripts write times anew."""
    if shown.time or len(shown.text) <= FITS:
        return shown
    return msgspec.structs.replace(shown, text=shortened(shown.text, FITS - 1), title=shown.title or shown.text)


def export_json(visit: Visit) -> Response:
    """`/compare.json`: `{path: {column: value}}`."""
    return JSONBody(
        as_dict(comparison_of(visit)), headers={"Content-Disposition": 'attachment; filename="compare.json"'}
    )


def as_dict(table: Comparison) -> dict[str, dict[str, Any]]:
    """Values by path and column title; a column is left out where the leaf is absent."""
    titles = [column_title(entity) for entity in table.entities]
    return {
        row.path: {
            title: plain(value) for title, value, there in zip(titles, row.values, row.present, strict=True) if there
        }
        for row in table.rows
    }


def export_csv(visit: Visit) -> Response:
    """`/compare.csv`: one line a leaf, one column an entity. No cell is a formula to a spreadsheet."""
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


def cell(value: Any) -> str:
    """A value for a spreadsheet: numbers as they are, anything else as text that is no formula."""
    if not is_number(value):
        return inert(readable(value))
    return str(plain(int(value))) if isinstance(value, int) else str(value)


def inert(text: str) -> str:
    """Text that a spreadsheet shows and does not run: an apostrophe goes before what looks like a formula."""
    bare = text.lstrip(" \u00a0\ufeff")
    return "'" + text if bare.startswith(FORMULA) or text.startswith(FORMULA) else text
