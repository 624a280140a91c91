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

PlainCell = tuple[int, str, Any]
"""Path ID, type and value: a plain row without its entity and position."""

OddCell = tuple[int, str, Any, str | None]
"""The same of an odd one."""

SqlRow = tuple[Any, ...]

_INSERTS = {
    "entities": "INSERT INTO entities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "paths": "INSERT INTO paths VALUES (?, ?, ?, ?)",
    "actors": "INSERT INTO actors VALUES (?, ?, ?, ?, ?)",
    "actor_keys": "INSERT INTO actor_keys VALUES (?, ?, ?, ?, ?)",
    "signers": "INSERT INTO signers VALUES (?, ?, ?, ?)",
    "signatures": "INSERT INTO signatures VALUES (?, ?)",
    "links": "INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?)",
}
_PRODUCER = """INSERT INTO producers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (producer_id) DO UPDATE SET last_position = excluded.last_position, highest_seq = excluded.highest_seq,
seen = excluded.seen, late = excluded.late, missing = excluded.missing, implausible = excluded.implausible,
ranges = excluded.ranges"""

CHUNKS = (500, 100)
"""Rows in one statement: a third cheaper than one by one, and one release of the interpreter lock for all."""


class Insert(NamedTuple):
    """An insert of many rows: the table, the parameters of a row, and the template of its values."""

    into: str
    width: int
    row: str

    def many(self, connection: sqlite.Connection, rows: Sequence[SqlRow]) -> None:
        """Insert rows, many with each statement."""
        done = 0
        for chunk in CHUNKS:
            whole = (len(rows) - done) // chunk * chunk
            if whole:
                values = list(itertools.chain.from_iterable(rows[done : done + whole]))
                step = chunk * self.width
                chunks = [values[start : start + step] for start in range(0, len(values), step)]
                connection.executemany(_statement(self, chunk), chunks)
                done += whole
        connection.executemany(_statement(self, 1), rows[done:])


@functools.cache
def _statement(insert: Insert, count: int) -> str:
    into, width, row = insert
    firsts = range(1, count * width + 1, width)
    return f"INSERT {into} VALUES {', '.join(row.format(*range(first, first + width)) for first in firsts)}"


# The numbers stand for the parameters of a row. The stretch is SQLite's to compute: a value more to bind costs as much
# as one of the others.
_LEAF = "entity_id, path_id, position, type, value"
_HISTORY = Insert(
    f"INTO history (stretch, {_LEAF})", 5, f"(?{{2}} >> {HISTORY_BITS}, ?{{0}}, ?{{1}}, ?{{2}}, ?{{3}}, ?{{4}})"
)
_ODD_HISTORY = Insert("INTO history", 6, f"(?{{2}} >> {HISTORY_BITS}, ?{{0}}, ?{{1}}, ?{{2}}, ?{{3}}, ?{{4}}, ?{{5}})")
_HEADS = Insert(f"OR REPLACE INTO heads ({_LEAF})", 5, "(?{0}, ?{1}, ?{2}, ?{3}, ?{4})")
_ODD_HEADS = Insert("OR REPLACE INTO heads", 6, "(?{0}, ?{1}, ?{2}, ?{3}, ?{4}, ?{5})")
_MENTIONS = Insert("INTO mentions", 2, "(?{0}, ?{1})")
_EVENT = "?{0}, ?{1}, ?{2}, ?{3}, ?{4}, ?{5}, ?{6}, ?{7}"
_EVENTS = {
    "events": Insert("INTO events", 8, f"({_EVENT}, NULL, NULL, NULL)"),
    "events_of_runs": Insert("INTO events", 9, f"({_EVENT}, ?{{8}}, NULL, NULL)"),
    "events_of_steps": Insert("INTO events", 10, f"({_EVENT}, ?{{8}}, ?{{9}}, NULL)"),
    "events_on_axis": Insert("INTO events", 11, f"({_EVENT}, ?{{8}}, ?{{9}}, ?{{10}})"),
}


class Taken(NamedTuple):
    """Rows of one batch, to be written in key order."""

    rows: dict[str, list[SqlRow]]
    leaves: list[PlainRow]
    odd_leaves: list[OddRow]
    mentions: set[tuple[int, int]]
    producers: list[SqlRow]

    def write(self, connection: sqlite.Connection) -> None:
        """Write everything into the open transaction."""
        for name, sql in _INSERTS.items():
            if self.rows[name]:
                connection.executemany(sql, self.rows[name])
        for name, insert in _EVENTS.items():
            insert.many(connection, self.rows[name])
        self._write_leaves(connection)
        mentions = sorted(self.mentions)
        _MENTIONS.many(connection, mentions)
        new = sorted({position >> HISTORY_BITS for position, _ in mentions})
        connection.executemany("INSERT OR IGNORE INTO stretches VALUES (?)", [(stretch,) for stretch in new])
        connection.executemany(_PRODUCER, self.producers)

    def _write_leaves(self, connection: sqlite.Connection) -> None:
        plain, odd = self.leaves, self.odd_leaves
        # By entity, path, position, which no two rows share: values are never compared.
        plain.sort()
        odd.sort()
        _HISTORY.many(connection, plain)
        _ODD_HISTORY.many(connection, odd)
        heads = _last_of_leaves(sorted([*plain, *odd]) if odd else plain)
        _HEADS.many(connection, [row for row in heads if len(row) == 5] if odd else heads)
        _ODD_HEADS.many(connection, [row for row in heads if len(row) == 6] if odd else [])


def _last_of_leaves(rows: Sequence[PlainRow | OddRow]) -> list[PlainRow | OddRow]:
    """The last row of each entity and path, of rows in that order."""
    last = [row for row, after in itertools.pairwise(rows) if row[1] != after[1] or row[0] != after[0]]
    return [*last, *rows[-1:]]


class Pending:
    """Rows that are not yet in the file."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.rows: dict[str, list[SqlRow]] = {name: [] for name in (*_INSERTS, *_EVENTS)}
        self._leaves: list[PlainRow] = []
        """New rows of history; an event adds at most one for each entity and path, here or in `_odd_leaves`."""
        self._odd_leaves: list[OddRow] = []
        self.fields: dict[tuple[int, int, int], Cell] = {}
        """The same for fields, which one event may set twice: entity ID, path ID, position; the last one stays."""
        self._mentions: set[tuple[int, int]] = set()

    def add_leaves(self, entity_id: int, position: int, plain: list[PlainCell], odd: list[OddCell]) -> None:
        """New rows of history, of one entity."""
        self._leaves += [(entity_id, path_id, position, kind, value) for path_id, kind, value in plain]
        if odd:
            self._odd_leaves += [
                (entity_id, path_id, position, kind, value, text) for path_id, kind, value, text in odd
            ]
        if plain or odd:
            self._mentions.add((position, entity_id))

    def add_leaf(self, entity_id: int, path_id: int, position: int, cell: Cell) -> None:
        """One new row of history."""
        kind, value, text = cell
        if text is None and value is not None:
            self.add_leaves(entity_id, position, [(path_id, kind, value)], [])
        else:
            self.add_leaves(entity_id, position, [], [(path_id, kind, value, text)])

    def mention(self, entity_id: int, position: int) -> None:
        """Note that an event says something of an entity without changing a row of it."""
        self._mentions.add((position, entity_id))

    def abandon(self) -> None:
        """Drop everything: the batch failed."""
        self._begin()

    def take(self, producers: list[SqlRow]) -> Taken:
        """Return everything that is pending, with the new rows of `producers`, and begin the next batch."""
        for (entity_id, path_id, position), cell in self.fields.items():
            self.add_leaf(entity_id, path_id, position, cell)
        taken = Taken(self.rows, self._leaves, self._odd_leaves, self._mentions, producers)
        self._begin()
        return taken


def next_id(connection: Any, table: str, column: str) -> int:
    """The first number above all in use."""
    return int(connection.execute(f"SELECT coalesce(max({column}), 0) + 1 FROM {table}").fetchone()[0])
