"""Nesting of open runs and steps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

Owner = tuple[int, int]


class CanEnd(Protocol):
    """A run or step."""

    owner: Owner
    outer: Any
    """The open one that this one was opened in, by the same thread and task."""
    closed: bool


Item = TypeVar("Item", bound=CanEnd)


def owner() -> Owner:
    """Return the thread and task of the caller: runs and steps nest within one owner."""
    return threading.get_ident(), _task("asyncio") or _task("trio.lowlevel")


def _task(library: str) -> int:
    module = sys.modules.get(library)
    try:
        return 0 if module is None else id(module.current_task())
    except RuntimeError:
        return 0  # no event loop runs in this thread


def around(before: Item | None, owner: Owner) -> Item | None:
    """Return the parent of a new one: `before`, if that is open and has the same owner."""
    return before if before is not None and not before.closed and before.owner == owner else None


def innermost(items: Sequence[Item]) -> Item | None:
    """The one that all others are around; None when there are several such, or none."""
    if len(items) == 1:
        return items[0]  # the usual case, twice a step
    outer = {id(item.outer) for item in items}
    found = [item for item in items if id(item) not in outer]
    return found[0] if len(found) == 1 else None


def take_out(item: CanEnd, items: Sequence[CanEnd]) -> None:
    """Remove `item` and attach its children to its parent: runs and steps need not end in order."""
    for other in items:
        if other.outer is item:
            other.outer = item.outer
    item.outer = None
