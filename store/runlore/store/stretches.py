"""Stretches: the past of a view is kept in pieces of the log, so that writing costs the same however long the log is.

A batch of the fold adds rows for entities all over the view. In one tree ordered by entity and key each of them meets a
page of its own, more of them the longer the log, and each page is written to the write-ahead log and to the file. So
the trees that hold the past begin with the *stretch* of a position, and only the part of the newest one is written; it
is as small after ten million events as after ten thousand. Whoever reads a leaf's past looks it up in each stretch:
a few microseconds each. `docs/architecture.md` has the figures, and what else was tried.

The fragments of SQL here read that past; `s` is the stretch, and bound values are named by the caller.
"""

from __future__ import annotations

HISTORY_BITS = 14
"""A stretch of `history` and of the mentions of an entity is 2 to this power of positions: 16,384."""
VALUE_BITS = 12
"""The same for the values of history, which come in no order at all: 4,096."""

HISTORY_STRETCH = f"(position >> {HISTORY_BITS})"
VALUE_STRETCH = f"(position >> {VALUE_BITS})"


def of_leaf(entity: str, path: str, row: str = "h") -> str:
    """FROM: the rows of one leaf. Order by `s.stretch, {row}.position`, which costs no sort."""
    return (
        f"stretches s CROSS JOIN history {row} ON {row}.stretch = s.stretch"
        f" AND {row}.entity_id = {entity} AND {row}.path_id = {path}"
    )


def between(first: str, last: str) -> str:
    """Condition on `s` for positions from `first` to `last`: the stretches that may hold them."""
    return f"s.stretch BETWEEN {first} >> {HISTORY_BITS} AND {last} >> {HISTORY_BITS}"


def upto(last: str) -> str:
    """Condition on `s` for positions up to `last`."""
    return f"s.stretch <= {last} >> {HISTORY_BITS}"


def since(first: str) -> str:
    """Condition on `s` for positions from `first` on."""
    return f"s.stretch >= {first} >> {HISTORY_BITS}"


def at(position: str, entity: str, path: str, row: str = "n") -> str:
    """Condition for the one row of a leaf at a position."""
    return (
        f"{row}.stretch = {position} >> {HISTORY_BITS} AND {row}.entity_id = {entity} AND {row}.path_id = {path}"
        f" AND {row}.position = {position}"
    )


def newest(column: str, entity: str, path: str, seen: str, row: str = "m") -> str:
    """Scalar: `column` of a leaf's newest row for which `seen` (a condition on `s` and the row) holds."""
    return (
        f"(SELECT {column} FROM {of_leaf(entity, path, row)} WHERE {seen}"
        f" ORDER BY s.stretch DESC, {row}.position DESC LIMIT 1)"
    )


def of_entity(entity: str, row: str = "m") -> str:
    """FROM: the mentions of one entity. Order by `s.stretch, {row}.position`."""
    # Without the plus the column's affinity would keep SQLite from the index on the expression.
    return (
        f"stretches s CROSS JOIN mentions {row} ON ({row}.position >> {HISTORY_BITS}) = +s.stretch"
        f" AND {row}.entity_id = {entity}"
    )
