"""Pending: the rows that one batch will write, kept in the shapes that SQLite's driver binds fast.

Binding None or bytes makes Python's sqlite3 look for an adapter first: 1.6 µs a value, against 0.1 µs for a number or
text (measured; it was two thirds of the fold's time in SQLite). So every statement here leaves out the columns that are
NULL, and the rare rows that need them have statements of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from runlore.schemas.cells import Cell

PlainRow = tuple[int, int, int, str, Any]
"""Entity ID, path ID, position, type and value of a leaf whose cell needs no text beside it."""

OddRow = tuple[int, int, int, str, Any, str | None]
"""The same for a value that is NULL or a BLOB, with its readable text."""

Row = tuple[Any, ...]

_INSERTS = {
    "entities": "INSERT INTO entities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "paths": "INSERT INTO paths VALUES (?, ?, ?, ?)",
    "actors": "INSERT INTO actors VALUES (?, ?, ?, ?, ?)",
    "links": "INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?)",
    "events": "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
    "events_of_runs": "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
    "events_of_steps": "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
}
_LEAF = "INTO {} (entity_id, path_id, position, type, value) VALUES (?, ?, ?, ?, ?)"
_INSERT_HISTORY = "INSERT " + _LEAF.format("history")
_REPLACE_HEAD = "INSERT OR REPLACE " + _LEAF.format("heads")
_INSERT_ODD_HISTORY = "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)"
_REPLACE_ODD_HEAD = "INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_MENTION = "INSERT INTO mentions VALUES (?, ?)"
_UPSERT_PRODUCER = "INSERT OR REPLACE INTO producers VALUES (?, ?, ?, ?, ?, ?, ?)"


class Pending:
    """What is not yet in the file. `flush` writes it into the open transaction, in key order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rows: dict[str, list[Row]] = {name: [] for name in _INSERTS}
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
        """Drop everything: the transaction it belonged to is rolled back."""
        for rows in (*self.rows.values(), self.leaves, self.odd_leaves, self.links):
            rows.clear()
        self.fields.clear()

    def write(self, name: str) -> None:
        """Write the rows of one kind."""
        if rows := self.rows[name]:
            self._connection.executemany(_INSERTS[name], rows)
            rows.clear()

    def flush(self, producers: Sequence[Row]) -> None:
        """Write everything, and the new rows of `producers`."""
        many = self._connection.executemany
        for name in _INSERTS:
            self.write(name)
        for (entity_id, path_id, position), cell in self.fields.items():
            self.add_leaf(entity_id, path_id, position, cell)
        self._flush_leaves()
        self.fields.clear()
        if producers:
            many(_UPSERT_PRODUCER, producers)

    def _flush_leaves(self) -> None:
        many, plain, odd = self._connection.executemany, self.leaves, self.odd_leaves
        # By entity, path, position, which no two rows share: values are never compared.
        plain.sort()
        odd.sort()
        many(_INSERT_HISTORY, plain)
        many(_INSERT_ODD_HISTORY, odd)
        heads: dict[tuple[int, int], PlainRow | OddRow] = {row[:2]: row for row in plain}  # the last one stays
        for row in odd:
            if (head := heads.get(row[:2])) is None or head[2] < row[2]:
                heads[row[:2]] = row
        many(_REPLACE_HEAD, [row for row in heads.values() if len(row) == 5] if odd else heads.values())
        many(_REPLACE_ODD_HEAD, [row for row in heads.values() if len(row) == 6] if odd else ())
        mentions = {(row[2], row[0]) for row in itertools.chain(plain, odd)}
        mentions.update(self.links)
        many(_INSERT_MENTION, sorted(mentions))
        plain.clear()
        odd.clear()
        self.links.clear()


def next_id(connection: Connection, table: str, column: str) -> int:
    """The first number above all in use."""
    return int(connection.execute(f"SELECT coalesce(max({column}), 0) + 1 FROM {table}").fetchone()[0])
