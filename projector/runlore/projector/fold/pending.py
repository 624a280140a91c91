"""Pending: the rows that one batch will write, kept in the shapes that SQLite's driver binds fast.

Binding None or bytes makes Python's sqlite3 look for an adapter first: 1.6 µs a value, against 0.1 µs for a number or
text (measured; it was two thirds of the fold's time in SQLite). So every statement here leaves out the columns that are
NULL, and the rare rows that need them have separate statements.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from runlore.store.cells import Cell
from runlore.store.sqlite import sqlite
from runlore.store.stretches import HISTORY_BITS

PlainRow = tuple[int, int, int, str, Any]
"""Entity ID, path ID, position, type and value of a leaf whose cell needs no text beside it."""

OddRow = tuple[int, int, int, str, Any, str | None]
"""The same for a value that is NULL or a BLOB, with its readable text."""

SqlRow = tuple[Any, ...]

_INSERTS = {
    "entities": "INSERT INTO entities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "paths": "INSERT INTO paths VALUES (?, ?, ?, ?)",
    "actors": "INSERT INTO actors VALUES (?, ?, ?, ?, ?)",
    "links": "INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?)",
    "events": "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
    "events_of_runs": "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
    "events_of_steps": "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
}
_LEAF = "entity_id, path_id, position, type, value"
_UPSERT_PRODUCER = "INSERT OR REPLACE INTO producers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

CHUNK = 500
"""Leaf rows in one statement: a fifth cheaper than one by one, and one release of the interpreter lock for all."""

_PLAIN, _ODD = "(?{0}, ?{1}, ?{2}, ?{3}, ?{4})", "(?{0}, ?{1}, ?{2}, ?{3}, ?{4}, ?{5})"
"""One row of VALUES; the numbers stand for its parameters."""
# The stretch is SQLite's to compute: a value more to bind costs as much as one of the others.
_STRETCH = f"(?{{2}} >> {HISTORY_BITS}, "
_HISTORY, _ODD_HISTORY = _STRETCH + _PLAIN[1:], _STRETCH + _ODD[1:]


class Taken(NamedTuple):
    """Rows of one batch, to be written in key order."""

    rows: dict[str, list[SqlRow]]
    leaves: list[PlainRow]
    odd_leaves: list[OddRow]
    links: list[tuple[int, int]]
    producers: list[SqlRow]

    def write(self, connection: sqlite.Connection) -> None:
        """Write everything into the open transaction."""
        for name, sql in _INSERTS.items():
            connection.executemany(sql, self.rows[name])
        self._write_leaves(connection)
        connection.executemany(_UPSERT_PRODUCER, self.producers)

    def _write_leaves(self, connection: sqlite.Connection) -> None:
        plain, odd = self.leaves, self.odd_leaves
        # By entity, path, position, which no two rows share: values are never compared.
        plain.sort()
        odd.sort()
        _insert_many(connection, f"INSERT INTO history (stretch, {_LEAF})", 5, plain, _HISTORY)
        _insert_many(connection, f"INSERT INTO history (stretch, {_LEAF}, text)", 6, odd, _ODD_HISTORY)
        heads: dict[tuple[int, int], PlainRow | OddRow] = {row[:2]: row for row in plain}  # the last one stays
        for row in odd:
            if (head := heads.get(row[:2])) is None or head[2] < row[2]:
                heads[row[:2]] = row
        rows = list(heads.values())
        _insert_many(connection, f"INSERT OR REPLACE INTO heads ({_LEAF})", 5, [r for r in rows if len(r) == 5], _PLAIN)
        _insert_many(connection, "INSERT OR REPLACE INTO heads", 6, [r for r in rows if len(r) == 6], _ODD)
        mentions = {(row[2], row[0]) for row in plain} | {(row[2], row[0]) for row in odd}
        mentions.update(self.links)
        connection.executemany("INSERT INTO mentions VALUES (?, ?)", sorted(mentions))
        new = sorted({position >> HISTORY_BITS for position, _ in mentions})
        connection.executemany("INSERT OR IGNORE INTO stretches VALUES (?)", [(stretch,) for stretch in new])


class Pending:
    """Rows that are not yet in the file."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.rows: dict[str, list[SqlRow]] = {name: [] for name in _INSERTS}
        self.leaves: list[PlainRow] = []
        """New rows of history; an event adds at most one for each entity and path, here or in `odd_leaves`."""
        self.odd_leaves: list[OddRow] = []
        self.fields: dict[tuple[int, int, int], Cell] = {}
        """The same for fields, which one event may set twice: entity ID, path ID, position; the last one stays."""
        self.links: list[tuple[int, int]] = []
        """Position and target of each link: what an event says of an entity without changing a row of it."""

    def add_leaf(self, entity_id: int, path_id: int, position: int, cell: Cell) -> None:
        """One new row of history."""
        kind, value, text = cell
        if text is None and value is not None:
            self.leaves.append((entity_id, path_id, position, kind, value))
        else:
            self.odd_leaves.append((entity_id, path_id, position, kind, value, text))

    def abandon(self) -> None:
        """Drop everything: the batch failed."""
        self._begin()

    def take(self, producers: list[SqlRow]) -> Taken:
        """Return everything that is pending, with the new rows of `producers`, and begin the next batch."""
        for (entity_id, path_id, position), cell in self.fields.items():
            self.add_leaf(entity_id, path_id, position, cell)
        taken = Taken(self.rows, self.leaves, self.odd_leaves, self.links, producers)
        self._begin()
        return taken


def _insert_many(connection: sqlite.Connection, into: str, width: int, rows: Sequence[SqlRow], row: str) -> None:
    """Insert rows of `width` parameters, many with each statement."""
    whole = len(rows) // CHUNK * CHUNK
    if whole:
        values = list(itertools.chain.from_iterable(rows[:whole]))
        step = CHUNK * width
        chunks = [values[start : start + step] for start in range(0, len(values), step)]
        connection.executemany(f"{into} VALUES {_values(row, width, CHUNK)}", chunks)
    connection.executemany(f"{into} VALUES {_values(row, width, 1)}", rows[whole:])


@functools.cache
def _values(row: str, width: int, count: int) -> str:
    return ", ".join(row.format(*range(first, first + width)) for first in range(1, count * width + 1, width))


def next_id(connection: Any, table: str, column: str) -> int:
    """The first number above all in use."""
    return int(connection.execute(f"SELECT coalesce(max({column}), 0) + 1 FROM {table}").fetchone()[0])
