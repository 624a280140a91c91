"""A pytest plugin: stretches of four positions, so that the past of a few events lies in several of them.

`python -m pytest -p tests.small_stretches tests/query`, in a process of its own: SQL is made of these numbers when its
module is imported, and a view is read with the numbers that it was written with.
"""

from __future__ import annotations

from runlore.store import stretches

stretches.HISTORY_BITS, stretches.VALUE_BITS = 2, 1
stretches.HISTORY_STRETCH, stretches.VALUE_STRETCH = "(position >> 2)", "(position >> 1)"

from runlore.projector.views import value_index  # noqa: E402 -- its SQL is made of the numbers above

value_index.BEHIND = value_index.CATCHING_UP = value_index.HISTORY_BEHIND = 3
