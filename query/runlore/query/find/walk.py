"""Walking the index on one key's values, in order, until a page is full."""

from __future__ import annotations

from runlore.query.find import ast
from runlore.query.find.checks import entity_field
from runlore.query.find.conditions import drivers
from runlore.query.find.order import NUMERIC, FoundRow, odd_offset
from runlore.query.find.snapshot import KeyPaths
from runlore.query.find.statement import Search
from runlore.query.view.value_index import SHORT, SINCE, VALUED
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
        path = search.bind(place.paths[0])
        # What the index holds of heads that are the same since, and the heads that are not.
        entity = "CROSS JOIN entities e ON e.entity_id = h.entity_id"
        head = f"SELECT n.position FROM heads n WHERE n.entity_id = h.entity_id AND n.path_id = {path}"
        self._sources = (
            f"head_values h {entity} WHERE h.path_id = {path} AND h.value IS NOT NULL AND ({head}) <= {VALUED}",
            f"{SINCE} c CROSS JOIN heads h ON h.entity_id = c.entity_id AND h.path_id = {path} {entity}"
            f" WHERE h.position > {VALUED} AND {SHORT}",
        )
        self._bounds = self._own_bounds(key, where)

    @classmethod
    def of(cls, search: Search, key: ast.Key, where: ast.Expression | None, after: FoundRow | None) -> KeyWalk | None:
        """The walk of a key, None when its order needs another way: as of a moment no index has it."""
        if search.snapshot.as_of is not None:
            return None
        places = search.snapshot.places(key)
        if entity_field(key) is not None or len(places) != 1 or places[0].step is not None or not places[0].indexed:
            return None
        walk = cls(search, places[0], key, where)
        return None if walk._is_odd() or (after is not None and _odd(after)) else walk

    def _is_odd(self) -> bool:
        return any(
            self._search.rows(f"SELECT 1, 1 FROM {source} AND {test} LIMIT 1")
            for test in (_ODD, _ODD_NAMES)
            for source in self._sources
        )

    def _own_bounds(self, key: ast.Key, where: ast.Expression | None) -> str:
        """Conditions on the key itself: they bound the walk."""
        found = ""
        for item in where.items if isinstance(where, ast.And) else (where,):
            if isinstance(item, ast.Compare) and item.key == key and isinstance(item.value, ast.NumberLiteral):
                # The first alternative only: the others are about numbers stored as text, and there are none.
                tests = drivers(item, self._search.bind)
                found += f" AND {tests[0].sql} AND {SHORT}" if tests else ""
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
        place = ""
        if after is not None:
            cells = f"{bind(after.value)}, {bind(after.type)}, {bind(after.entity_id)}"
            place = f" AND (h.value, h.type, h.entity_id) {'<' if descending else '>'} ({cells})"
        arms = [
            f"SELECT h.entity_id, e.created_position, h.type, h.value FROM {source}{self._bounds}{place}"
            f" AND h.type NOT IN {ENDED_SQL} AND {self._search.conditions}"
            for source in self._sources
        ]
        # SQLite merges the two: each comes in this order, the first by its index, and is read as far as needed.
        return self._search.rows(f"{' UNION ALL '.join(arms)} ORDER BY 4{way}, 3{way}, 1{way} LIMIT {bind(limit)}")

    def _without_value(self, after: FoundRow | None, limit: int) -> list[FoundRow]:
        _, value = self._search.snapshot.latest(self._place)
        return self._search.by_creation("entities e", True, after, limit, f" AND {value} IS NULL")


def _odd(row: FoundRow) -> bool:
    if not isinstance(row.value, str) or row.type is None:
        return False
    return row.type in NUMERIC or (row.type == "datetime" and odd_offset(row.value))
