"""What SQL cannot compare: exact numbers beyond 64 bits, times with zones, elements of collections."""

from __future__ import annotations

import decimal
import functools
import operator
import sqlite3
from collections.abc import Callable
from typing import Any

from runlore.query.filters.literals import time
from runlore.schemas.cells import from_cell
from runlore.schemas.values import decode_value

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def register(connection: sqlite3.Connection) -> None:
    """Make the functions known to a connection."""
    for name, count, function in (
        ("runlore_number", 3, _number),
        ("runlore_micros", 1, _micros),
        ("runlore_holds", 3, _holds),
    ):
        connection.create_function(name, count, function, deterministic=True)


def _number(cell: Any, op: str, numbers: str) -> bool:
    """Whether a number stored as text compares so with one of some decimals, parted by spaces."""
    found = exact(cell)
    if found is None or found.is_nan():
        return False  # not-a-number is equal by name, see `conditions`
    return any(COMPARE[op](found, wanted) for wanted in _wanted(numbers))


@functools.lru_cache(100)
def _wanted(numbers: str) -> tuple[decimal.Decimal, ...]:
    return tuple(map(decimal.Decimal, numbers.split()))


def exact(cell: Any) -> decimal.Decimal | None:
    """The number of a text cell."""
    try:
        return decimal.Decimal(cell)
    except (decimal.InvalidOperation, ValueError, TypeError):
        return None


def _micros(cell: Any) -> int | None:
    """Microseconds since 1970 of a stored date or datetime; without a zone it is UTC."""
    moment = time(cell) if isinstance(cell, str) else None
    return None if moment is None else moment.micros


def _holds(kind: str, cell: Any, wanted: bytes) -> bool:
    """Whether a stored collection holds an element; True is never 1, and not-a-number is itself."""
    value = _decoded(wanted)
    return any(_same(item, value) for item in from_cell(kind, cell))


@functools.lru_cache(100)
def _decoded(wanted: bytes) -> Any:
    return decode_value(wanted)


def _same(item: Any, wanted: Any) -> bool:
    if isinstance(item, bool) or isinstance(wanted, bool):
        return item is wanted
    if item != item and wanted != wanted:
        return True
    return bool(item == wanted)
