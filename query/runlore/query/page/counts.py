"""Numbers of entities of each kind; those of the past are not counted again for each page."""

from __future__ import annotations

import threading

from runlore.query.listing import count_kinds
from runlore.query.scope import Scope
from runlore.query.time.moment import NOW

KEPT = 100


class KindCounts:
    """Remembers counts of one reader's view as of some positions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._past: dict[tuple[str, int], dict[str, int]] = {}
        self._generation: object = None

    def of(self, scope: Scope) -> dict[str, int]:
        """As `Client.list_kinds`, for any moment."""
        with scope.reader.read():
            self._follow(scope.reader.generation)
            return self._of(scope)

    def _follow(self, generation: object) -> None:
        """Forget what was counted in another view."""
        with self._lock:
            if generation != self._generation:
                self._past.clear()
                self._generation = generation

    def _of(self, scope: Scope) -> dict[str, int]:
        if scope.moment == NOW:
            return count_kinds(scope)
        key = (scope.project, scope.moment.position)
        # By the producers' clocks, and beyond the end of the log, an answer may still change.
        if scope.moment.occurred_us is not None or scope.moment.position > scope.position:
            return count_kinds(scope)
        with self._lock:
            known = self._past.get(key)
        if known is None:
            known = count_kinds(scope)
            with self._lock:
                if len(self._past) >= KEPT:
                    self._past.clear()
                self._past[key] = known
        return known
