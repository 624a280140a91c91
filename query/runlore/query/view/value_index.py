"""Searches by value: the rows that may fit, found through the view's indexes. Whoever searches looks at them again.

The indexes follow the fold some thousand events behind, so each search reads what came since from the entities that
were mentioned since.
"""

from __future__ import annotations

from runlore.store.cells import ENDED_SQL, SHORT_CELL
from runlore.store.stretches import HISTORY_BITS, VALUE_BITS

INDEXED = 200
"""Characters of a text that the indexes hold; see `SHORT_CELL`."""
SHORT = SHORT_CELL.replace("value", "h.value")
"""The condition on a row `h` that its value is short."""

VALUED = "(SELECT position FROM value_state)"
"""Up to here `head_values` has the values of heads."""
SINCE = f"(SELECT DISTINCT entity_id FROM mentions WHERE position > {VALUED})"
"""Entities whose heads may have changed since."""
HISTORY_VALUED = "(SELECT history_position FROM value_state)"
"""Up to here `history_values` has the values of history."""


def of_heads(path: str, test: str, indexed: bool) -> str:
    """SELECT entity IDs whose head of a path passes a test, as it was at `VALUED` or as it is now.

    `indexed`: whether every value that passes is in the index by value. The others are null, or long: those are few,
    and looked at where they are.
    """
    found = (
        f"SELECT h.entity_id FROM head_values h WHERE h.path_id = {path} AND h.value IS NOT NULL AND ({test}) UNION ALL"
        f" SELECT h.entity_id FROM {SINCE} c CROSS JOIN heads h ON h.entity_id = c.entity_id AND h.path_id = {path}"
        f" WHERE ({test})"
    )
    if indexed:
        return found
    return (
        f"{found} UNION ALL SELECT h.entity_id FROM head_values x CROSS JOIN heads h ON h.entity_id = x.entity_id"
        f" AND h.path_id = x.path_id WHERE x.path_id = {path} AND x.value IS NULL AND x.type NOT IN {ENDED_SQL}"
        f" AND ({test})"
    )


def of_history(path: str, test: str, upto: str | None = None) -> str:
    """SELECT entity IDs for which a row `h` of a path passed a test once; `upto` is a position."""
    last = "" if upto is None else f" AND {{row}}.position <= {upto}"
    stretch = "" if upto is None else f" AND v.stretch <= {upto} >> {VALUE_BITS}"
    since = f"(SELECT DISTINCT m.entity_id FROM mentions m WHERE m.position > {HISTORY_VALUED}{last.format(row='m')})"
    return (
        f"SELECT h.entity_id FROM value_stretches v CROSS JOIN history_values h ON h.stretch = v.stretch"
        f" AND h.path_id = {path} WHERE {test}{stretch}{last.format(row='h')} UNION ALL"
        f" SELECT h.entity_id FROM {since} c CROSS JOIN stretches s CROSS JOIN history h ON h.stretch = s.stretch"
        f" AND h.entity_id = c.entity_id AND h.path_id = {path} AND h.position > {HISTORY_VALUED}"
        f" WHERE {test} AND s.stretch >= {HISTORY_VALUED} >> {HISTORY_BITS}{last.format(row='h')}"
    )
