"""The tables for searches by value: they follow the fold some thousand events behind.

Values come in no order, so each one written meets a page of its own, in an index on heads and in one on history alike.
Written for some thousand events at once, each page is written once for all of them, and of a key that changes all the
time only the last value moves in the index on heads. `value_state` says up to where this is done; who searches adds
what came since (`runlore.query.view.value_index`).
"""

from __future__ import annotations

from runlore.store.cells import ENDED_SQL, SHORT_CELL, SOUGHT_IN_HISTORY
from runlore.store.sqlite import sqlite
from runlore.store.stretches import HISTORY_BITS, VALUE_STRETCH

BEHIND = 4096
"""Positions after which the values of heads follow."""
HISTORY_BEHIND = 1024
"""The same for those of history, where looking at an entity that was mentioned since costs several times as much."""
CATCHING_UP = 8 * BEHIND
"""The same while the fold itself is further behind than that: a head that changed often meanwhile is moved once."""

_LIVE = f"{SHORT_CELL} AND type NOT IN {ENDED_SQL}"
# A value that is the same as before costs a look, and no write.
_HEADS = f"""INSERT INTO head_values
SELECT entity_id, path_id, type, iif({_LIVE}, value, NULL) FROM heads
WHERE entity_id IN (SELECT entity_id FROM mentions WHERE position > :after) AND position > :after
ON CONFLICT DO UPDATE SET type = excluded.type, value = excluded.value
WHERE value IS NOT excluded.value OR type <> excluded.type"""
_ALL_HEADS = f"INSERT INTO head_values SELECT entity_id, path_id, type, iif({_LIVE}, value, NULL) FROM heads"

# History is in the order of positions within a leaf: of equal values the first one stays.
_HISTORY = f"""INSERT OR IGNORE INTO history_values
SELECT {VALUE_STRETCH}, path_id, value, type, h.entity_id, position
FROM (SELECT DISTINCT entity_id FROM mentions WHERE position > :after) c
CROSS JOIN stretches s CROSS JOIN history h ON h.stretch = s.stretch AND h.entity_id = c.entity_id
WHERE s.stretch >= (:after + 1) >> {HISTORY_BITS} AND position > :after AND {SOUGHT_IN_HISTORY}"""
_STRETCHES = f"""INSERT OR IGNORE INTO value_stretches
SELECT DISTINCT {VALUE_STRETCH} FROM mentions WHERE position > :after"""


def follow_values(connection: sqlite.Connection, behind: int = BEHIND) -> None:
    """Bring the values of heads up to date if they are `behind` positions or more; those of history follow closer.

    The caller holds a transaction.
    """
    follow_history(connection, min(behind, HISTORY_BEHIND))
    _follow(connection, "position", behind, (_HEADS,))


def follow_history(connection: sqlite.Connection, behind: int = 1) -> None:
    """Bring the values of history alone up to date: all that a file needs while it is filled in bulk."""
    _follow(connection, "history_position", behind, (_HISTORY, _STRETCHES))


def fill_heads(connection: sqlite.Connection) -> None:
    """Take the values of all heads, in the order of the table, at the end of a bulk fill."""
    connection.execute(_ALL_HEADS)
    connection.execute("UPDATE value_state SET position = (SELECT position FROM view_state)")


def _follow(connection: sqlite.Connection, state: str, behind: int, statements: tuple[str, ...]) -> None:
    (after,) = connection.execute(f"SELECT {state} FROM value_state").fetchone()
    (folded,) = connection.execute("SELECT position FROM view_state").fetchone()
    if folded - after < max(behind, 1):
        return
    for statement in statements:
        connection.execute(statement, {"after": after})
    connection.execute(f"UPDATE value_state SET {state} = ?", (folded,))
