"""Numbers of entities of each kind, without counting the same ones again."""

from __future__ import annotations

import threading
from collections import Counter

from runlore.query.listing import count_kinds
from runlore.query.scope import Scope
from runlore.query.time.moment import NOW
from runlore.store.kinds import is_instance

# IDs are handed out in the order of creation, and entities never go: what was counted once stays counted.
_NEW = f"""SELECT kind, count(*) FROM entities WHERE entity_id > ? AND project = ?
    AND {is_instance()} GROUP BY kind"""
KEPT = 100


class KindCounts:
    """Remembers counts of one reader's view: the latest by project, and some of earlier positions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, tuple[int, int, Counter[str]]] = {}
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
                self._latest.clear()
                self._past.clear()
                self._generation = generation

    def _of(self, scope: Scope) -> dict[str, int]:
        if scope.moment == NOW:
            return self._now(scope)
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

    def _now(self, scope: Scope) -> dict[str, int]:
        with scope.reader.read(), self._lock:
            position = scope.position
            last = scope.reader.one("SELECT coalesce(max(entity_id), 0) FROM entities")
            assert last is not None
            none: tuple[int, int, Counter[str]] = (0, 0, Counter())
            seen, counted, counts = self._latest.get(scope.project, none)
            if position < seen or last[0] < counted:  # another view than before
                counted, counts = 0, none[2]
            if last[0] > counted:
                fresh: dict[str, int] = dict(scope.reader.rows(_NEW, (counted, scope.project)))
                counts = counts + Counter(fresh)
            # Of a project that has nothing there is nothing to remember: anybody may ask for any name.
            if counts and (position >= seen or counted == 0):
                self._latest[scope.project] = (position, last[0], counts)
        return dict(sorted(counts.items()))
