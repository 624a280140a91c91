"""Parts of the log as a whole, as far as they are of the project that an asker may read.

Where files are read, who can open them sees everything. A service lets each asker see its project: an event in
quarantine is of the project that its subject names, since its payload may not be readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runlore.query.attention import producers, quarantine
from runlore.query.scope import Scope
from runlore.query.time.moment import check_limit


class OneProject:
    """The client's methods about the log as a whole, for one project."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def quarantine(self, limit: int = 100, subjects: Sequence[str] | None = None) -> list[dict[str, Any]]:
        own = self._scope.reader.shard.project_prefix(self._scope.project)
        longer = [one for one in subjects or () if one.startswith(own)]
        whole = subjects is None or any(own.startswith(one) for one in subjects)
        return quarantine(self._scope, limit, [own] if whole else longer)

    def quarantined(self, most: int = 1000) -> int:
        return len(self.quarantine(check_limit(most)))

    def producers(self) -> list[dict[str, Any]]:
        return [one for one in producers(self._scope) if one["project"] == self._scope.project]
