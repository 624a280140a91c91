"""Finding entities: the page of a question, by the cheapest of three ways.

1. A condition is selective: visit each entity of its index range, sort what fits.
2. Nothing is: walk in the wanted order (of creation, or the index on one key's values) until the page is full.
3. The order has no index (a field of the entity, values that SQLite cannot sort): sort everything that fits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from runlore.query.filters import ast
from runlore.query.filters.checks import entity_field
from runlore.query.filters.conditions import Binder
from runlore.query.filters.order import Row, question, rank, read_cursor, write_cursor
from runlore.query.filters.parse import Where, parse, parse_key
from runlore.query.filters.plan import NOTHING, driver
from runlore.query.filters.snapshot import Snapshot
from runlore.query.filters.sql import NUMERIC_VERSION, filter_sql
from runlore.query.filters.walk import KeyWalk
from runlore.query.lookup import COLUMNS
from runlore.query.moments import AsOf, Moment, check_limit, last_recorded
from runlore.schemas.errors import FilterError, InvalidReferenceError, MomentError

if TYPE_CHECKING:
    from runlore.query.client import Client
    from runlore.query.entities import Entity

NO_VERSIONS = "('run', 'step', 'pipeline')"


class Found(list["Entity"]):
    """A page of entities, in order.

    `cursor` is for the next page, None at the end. `position` is what the page is complete to.
    """

    def __init__(self, entities: Iterable[Entity], cursor: str | None, position: int) -> None:
        super().__init__(entities)
        self.cursor, self.position = cursor, position


class Search:
    """One question to one state of the view. Use it inside one read transaction."""

    def __init__(self, client: Client, kind: str | None, where: ast.Expression | None, as_of: int | None) -> None:
        self._reader, self._where = client.reader, where
        self.bind = Binder()
        self.snapshot = Snapshot(client.reader, client.project, kind, as_of, self.bind)
        conditions = [f"e.project = {self.snapshot.project}"]
        if kind is None:
            conditions.append(f"(e.version != '' OR e.kind IN {NO_VERSIONS})")
        else:
            conditions.append(f"e.kind = {self.bind(kind)}")
            if f"'{kind}'" not in NO_VERSIONS:
                conditions.append("e.version != ''")
        if as_of is not None:
            conditions.append(f"e.created_position <= {self.snapshot.at}")
        if where is not None:
            # One conjunct each: the planner bounds its walk by those on `created`.
            items = where.items if isinstance(where, ast.And) else (where,)
            conditions += [filter_sql(item, self.snapshot, self._position_at) for item in items]
        self.conditions = " AND ".join(conditions)

    def _position_at(self, micros: int) -> int:
        return last_recorded(self._reader, micros)

    def rows(self, sql: str) -> list[Row]:
        """Run a select of entity ID, created and, if ordered by a value, type and value."""
        return [Row(*row) for row in self._reader.rows(sql, self.bind.values)]

    def page(self, order: ast.Key | None, descending: bool, after: Row | None, limit: int) -> list[Row]:
        """At most `limit` rows after one."""
        by_creation = order is None or entity_field(order) == "created"
        newest_first = order is None or descending
        chosen = driver(self._where, self.snapshot, self._reader)
        source = "entities e"
        if chosen is not None:
            union = " UNION ".join(chosen) or NOTHING
            source = f"({union}) d CROSS JOIN entities e ON e.entity_id = d.entity_id"
        if by_creation:
            return self.by_creation(source, newest_first, after, limit)
        assert order is not None
        if chosen is None:
            walk = KeyWalk.of(self, order, self._where, after)
            if walk is not None:
                return walk.page(descending, after, limit)
        return _sorted(self._valued(source, order), descending, after, limit)

    def by_creation(self, source: str, newest_first: bool, after: Row | None, limit: int, more: str = "") -> list[Row]:
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

    def _valued(self, source: str, order: ast.Key) -> list[Row]:
        """Everything that fits, with the value to order by: the first there is of the places it may have."""
        own = self.snapshot.entity_value(order)
        if own is not None and entity_field(order) == "version":
            pairs = [(f"iif({NUMERIC_VERSION}, 'int', 'str')", f"iif({NUMERIC_VERSION}, e.version_number, {own})")]
        elif own is not None:
            pairs = [("'str'", own)]
        else:
            pairs = [self.snapshot.latest(place) for place in self.snapshot.places(order)]
        columns = "".join(f", {kind}, {value}" for kind, value in pairs)
        found = self._reader.rows(
            f"SELECT e.entity_id, e.created_position{columns} FROM {source} WHERE {self.conditions}", self.bind.values
        )
        return [Row(row[0], row[1], *_first(row[2:])) for row in found]


def _first(cells: tuple[Any, ...]) -> tuple[Any, Any]:
    return next((cells[at : at + 2] for at in range(0, len(cells), 2) if cells[at + 1] is not None), (None, None))


def _sorted(rows: list[Row], descending: bool, after: Row | None, limit: int) -> list[Row]:
    valued = sorted((row for row in rows if row.value is not None), key=rank, reverse=descending)
    bare = sorted((row for row in rows if row.value is None), key=lambda row: row.entity_id, reverse=True)
    if after is not None and after.value is not None:
        border = rank(after)
        valued = [row for row in valued if (rank(row) < border if descending else rank(row) > border)]
    elif after is not None:
        valued, bare = [], [row for row in bare if row.entity_id < after.entity_id]
    return [*valued, *bare][:limit]


def find(
    client: Client,
    kind: str | None,
    where: Where | None,
    order_by: str | None,
    descending: bool,
    limit: int,
    after: str | None,
    as_of: AsOf | None,
) -> Found:
    """See `Client.find`."""
    try:
        check_limit(limit)
    except InvalidReferenceError as error:
        raise FilterError(str(error)) from None
    if client.clock == "occurred":
        raise MomentError("what fits a filter cannot be read by the producers' clocks: leave out the clock `occurred`")
    expression = parse(where)
    order = None if order_by is None else parse_key(order_by)
    with client.reader.read():
        moment = client.moment if as_of is None else client.moment_of(as_of)
        position = moment.recorded("what fits a filter")
        asked = question(client.project, kind, expression, order, descending, position)
        row = None if after is None else read_cursor(after, asked)
        state = client.reader.one("SELECT position FROM view_state")
        assert state is not None
        head = int(state[0])
        # A position that is not reached yet reads as the latest does, and that is cheaper.
        search = Search(client, kind, expression, None if position >= head else position)
        page = search.page(order, descending, row, limit + 1)
        cursor = write_cursor(asked, page[limit - 1]) if len(page) > limit else None
        entities = _entities(client, [row.entity_id for row in page[:limit]], moment)
    return Found(entities, cursor, min(head, position))


def _entities(client: Client, ids: list[int], moment: Moment) -> list[Entity]:
    rows = client.reader.rows(
        f"SELECT {COLUMNS} FROM entities WHERE entity_id IN (SELECT value FROM json_each(?))", (str(ids),)
    )
    by_id = {row[0]: row for row in rows}
    return [client.entity(by_id[entity_id], moment) for entity_id in ids]
