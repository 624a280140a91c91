"""What filters mean, in plain Python over plain dicts: the tests compare `find` with it."""

from __future__ import annotations

import datetime as dt
import decimal
import fnmatch
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from runlore.query.find import ast
from runlore.schemas import DType, Path, Uri

TEXTS = (str, Uri, Path, DType, uuid.UUID)
Leaves = dict[tuple[str, ...], Any]


def leaves_of(metadata: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in metadata.items():
        if isinstance(value, dict) and value:
            yield from leaves_of(value, (*prefix, key))
        else:
            yield (*prefix, key), value


class Known:
    """One entity: its leaves now, and those of every earlier position."""

    def __init__(self, states: list[dict[str, Any]], name: str, version: str, created: int) -> None:
        self.states = [dict(leaves_of(state)) for state in states]
        self.name, self.version, self.created = name, version, created

    def fits(self, expression: ast.Expression) -> bool:
        match expression:
            case ast.And(items):
                return all(map(self.fits, items))
            case ast.Or(items):
                return any(map(self.fits, items))
            case ast.Not(inner):
                return not self.fits(inner)
            case ast.Ever(condition):
                return any(self._holds(condition, state) for state in self.states)
            case _:
                return self._holds(expression, self.states[-1])

    def _holds(self, condition: ast.Condition, leaves: Leaves) -> bool:
        parts = condition.key.parts
        spellings = [parts] if condition.key.quoted else [parts, (".".join(parts),)]
        if parts == ("name",) and not condition.key.quoted:
            return isinstance(condition, ast.Exists) or satisfies(self.name, condition)
        if isinstance(condition, ast.Exists):
            return any(path[: len(spelling)] == spelling for path in leaves for spelling in spellings)
        return any(
            satisfies(leaves[spelling], condition) for spelling in dict.fromkeys(spellings) if spelling in leaves
        )


def satisfies(value: Any, condition: ast.Condition) -> bool:
    match condition:
        case ast.Compare(_, "!=", wanted):
            return not compares(value, "=", wanted)
        case ast.Compare(_, op, wanted):
            return compares(value, op, wanted)
        case ast.In(_, several, negated):
            return any(compares(value, "=", wanted) for wanted in several) != negated
        case ast.Matches(_, glob, negated):
            fits = isinstance(value, TEXTS) and re.match(fnmatch.translate(glob), str(value)) is not None
            return fits != negated
        case ast.Contains(_, wanted, negated):
            return contains(value, wanted) != negated
        case _:
            raise AssertionError(condition)


def contains(value: Any, wanted: ast.Literal) -> bool:
    if isinstance(value, TEXTS):
        return isinstance(wanted, str) and wanted in str(value)
    if not isinstance(value, (list, tuple, set, frozenset)):
        return False
    plain = wanted.value if isinstance(wanted, ast.NumberLiteral) else wanted
    return any(same(item, plain) for item in value)


def same(item: Any, wanted: Any) -> bool:
    if isinstance(item, bool) or isinstance(wanted, bool):
        return item is wanted
    return (item != item and wanted != wanted) or item == wanted


def compares(value: Any, op: str, wanted: ast.Literal) -> bool:
    match value, wanted:
        case (bool(), bool()) | (None, None):
            return op == "=" and value is wanted
        case (bool(), _) | (_, bool()):
            return False
        case (int() | float() | decimal.Decimal(), ast.NumberLiteral()):
            return number(value, op, wanted)
        case (dt.timedelta(), ast.Duration()):
            return ordered(value // dt.timedelta(microseconds=1), op, wanted.value)
        case (dt.date(), ast.Time() | str()):
            moment = micros(wanted)
            return moment is not None and ordered(micros(value), op, moment)
        case (str() | uuid.UUID(), str()):
            return ordered(str(value), op, wanted)
        case _:
            return False


def number(value: Any, op: str, wanted: ast.NumberLiteral) -> bool:
    if value != value or wanted.value != wanted.value:
        return op == "=" and value != value and wanted.value != wanted.value
    # What is stored as text is compared with the decimal as it was written.
    exact = isinstance(value, decimal.Decimal) or (isinstance(value, int) and not -(2**63) <= value < 2**63)
    if exact and len(str(value)) > 200:
        return False
    return ordered(value, op, wanted.exact if exact else wanted.value)


def micros(value: Any) -> int | None:
    if isinstance(value, ast.Time):
        return value.micros
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def ordered(value: Any, op: str, wanted: Any) -> bool:
    return {
        "=": value == wanted, "<": value < wanted, "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted,
    }[op]  # fmt: skip


# -- order -------------------------------------------------------------------------------------------


def order_value(leaves: Leaves, paths: Iterable[tuple[str, ...]]) -> tuple[Any, ...] | None:
    """What an entity is ordered by, None for what comes last."""
    for path in paths:
        value = leaves.get(path)
        if value is not None and len(as_text(value)) <= 200:
            return rank(value)
    return None


def as_text(value: Any) -> str:
    return str(value) if not isinstance(value, int) else str(int(value))


def rank(value: Any) -> tuple[Any, ...]:
    if isinstance(value, dt.timedelta):
        return 0, value // dt.timedelta(microseconds=1)
    if isinstance(value, (int, float, decimal.Decimal)):
        return (1, 0) if value != value else (0, value)
    if isinstance(value, dt.datetime):
        return 2, (value if value.tzinfo is None else value.astimezone(dt.UTC)).isoformat()
    if isinstance(value, dt.date):
        return 2, value.isoformat()
    if isinstance(value, TEXTS):
        return 2, str(value)
    return ()  # collections: by their stored form, which is none of the model's business
