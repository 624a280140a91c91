"""The view's indexes by value: which cells they hold."""

from __future__ import annotations

from runlore.store.cells import SHORT_CELL

INDEXED = 200
"""Characters of a text that the indexes hold; see `SHORT_CELL`."""
SHORT = SHORT_CELL.replace("value", "h.value")
"""The condition of the indexes on a row `h`, which a query repeats to use them."""
