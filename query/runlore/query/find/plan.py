"""The driving condition: one whose index range is short enough to visit every entity in it."""

from __future__ import annotations

from collections.abc import Iterable

from runlore.query.find import ast
from runlore.query.find.snapshot import Snapshot
from runlore.query.find.sql import range_searches, scans, searches
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
    planner = _Planner(snapshot, reader)
    found = planner.cheapest(expression)
    if planner.unranged and not _selective(found):
        found = _Planner(snapshot, reader, scanning=True).cheapest(expression)
    return found[1] if found is not None and _selective(found) else None


def _selective(found: Choice | None) -> bool:
    return found is not None and found[0] < max(SELECTIVE, 1)


class _Planner:
    def __init__(self, snapshot: Snapshot, reader: ViewReader, scanning: bool = False) -> None:
        self._snapshot, self._reader, self._scanning = snapshot, reader, scanning
        self.unranged = False
        """True after a condition that has no index range, but can be looked for in all values of its key."""

    def cheapest(self, expression: ast.Expression) -> Choice | None:
        match expression:
            case ast.And(items):
                choices = [found for item in items if (found := self.cheapest(item)) is not None]
                for pair in _ranges(items):
                    found = self._counted(range_searches(pair, self._snapshot))
                    choices += [] if found is None else [found]
                return _best(choices)
            case ast.Or(items):
                rows, joined = 0, list[str]()
                for item in items:
                    found = self.cheapest(item)
                    if found is None:
                        return None
                    rows, joined = rows + found[0], joined + found[1]
                return (rows, joined) if len(joined) <= MAX_SEARCHES else None
            case ast.Not():
                return None
            case ast.Ever(condition):
                return self._counted(searches(condition, self._snapshot, ever=True), ever=True)
            case _:
                ranges = searches(expression, self._snapshot, ever=False)
                return self._scanned(expression) if ranges is None else self._counted(ranges)

    def _counted(self, found: list[str] | None, ever: bool = False) -> Choice | None:
        if found is None or len(found) > MAX_SEARCHES:
            return None
        rows, most = 0, WIDE if self._snapshot.as_of is None and not ever else SELECTIVE
        for search in found:
            # A bounded prefix of the range: never more work than the driver itself may cost.
            counted = self._reader.one(
                f"SELECT count(*) FROM ({search} LIMIT {most - rows})", self._snapshot.bind.values
            )
            rows += counted[0] if counted else 0
            if rows >= most:
                return None
        return rows, found

    def _scanned(self, condition: ast.Condition) -> Choice | None:
        """What a walk over the values of a key finds, which is kept: it costs more than its few entities."""
        found = scans(condition, self._snapshot)
        self.unranged = self.unranged or found is not None
        if found is None or not self._scanning:
            return None
        ids = list[int]()
        for scan in found:
            rows = self._reader.rows(f"{scan} LIMIT {SELECTIVE - len(ids)}", self._snapshot.bind.values)
            ids += (entity_id for (entity_id,) in rows)
            if len(ids) >= SELECTIVE:
                return None
        return len(ids), [f"SELECT value AS entity_id FROM json_each({self._snapshot.bind(str(ids))})"]


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
