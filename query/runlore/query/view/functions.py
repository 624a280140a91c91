"""Comparisons that SQL cannot make: exact numbers beyond 64 bits, times with zones, elements of collections."""

from __future__ import annotations

import decimal
import functools
import json
import operator
from collections.abc import Callable
from typing import Any, cast

from runlore.query.time.iso import iso_micros
from runlore.schemas.values import decode_value
from runlore.store.cells import from_cell, to_cell
from runlore.store.sqlite import sqlite

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_NOTHING = object()
_LARGE = 10_000
"""Bytes or characters of a cell."""


def register(connection: sqlite.Connection) -> None:
    """Make the functions known to a connection."""
    functions: tuple[tuple[str, int, Callable[..., Any]], ...] = (
        ("runlore_number", 3, _number),
        ("runlore_micros", 1, _micros),
        ("runlore_holds", 3, _holds),
        ("runlore_part_type", 3, _part_type),
        ("runlore_part_value", 3, _part_value),
    )
    for name, count, function in functions:
        connection.create_function(name, count, function, deterministic=True)


def _number(cell: Any, op: str, numbers: str) -> bool:
    """Return whether a number stored as text compares so with one of some decimals, parted by spaces."""
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
    return iso_micros(cell) if isinstance(cell, str) else None


def _holds(kind: str, cell: Any, wanted: bytes) -> bool:
    """Return whether a stored collection holds an element; True is never 1, and not-a-number is itself."""
    value = _decoded(wanted)
    return any(_same(item, value) for item in from_cell(kind, cell))


@functools.lru_cache(100)
def _decoded(wanted: bytes) -> Any:
    return decode_value(wanted)


def _same(item: Any, wanted: Any) -> bool:
    if isinstance(item, bool) or isinstance(wanted, bool):
        return item is wanted
    if _is_nan(item) or _is_nan(wanted):
        return _is_nan(item) and _is_nan(wanted)
    return bool(item == wanted)


def _is_nan(item: Any) -> bool:
    # To compare a signalling NaN is an error.
    return item.is_nan() if isinstance(item, decimal.Decimal) else bool(item != item)


def _part(kind: str, cell: Any, path: str) -> tuple[str | None, Any]:
    # A cache keeps its cells in memory, and one may have megabytes: of those only the last ones.
    large = isinstance(cell, (str, bytes)) and len(cell) > _LARGE
    return (_part_of_large if large else _part_of_small)(kind, cell, path)


def _find_part(kind: str, cell: Any, path: str) -> tuple[str | None, Any]:
    """Type and cell of what a stored dict holds at a path (a JSON list), both None where it holds nothing."""
    value: Any = from_cell(kind, cell) if kind == "dict" else None
    parts: list[str] = json.loads(path)
    for at, part in enumerate(parts):
        if not isinstance(value, dict):
            return None, None
        whole = ".".join(parts[at:])
        found = cast(dict[str, Any], value)
        if part not in found and whole in found:
            return to_cell(found[whole])[:2]  # a parameter that holds dots
        value = found.get(part, _NOTHING)
    return (None, None) if value is _NOTHING else to_cell(value)[:2]


_part_of_small = functools.lru_cache(2000)(_find_part)
_part_of_large = functools.lru_cache(4)(_find_part)


def _part_type(kind: str, cell: Any, path: str) -> str | None:
    return _part(kind, cell, path)[0]


def _part_value(kind: str, cell: Any, path: str) -> Any:
    return _part(kind, cell, path)[1]
