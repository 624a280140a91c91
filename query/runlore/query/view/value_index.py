"""Searches by value: the rows that may fit, found through the view's indexes. Whoever searches looks at them again."""

from __future__ import annotations

from runlore.store.cells import ENDED_SQL, SHORT_CELL
from runlore.store.stretches import VALUE_BITS

INDEXED = 200
"""Characters of a text that the indexes hold; see `SHORT_CELL`."""
SHORT = SHORT_CELL.replace("value", "h.value")
"""The condition of the index on history on a row `h`, which a query repeats to use it."""

VALUED = "(SELECT position FROM value_state)"
"""Up to here `head_values` has the values of the heads."""
SINCE = f"(SELECT DISTINCT entity_id FROM mentions WHERE position > {VALUED})"
"""Entities whose heads may have changed since."""


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
    """FROM and WHERE: rows `h` of a path with short values that pass a test; `upto` is a position."""
    positions = "" if upto is None else f" AND v.stretch <= {upto} >> {VALUE_BITS} AND h.position <= {upto}"
    # The plus as in `stretches.of_entity`.
    return (
        f"value_stretches v CROSS JOIN history h ON (h.position >> {VALUE_BITS}) = +v.stretch AND h.path_id = {path}"
        f" WHERE {test} AND {SHORT}{positions}"
    )
