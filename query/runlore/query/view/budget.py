"""A budget for decoding what is only looked at: collections beyond it are named by their size instead.

A page or a terminal shows the first elements of a value, but each has to be decoded whole, and an entity may have
thousands of large ones. Python callers, JSON and exports have no budget: they get every value exactly.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import msgspec

from runlore.store.cells import from_cell

PAGE_BYTES = 8_000_000
"""Bytes of collections that one page decodes."""
TERMINAL_BYTES = 64_000_000
"""Bytes of collections that one command decodes to print them."""
PACKED_COST = 10
"""A byte of MessagePack, which holds what JSON cannot, takes as long as this number of bytes of JSON."""

_COLLECTIONS = frozenset({"list", "tuple", "set", "frozenset", "dict"})


class Unread(msgspec.Struct, frozen=True):
    """Stands for a collection that was not decoded."""

    type: str
    size: int
    """Stored bytes."""

    def __str__(self) -> str:
        return f"{self.type} of {self.size:,} bytes, not shown here"


class _Budget:
    """What is left, and when its time is over."""

    __slots__ = ("bytes", "until")

    def __init__(self, size: int, seconds: float | None) -> None:
        self.bytes = size
        self.until = None if seconds is None else time.monotonic() + seconds

    def allows(self, cost: int) -> bool:
        """Return whether something may be decoded, and take its cost."""
        if cost > self.bytes or (self.until is not None and time.monotonic() > self.until):
            return False
        self.bytes -= cost
        return True


class _Local(threading.local):
    budget: _Budget | None = None


_local = _Local()


@contextmanager
def decoding_at_most(size: int, seconds: float | None = None) -> Generator[None]:
    """Within it this thread decodes at most `size` bytes of collections, in at most `seconds`."""
    before, _local.budget = _local.budget, _Budget(size, seconds)
    try:
        yield
    finally:
        _local.budget = before


def allowed(cost: int) -> bool:
    """Return whether this thread may decode something, and take its cost."""
    return _local.budget is None or _local.budget.allows(cost)


def read_cell(kind: str, cell: Any) -> Any:
    """Return the value of a cell as `from_cell`; an Unread where that is beyond the budget."""
    if _local.budget is not None and kind in _COLLECTIONS:
        cost = len(cell) * (PACKED_COST if isinstance(cell, bytes) else 1)
        if not allowed(cost):
            return Unread(kind, len(cell))
    return from_cell(kind, cell)
