"""Walking the index on one key's values, in order, until a page is full."""

from __future__ import annotations

from runlore.query.find import ast
from runlore.query.find.checks import entity_field
from runlore.query.find.conditions import drivers
from runlore.query.find.order import NUMERIC, FoundRow, odd_offset
from runlore.query.find.snapshot import KeyPaths
from runlore.query.find.statement import Search
from runlore.query.view.value_index import SHORT
from runlore.store.cells import ENDED_SQL

# What SQLite sorts in another way than `order.rank`: numbers stored as text, and times with an offset.
_ODD = f"""h.value >= '+' AND h.value < ':' AND (h.type IN {NUMERIC} OR h.type = 'datetime' AND (
    substr(h.value, -6, 1) IN ('+', '-') AND substr(h.value, -6) != '+00:00'
    OR substr(h.value, -9, 1) IN ('+', '-')))"""
_ODD_NAMES = "h.value IN ('nan', 'NaN', 'sNaN', 'Infinity') AND h.type IN ('float', 'decimal')"


class KeyWalk:
    """Pages in the order of a key that has one path and whose values SQLite sorts as we do."""

    def __init__(self, search: Search, place: KeyPaths, key: ast.Key, where: ast.Expression | None) -> None:
        self._search, self._place = search, place
        bind, snapshot = search.bind, search.snapshot
        self._table = "heads" if snapshot.as_of is None else "history"
        self._rows = f"h.path_id = {bind(place.paths[0])} AND {SHORT}"
        if snapshot.at:
            self._rows += f" AND h.position <= {snapshot.at}"
        self._bounds = self._own_bounds(key, where)

    @classmethod
    def of(cls, search: Search, key: ast.Key, where: ast.Expression | None, after: FoundRow | None) -> KeyWalk | None:
        """The walk of a key, None when its order needs another way."""
        places = search.snapshot.places(key)
        if entity_field(key) is not None or len(places) != 1 or places[0].step is not None or not places[0].indexed:
            return None
        walk = cls(search, places[0], key, where)
        return None if walk._is_odd() or (after is not None and _odd(after)) else walk

    def _is_odd(self) -> bool:
        return any(
            self._search.rows(f"SELECT 1, 1 FROM {self._table} h WHERE {self._rows} AND {test} LIMIT 1")
            for test in (_ODD, _ODD_NAMES)
        )

    def _own_bounds(self, key: ast.Key, where: ast.Expression | None) -> str:
        """Conditions on the key itself: they bound the walk."""
        found = ""
        for item in where.items if isinstance(where, ast.And) else (where,):
            if isinstance(item, ast.Compare) and item.key == key and isinstance(item.value, ast.NumberLiteral):
                # The first alternative only: the others are about numbers stored as text, and there are none.
                tests = drivers(item, self._search.bind)
                found += f" AND {tests[0]}" if tests else ""
        return found

    def page(self, descending: bool, after: FoundRow | None, limit: int) -> list[FoundRow]:
        """At most `limit` rows after one: first those with a value, then those without, newest first."""
        found: list[FoundRow] = []
        if after is None or after.value is not None:
            found = self._with_value(descending, after, limit)
            after = None
        if len(found) < limit and not self._bounds:
            found += self._without_value(after, limit - len(found))
        return found

    def _with_value(self, descending: bool, after: FoundRow | None, limit: int) -> list[FoundRow]:
        bind, way = self._search.bind, " DESC" if descending else ""
        place, current = "", ""
        if after is not None:
            cells = f"{bind(after.value)}, {bind(after.type)}, {bind(after.entity_id)}"
            place = f" AND (h.value, h.type, h.entity_id) {'<' if descending else '>'} ({cells})"
        if self._search.snapshot.at:
            current = (
                " AND h.position = (SELECT max(m.position) FROM history m WHERE m.entity_id = h.entity_id"
                f" AND m.path_id = h.path_id AND m.position <= {self._search.snapshot.at})"
            )
        return self._search.rows(
            f"SELECT e.entity_id, e.created_position, h.type, h.value FROM {self._table} h"
            f" CROSS JOIN entities e ON e.entity_id = h.entity_id WHERE {self._rows}{self._bounds}{place}"
            f" AND h.type NOT IN {ENDED_SQL}{current} AND {self._search.conditions}"
            f" ORDER BY h.value{way}, h.type{way}, h.entity_id{way} LIMIT {bind(limit)}"
        )

    def _without_value(self, after: FoundRow | None, limit: int) -> list[FoundRow]:
        _, value = self._search.snapshot.latest(self._place)
        return self._search.by_creation("entities e", True, after, limit, f" AND {value} IS NULL")


def _odd(row: FoundRow) -> bool:
    if not isinstance(row.value, str) or row.type is None:
        return False
    return row.type in NUMERIC or (row.type == "datetime" and odd_offset(row.value))
