"""Finding entities: the page of a question, by the cheapest of three ways.

1. A condition is selective: visit each entity of its index range, sort what matches.
2. Nothing is: walk in the wanted order (of creation, of names, of one key's values) until the page is full.
3. The order has no index (a field of the entity, values that SQLite cannot sort): sort everything that matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runlore.query.entities import PipelineRun, read_names
from runlore.query.entity import Entity, entities_of
from runlore.query.find import ast
from runlore.query.find.checks import entity_field
from runlore.query.find.order import FoundRow, query_fingerprint, rank, read_cursor, write_cursor
from runlore.query.find.parse import Filters, parse, parse_key
from runlore.query.find.plan import NOTHING, driver
from runlore.query.find.statement import Search
from runlore.query.find.unknown import UnknownKey, unknown_keys
from runlore.query.find.walk import KeyWalk
from runlore.query.frames import Frame, Framed
from runlore.query.scope import Scope
from runlore.query.tables import table_of
from runlore.query.time.moment import AsOf, check_limit
from runlore.schemas.errors import ArgumentError, FilterError, MomentError


class Found(list[Entity], Framed):
    """A page of entities, in order.

    `cursor` is for the next page, None at the end. `position` is what the page is complete to. `unknown` says which
    keys of the question no entity has, and what may have been meant: why an answer is empty.
    """

    def __init__(
        self, entities: Iterable[Entity], cursor: str | None, position: int, unknown: Iterable[UnknownKey] = ()
    ) -> None:
        super().__init__(entities)
        self.cursor, self.position, self.unknown = cursor, position, list(unknown)

    def to_frame(self, columns: Sequence[str] | None = None) -> Frame:
        """A row for each entity; see `Client.frame`."""
        frame = table_of(self, columns)
        frame.position = self.position
        return frame


def _page(
    search: Search, order: ast.Key | None, descending: bool, after: FoundRow | None, limit: int
) -> list[FoundRow]:
    """At most `limit` rows after one."""
    by_creation = order is None or entity_field(order) == "created"
    newest_first = order is None or descending
    chosen = driver(search.where, search.snapshot, search.reader)
    source = "entities e"
    if chosen is not None:
        # One search may find an entity twice: as it was indexed, and as it is.
        union = f"SELECT DISTINCT entity_id FROM ({' UNION ALL '.join(chosen) or NOTHING})"
        source = f"({union}) d CROSS JOIN entities e ON e.entity_id = d.entity_id"
    if by_creation:
        return search.by_creation(source, newest_first, after, limit)
    assert order is not None
    if chosen is None and entity_field(order) == "name" and search.walks_names:
        return search.by_name(descending, after, limit)
    if chosen is None:
        walk = KeyWalk.of(search, order, search.where, after)
        if walk is not None:
            return walk.page(descending, after, limit)
    return _sorted(search.valued(source, order), descending, after, limit)


def _sorted(rows: list[FoundRow], descending: bool, after: FoundRow | None, limit: int) -> list[FoundRow]:
    valued = sorted((row for row in rows if row.value is not None), key=rank, reverse=descending)
    bare = sorted((row for row in rows if row.value is None), key=lambda row: row.entity_id, reverse=True)
    if after is not None and after.value is not None:
        border = rank(after)
        valued = [row for row in valued if (rank(row) < border if descending else rank(row) > border)]
    elif after is not None:
        valued, bare = [], [row for row in bare if row.entity_id < after.entity_id]
    return [*valued, *bare][:limit]


def find(
    scope: Scope,
    kind: str | None,
    where: Filters | None,
    order_by: str | None,
    descending: bool,
    limit: int,
    after: str | None,
    as_of: AsOf | None,
) -> Found:
    """See `Client.find`."""
    try:
        check_limit(limit)
    except ArgumentError as error:
        raise FilterError(str(error)) from None
    if scope.clock == "occurred":
        raise MomentError("filters cannot be read by the producers' clocks: leave out the clock `occurred`")
    expression = parse(where)
    order = None if order_by is None else parse_key(order_by)
    with scope.reader.read():
        scope = scope if as_of is None else scope.at(scope.moment_of(as_of))
        position = scope.moment.recorded("a filter")
        fingerprint = query_fingerprint(scope.project, kind, expression, order, descending, position)
        row = None if after is None else read_cursor(after, fingerprint, scope.reader.shard)
        head = scope.head
        # A position that is not reached yet reads as the latest does, and that is cheaper.
        search = Search(scope, kind, expression, None if position >= head else position)
        page = _page(search, order, descending, row, limit + 1)
        cursor = write_cursor(fingerprint, page[limit - 1], scope.reader.shard) if len(page) > limit else None
        entities = entities_of(scope, [row.entity_id for row in page[:limit]])
        read_names([run for run in entities if isinstance(run, PipelineRun)])
        keys = [*([] if expression is None else ast.keys_of(expression)), *([] if order is None else [order])]
        unknown = unknown_keys(scope, kind, keys, of_kind=not entities)
    return Found(entities, cursor, min(head, position), unknown)
