"""The values of heads, for searches by value: they follow the heads some thousand events behind.

A key that changes moves in an index on values from one place to another, each on a page of its own. Moving it once for
some thousand events writes each page once for all of them, and of a key that changes all the time only the last value
is moved. `value_state` says up to where this is done; who searches adds the entities that were mentioned since.
"""

from __future__ import annotations

from runlore.store.cells import ENDED_SQL, SHORT_CELL
from runlore.store.sqlite import sqlite

BEHIND = 4096
"""Positions after which the values follow."""

_CHANGED = """INSERT OR REPLACE INTO head_values
SELECT entity_id, path_id, type, iif({searched}, value, NULL) FROM heads
WHERE entity_id IN (SELECT entity_id FROM mentions WHERE position > :after) AND position > :after"""
_ALL = "INSERT INTO head_values SELECT entity_id, path_id, type, iif({searched}, value, NULL) FROM heads"
_MOVE = "UPDATE value_state SET position = :upto"
_SEARCHED = f"{SHORT_CELL} AND type NOT IN {ENDED_SQL}"


def follow_heads(connection: sqlite.Connection, behind: int = BEHIND) -> None:
    """Bring the values up to date if they are `behind` positions or more. The caller holds a transaction."""
    (after,) = connection.execute("SELECT position FROM value_state").fetchone()
    (folded,) = connection.execute("SELECT position FROM view_state").fetchone()
    if folded - after < max(behind, 1):
        return
    # After a bulk fill everything changed: in the order of the table, without looking for it.
    changed = _CHANGED if after else _ALL
    connection.execute(changed.format(searched=_SEARCHED), {"after": after} if after else {})
    connection.execute(_MOVE, {"upto": folded})
