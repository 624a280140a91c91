"""Comparison tables: their columns, and a small cache, so that all parts of one table are fast."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Literal

from runlore.dashboard.visit import NotYetCreatedError, Visit, at_moment
from runlore.query import Client, Comparison, Entity
from runlore.schemas.errors import ArgumentError

Best = Literal["max", "min"]
MAX_COLUMNS = 500
_KEPT = 2
_lock = threading.Lock()
_tables: OrderedDict[tuple[object, ...], Comparison] = OrderedDict()


def comparison_of(visit: Visit) -> Comparison:
    """Return the table of `ref=…&ref=…&at=…`: each entity at each moment; without `at`, at that of the visit."""
    references = list(dict.fromkeys(ref.strip() for ref in visit.params.getlist("ref") if ref.strip()))
    moments = [visit.now.moment_of(at, visit.clock) for at in visit.params.getlist("at") if at.strip()]
    if len(references) * max(1, len(moments)) > MAX_COLUMNS:
        raise ArgumentError(f"at most {MAX_COLUMNS} columns can be compared at once")
    best = best_of(visit)
    scope = visit.client.scope
    known = (scope, tuple(references), tuple(moments), scope.reader.generation, visit.head, best)
    with _lock:
        if known in _tables:
            _tables.move_to_end(known)
            return _tables[known]
    clients = [at_moment(visit.client, moment) for moment in moments] or [visit.client]
    entities: list[Entity] = [_column(visit, ref, client) for ref in references for client in clients]
    table = Comparison(entities, best)
    with _lock:
        _tables[known] = table
        while len(_tables) > _KEPT:
            _tables.popitem(last=False)
    return table


def _column(visit: Visit, reference: str, client: Client) -> Entity:
    """Return an entity at the moment of a client; one that was created later has no values there."""
    try:
        return visit.find_entity(reference, client)
    except NotYetCreatedError as error:
        return error.entity


def best_of(visit: Visit) -> Best | None:
    """Return `best=max` or `best=min`: whether the highest or the lowest number of a row is highlighted."""
    match visit.text("best"):
        case "":
            return None
        case "max":
            return "max"
        case "min":
            return "min"
        case other:
            raise ArgumentError(f"best must be max or min, not {other[:40]!r}")
