"""The driving condition: one whose index range is short enough to visit every entity in it."""

from __future__ import annotations

from collections.abc import Iterable

from runlore.query.find import ast
from runlore.query.find.snapshot import Snapshot
from runlore.query.find.sql import range_searches, searches
from runlore.query.view.connection import ViewReader

NOTHING = "SELECT 0 AS entity_id WHERE 0"
SELECTIVE = 2_000
"""Rows of an index range that are cheaper to visit than to hope for early hits in a walk."""
WIDE = 12_000
"""Rows of two ranges that are cheaper to intersect than to hope; only of `heads`, whose index covers the search."""
MAX_SEARCHES = 100
"""Alternatives of one driver; SQLite joins at most 500 selects."""

Choice = tuple[int, list[str]]
"""Rows that are to be visited, and the searches that together find them."""


def driver(expression: ast.Expression | None, snapshot: Snapshot, reader: ViewReader) -> list[str] | None:
    """Searches that find every entity that may fit, with few others; None when no condition is selective."""
    if expression is None:
        return None
    found = _cheapest(expression, snapshot, reader)
    return None if found is None or found[0] >= max(SELECTIVE, 1) else found[1]


def _cheapest(expression: ast.Expression, snapshot: Snapshot, reader: ViewReader) -> Choice | None:
    match expression:
        case ast.And(items):
            choices = [found for item in items if (found := _cheapest(item, snapshot, reader)) is not None]
            for pair in _ranges(items):
                found = _counted(range_searches(pair, snapshot), snapshot, reader)
                choices += [] if found is None else [found]
            return _best(choices)
        case ast.Or(items):
            rows, joined = 0, list[str]()
            for item in items:
                found = _cheapest(item, snapshot, reader)
                if found is None:
                    return None
                rows, joined = rows + found[0], joined + found[1]
            return (rows, joined) if len(joined) <= MAX_SEARCHES else None
        case ast.Not():
            return None
        case ast.Ever(condition):
            return _counted(searches(condition, snapshot, ever=True), snapshot, reader, ever=True)
        case _:
            return _counted(searches(expression, snapshot, ever=False), snapshot, reader)


def _best(choices: list[Choice]) -> Choice | None:
    """The smallest, or what the two smallest have in common."""
    choices.sort(key=lambda found: found[0])
    if len(choices) < 2 or choices[0][0] < SELECTIVE or sum(len(found[1]) for found in choices[:2]) > MAX_SEARCHES:
        return choices[0] if choices else None
    first, second = (f"SELECT entity_id FROM ({' UNION '.join(found[1]) or NOTHING})" for found in choices[:2])
    return SELECTIVE - 1, [f"SELECT entity_id FROM ({first} INTERSECT {second})"]


def _ranges(items: Iterable[ast.Expression]) -> list[list[ast.Compare]]:
    """Conditions that bound one key from several sides, such as ``a > 1 and a < 2``: together they may be selective."""
    found: dict[tuple[ast.Key, type], list[ast.Compare]] = {}
    for item in items:
        if isinstance(item, ast.Compare) and item.op[0] in "<>":
            found.setdefault((item.key, type(item.value)), []).append(item)
    return [pair for pair in found.values() if len(pair) > 1]


def _counted(found: list[str] | None, snapshot: Snapshot, reader: ViewReader, ever: bool = False) -> Choice | None:
    if found is None or len(found) > MAX_SEARCHES:
        return None
    rows, most = 0, WIDE if snapshot.as_of is None and not ever else SELECTIVE
    for search in found:
        # A bounded prefix of the range: never more work than the driver itself may cost.
        counted = reader.one(f"SELECT count(*) FROM ({search} LIMIT {most - rows})", snapshot.bind.values)
        rows += counted[0] if counted else 0
        if rows >= most:
            return None
    return rows, found
