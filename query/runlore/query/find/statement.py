"""One question to one state of the view: the conditions and the rows that fit them."""

from __future__ import annotations

from typing import Any

from runlore.query.find import ast
from runlore.query.find.checks import entity_field
from runlore.query.find.conditions import Binder
from runlore.query.find.order import FoundRow
from runlore.query.find.snapshot import Snapshot
from runlore.query.find.sql import NUMERIC_VERSION, filter_sql
from runlore.query.scope import Scope
from runlore.query.view.log_clock import last_recorded
from runlore.schemas.references import UNVERSIONED_KINDS
from runlore.store.kinds import is_instance


class Search:
    """One question to one state of the view. Use it inside one read transaction."""

    def __init__(self, scope: Scope, kind: str | None, where: ast.Expression | None, as_of: int | None) -> None:
        self.reader, self.where = scope.reader, where
        self.bind = Binder()
        self.snapshot = Snapshot(scope.reader, scope.project, kind, as_of, self.bind)
        conditions = [f"e.project = {self.snapshot.project}"]
        if kind is None:
            conditions.append(is_instance("e."))
        else:
            conditions.append(f"e.kind = {self.bind(kind)}")
            if kind not in UNVERSIONED_KINDS:
                conditions.append("e.version != ''")
        if as_of is not None:
            conditions.append(f"e.created_position <= {self.snapshot.at}")
        if where is not None:
            # One conjunct each: the planner bounds its walk by those on `created`.
            items = where.items if isinstance(where, ast.And) else (where,)
            conditions += [filter_sql(item, self.snapshot, self._position_at) for item in items]
        self.conditions = " AND ".join(conditions)

    def _position_at(self, micros: int) -> int:
        return last_recorded(self.reader, micros)

    def rows(self, sql: str) -> list[FoundRow]:
        """Run a select of entity ID, created and, if ordered by a value, type and value."""
        return [FoundRow(*row) for row in self.reader.rows(sql, self.bind.values)]

    def by_creation(
        self, source: str, newest_first: bool, after: FoundRow | None, limit: int, more: str = ""
    ) -> list[FoundRow]:
        """At most `limit` rows in the order of creation, after one."""
        way, step = (" DESC", "<") if newest_first else ("", ">")
        # IDs are handed out in the order of creation: without a kind they are the index.
        columns = ("e.entity_id",) if self.snapshot.kind is None else ("e.created_position", "e.entity_id")
        if after is not None:
            border = (after.created, after.entity_id)[-len(columns) :]
            more += f" AND ({', '.join(columns)}) {step} ({', '.join(map(self.bind, border))})"
        order = ", ".join(column + way for column in columns)
        return self.rows(
            f"SELECT e.entity_id, e.created_position FROM {source} WHERE {self.conditions}{more}"
            f" ORDER BY {order} LIMIT {self.bind(limit)}"
        )

    @property
    def walks_names(self) -> bool:
        """True if the index on entities has them in the order of their names."""
        return self.snapshot.kind not in (None, "run", "step")  # a run goes by another name, steps are within runs

    def by_name(self, descending: bool, after: FoundRow | None, limit: int) -> list[FoundRow]:
        """At most `limit` rows in the order of names, after one."""
        way, step, more = (" DESC", "<", "") if descending else ("", ">", "")
        if after is not None:
            more = f" AND (e.name, e.entity_id) {step} ({self.bind(after.value)}, {self.bind(after.entity_id)})"
        return self.rows(
            f"SELECT e.entity_id, e.created_position, 'str', e.name FROM entities e WHERE {self.conditions}"
            f" AND e.run = ''{more} ORDER BY e.name{way}, e.entity_id{way} LIMIT {self.bind(limit)}"
        )

    def valued(self, source: str, order: ast.Key) -> list[FoundRow]:
        """Everything that fits, with the value to order by: the first there is of the places it may have."""
        own = self.snapshot.entity_value(order)
        if own is not None and entity_field(order) == "version":
            pairs = [(f"iif({NUMERIC_VERSION}, 'int', 'str')", f"iif({NUMERIC_VERSION}, e.version_number, {own})")]
        elif own is not None:
            pairs = [("'str'", own)]
        else:
            pairs = [self.snapshot.latest(place) for place in self.snapshot.places(order)]
        columns = "".join(f", {kind}, {value}" for kind, value in pairs)
        found = self.reader.rows(
            f"SELECT e.entity_id, e.created_position{columns} FROM {source} WHERE {self.conditions}", self.bind.values
        )
        return [FoundRow(row[0], row[1], *_first(row[2:])) for row in found]


def _first(cells: tuple[Any, ...]) -> tuple[Any, Any]:
    return next((cells[at : at + 2] for at in range(0, len(cells), 2) if cells[at + 1] is not None), (None, None))
