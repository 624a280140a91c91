"""Filters as trees of frozen structs."""

from __future__ import annotations

import decimal
from collections.abc import Sequence

import msgspec

from runlore.schemas.paths import PathParts


class NumberLiteral(msgspec.Struct, frozen=True):
    """A number as it was written: what floats and ints compare with, and what Decimals compare with."""

    value: int | float
    exact: decimal.Decimal


class Time(msgspec.Struct, frozen=True):
    """A moment, in microseconds since 1970 UTC."""

    micros: int
    zoned: bool = True
    """True if its text named a zone; if not, UTC was taken."""


class Duration(msgspec.Struct, frozen=True):
    """A length of time, in microseconds."""

    value: int | float


Literal = NumberLiteral | Time | Duration | str | bool | None


class Key(msgspec.Struct, frozen=True):
    """A name on the left of a condition: a metadata key, group or leaf, or a field of the entity."""

    parts: PathParts
    quoted: bool = False
    """True if a part was in double quotes: then it is metadata, and a dot never separates twice."""


class Compare(msgspec.Struct, frozen=True):
    """A value compares with a literal; `op` is one of ``= != < <= > >=``."""

    key: Key
    op: str
    value: Literal


class In(msgspec.Struct, frozen=True):
    """A value equals one of several literals."""

    key: Key
    values: tuple[Literal, ...]
    negated: bool = False


class Matches(msgspec.Struct, frozen=True):
    """A text fits a GLOB pattern of SQLite (case matters)."""

    key: Key
    glob: str
    negated: bool = False


class Contains(msgspec.Struct, frozen=True):
    """A text holds a text, or a list, tuple or set holds an element."""

    key: Key
    value: Literal
    negated: bool = False


class Exists(msgspec.Struct, frozen=True):
    """There is a value, null included, at or below a path."""

    key: Key


Condition = Compare | In | Matches | Contains | Exists


class Ever(msgspec.Struct, frozen=True):
    """The condition held for some value that the entity had, past or present."""

    condition: Condition


class Not(msgspec.Struct, frozen=True):
    """The opposite."""

    inner: Expression


class And(msgspec.Struct, frozen=True):
    """All of them."""

    items: tuple[Expression, ...]


class Or(msgspec.Struct, frozen=True):
    """One of them."""

    items: tuple[Expression, ...]


Expression = Condition | Ever | Not | And | Or


def all_of(items: Sequence[Expression]) -> Expression:
    """Return the conjunction of one or more conditions, without an `And` inside an `And`."""
    flat = [part for item in items for part in (item.items if isinstance(item, And) else (item,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def keys_of(expression: Expression) -> list[Key]:
    """Every key that a filter mentions, once, in the order of the text."""
    match expression:
        case And(items) | Or(items):
            return list(dict.fromkeys(key for item in items for key in keys_of(item)))
        case Not(inner) | Ever(inner):
            return keys_of(inner)
        case _:
            return [expression.key]


def literals_of(expression: Expression) -> list[Literal]:
    """Every literal of a filter, in the order of the text."""
    match expression:
        case And(items) | Or(items):
            return [literal for item in items for literal in literals_of(item)]
        case Not(inner) | Ever(inner):
            return literals_of(inner)
        case In(values=values):
            return list(values)
        case Compare(value=value) | Contains(value=value):
            return [value]
        case _:
            return []


def count(expression: Expression) -> int:
    """Return the number of conditions in a filter."""
    match expression:
        case And(items) | Or(items):
            return sum(map(count, items))
        case Not(inner) | Ever(inner):
            return count(inner)
        case _:
            return 1


def depth(expression: Expression) -> int:
    """Levels of `and`, `or` and `not` around the innermost condition."""
    match expression:
        case And(items) | Or(items):
            return 1 + max(map(depth, items))
        case Not(Not(inner)):
            return depth(inner)
        case Not(inner):
            return 1 + depth(inner)
        case _:
            return 0
