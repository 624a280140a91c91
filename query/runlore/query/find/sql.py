"""From the tree of a filter to the SQL of one entity `e`, and to searches that drive it through an index."""

from __future__ import annotations

from collections.abc import Callable

from runlore.query.find import ast
from runlore.query.find.checks import entity_field
from runlore.query.find.conditions import Branch, drivers, row_sql
from runlore.query.find.snapshot import KeyPaths, Snapshot
from runlore.query.view import value_index

PositionAt = Callable[[int], int]
"""The last position recorded at or before a time in microseconds."""

NUMERIC_VERSION = "CAST(e.version_number AS TEXT) = e.version"


def filter_sql(expression: ast.Expression, snapshot: Snapshot, position_at: PositionAt) -> str:
    """Return whether entity `e` fits: always 1 or 0, never NULL."""
    match expression:
        case ast.And(items):
            return "(" + " AND ".join(filter_sql(item, snapshot, position_at) for item in items) + ")"
        case ast.Or(items):
            return "(" + " OR ".join(filter_sql(item, snapshot, position_at) for item in items) + ")"
        case ast.Not(ast.Not(inner)):
            return filter_sql(inner, snapshot, position_at)
        case ast.Not(inner):
            return f"(NOT {filter_sql(inner, snapshot, position_at)})"
        case ast.Ever(condition):
            return _condition(condition, snapshot, position_at, ever=True)
        case _:
            return _condition(expression, snapshot, position_at, ever=False)


def _condition(condition: ast.Condition, snapshot: Snapshot, position_at: PositionAt, ever: bool) -> str:
    if entity_field(condition.key) == "created":
        return _created(condition, snapshot, position_at)
    own = snapshot.entity_value(condition.key)
    if own is not None:
        kind = "'str'"
        if _by_number(condition):
            own, kind = f"iif({NUMERIC_VERSION}, e.version_number, {own})", f"iif({NUMERIC_VERSION}, 'int', 'str')"
        test = row_sql(condition, snapshot.bind, "v.value", "v.type")
        return f"EXISTS (SELECT 1 FROM (SELECT {own} AS value, {kind} AS type) v WHERE v.value IS NOT NULL AND {test})"
    tests = [
        snapshot.exists(place, row_sql(condition, snapshot.bind, *snapshot.columns(place)), ever)
        for place in snapshot.places(condition.key, isinstance(condition, ast.Exists))
    ]
    return "(" + " OR ".join(tests) + ")" if tests else "0"


def _by_number(condition: ast.Condition) -> bool:
    """Return whether `version` is compared as the number it is: ``version > 9`` finds 10."""
    return (
        entity_field(condition.key) == "version"
        and isinstance(condition, ast.Compare)
        and isinstance(condition.value, ast.NumberLiteral)
    )


def _created(condition: ast.Condition, snapshot: Snapshot, position_at: PositionAt) -> str:
    match condition:
        case ast.Compare(_, op, ast.Time(micros)):
            return _created_at(op, micros, snapshot, position_at)
        case ast.In(_, values, negated):
            times = [value.micros for value in values if isinstance(value, ast.Time)]
            tests = " OR ".join(_created_at("=", micros, snapshot, position_at) for micros in times)
            return f"(NOT ({tests}))" if negated else f"({tests})"
        case _:
            return "1"


def _created_at(op: str, micros: int, snapshot: Snapshot, position_at: PositionAt) -> str:
    # Recorded time never falls as positions grow, so a moment is a border between positions.
    def border(moment: int) -> str:
        return snapshot.bind(position_at(moment))

    match op:
        case ">":
            return f"(e.created_position > {border(micros)})"
        case ">=":
            return f"(e.created_position > {border(micros - 1)})"
        case "<":
            return f"(e.created_position <= {border(micros - 1)})"
        case "<=":
            return f"(e.created_position <= {border(micros)})"
        case _:
            same = f"(e.created_position > {border(micros - 1)} AND e.created_position <= {border(micros)})"
            return f"(NOT {same})" if op == "!=" else same


# -- searches ----------------------------------------------------------------------------------------


def searches(condition: ast.Condition, snapshot: Snapshot, ever: bool) -> list[str] | None:
    """Index ranges that together hold the ID of every entity that fits (and maybe more); None when none do."""
    field = entity_field(condition.key)
    if field is not None:
        return _entity_searches(field, condition, snapshot)
    tests, places = drivers(condition, snapshot.bind), snapshot.places(condition.key)
    if tests is None or not all(place.indexed for place in places) or not all(test.indexed for test in tests):
        return None
    return [_search(place, test, snapshot, ever) for place in places for test in tests]


def scans(condition: ast.Condition, snapshot: Snapshot) -> list[str] | None:
    """Walks over all latest values of a key, which find the ID of every entity that fits; None when none can."""
    if entity_field(condition.key) is not None or snapshot.as_of is not None:
        return None
    tests, places = drivers(condition, snapshot.bind), snapshot.places(condition.key)
    if not tests or not all(place.indexed for place in places):
        return None
    either = Branch(" OR ".join(f"({test.sql})" for test in tests), False)
    return [_search(place, either, snapshot, ever=False) for place in places]


def range_searches(conditions: list[ast.Compare], snapshot: Snapshot) -> list[str] | None:
    """One search for several orders of one key with literals of one type; None where they may mean several values."""
    key = conditions[0].key
    places = snapshot.places(key)
    tests = [drivers(condition, snapshot.bind) for condition in conditions]
    if entity_field(key) is not None or len(places) != 1 or not places[0].indexed or None in tests:
        return None
    # Alternatives come in one order (numbers, then numbers stored as text): a value passes the same one of each.
    pairs = zip(*filter(None, tests), strict=False) if all(tests) else ()
    both = [Branch(" AND ".join(test.sql for test in pair), all(test.indexed for test in pair)) for pair in pairs]
    return [_search(places[0], test, snapshot, ever=False) for test in both]


def _search(place: KeyPaths, test: Branch, snapshot: Snapshot, ever: bool) -> str:
    path = snapshot.bind(place.paths[0])
    if snapshot.as_of is None and not ever:
        found = value_index.of_heads(path, test.sql, test.indexed)
    else:
        found = value_index.of_history(path, test.sql, snapshot.at or None)
    if place.step is None:
        return found
    return (
        f"SELECT r.entity_id FROM ({found}) f CROSS JOIN entities s ON s.entity_id = f.entity_id"
        " CROSS JOIN entities r ON r.project = s.project AND r.kind = 'run' AND r.run = '' AND r.name = s.run"
        f" AND r.version = '' WHERE s.kind = 'step' AND s.name = {snapshot.bind(place.step)}"
    )


def _entity_searches(field: str, condition: ast.Condition, snapshot: Snapshot) -> list[str] | None:
    match condition:
        case ast.Compare(_, "=", str(value)):
            values = [value]
        case ast.In(_, several, False):
            values = [value for value in several if isinstance(value, str)]
        case _:
            return None
    if (field, snapshot.kind == "step") not in {("name", False), ("run", True)} or snapshot.kind in (None, "run"):
        return None
    column = "name" if field == "name" else "run"
    rest = " AND e.run = ''" if field == "name" else ""
    listed = ", ".join(map(snapshot.bind, values))
    return [
        f"SELECT e.entity_id FROM entities e WHERE e.project = {snapshot.project} AND e.kind ="
        f" {snapshot.bind(snapshot.kind)}{rest} AND e.{column} IN ({listed})"
    ]
