"""Searches by value: the rows that may fit, found through the view's indexes. Whoever searches looks at them again."""

from __future__ import annotations

from runlore.store.cells import SHORT_CELL
from runlore.store.stretches import VALUE_BITS

INDEXED = 200
"""Characters of a text that the indexes hold; see `SHORT_CELL`."""
SHORT = SHORT_CELL.replace("value", "h.value")
"""The condition of the index on history on a row `h`, which a query repeats to use it."""

VALUED = "(SELECT position FROM value_state)"
"""Up to here `head_values` has the values of the heads."""
SINCE = f"(SELECT DISTINCT entity_id FROM mentions WHERE position > {VALUED})"
"""Entities whose heads may have changed since."""


def of_heads(path: str, test: str) -> str:
    """SELECT entity IDs whose head of a path passes a test, as it was at `VALUED` or as it is now."""
    return (
        f"SELECT h.entity_id FROM head_values h WHERE h.path_id = {path} AND {test} UNION ALL"
        f" SELECT h.entity_id FROM {SINCE} c CROSS JOIN heads h ON h.entity_id = c.entity_id AND h.path_id = {path}"
        f" WHERE {test}"
    )


def of_history(path: str, test: str, upto: str | None = None) -> str:
    """FROM and WHERE: rows `h` of a path that pass a test which repeats `SHORT`; `upto` is a position."""
    positions = "" if upto is None else f" AND v.stretch <= {upto} >> {VALUE_BITS} AND h.position <= {upto}"
    # The plus as in `stretches.of_entity`.
    return (
        f"value_stretches v CROSS JOIN history h ON (h.position >> {VALUE_BITS}) = +v.stretch AND h.path_id = {path}"
        f" WHERE {test}{positions}"
    )
