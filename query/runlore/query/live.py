"""The part of a client that follows what comes, and finds where words stand."""

from __future__ import annotations

from runlore.query.feed import AsyncWatch, Watch, feed
from runlore.query.lookup import Lookup
from runlore.query.searching import Hits, search
from runlore.query.watching import Since
from runlore.schemas.paths import PathParts
from runlore.schemas.references import EntityRef


class Live(Lookup):
    """Watching and searching: only for a client without `as_of`."""

    def watch(
        self,
        what: str | EntityRef | None = None,
        *,
        key: str | PathParts | None = None,
        kind: str | None = None,
        since: Since | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """An iterator over new entries, in the order of the log, each once, for as long as it is iterated.

        `what`: a reference (without a version: all versions; a run: its steps as well; a stage: whichever version
        holds it at the time) or a filter. `key`: only that key, group or leaf. `since`: a position or
        time (as for `as_of`), or a change's `place`, to go on after it; without, from now on. `timeout`: end after so
        many seconds without an entry; 0 ends when everything that is there was given.
        Raises LatestOnlyError for a client with `as_of`.
        """
        return Watch(feed(self, what, key, kind, since), timeout)

    def watch_async(
        self,
        what: str | EntityRef | None = None,
        *,
        key: str | PathParts | None = None,
        kind: str | None = None,
        since: Since | None = None,
        timeout: float | None = None,
    ) -> AsyncWatch:
        """As `watch`, for `async for` under asyncio or trio."""
        return AsyncWatch(feed(self, what, key, kind, since), timeout)

    def search(self, text: str, kind: str | None = None, limit: int = 50) -> Hits:
        """Where all words of a text stand together: in a name, in a key, or in a key and its text value, as of now.

        The last word may be the beginning of one. Names come first. The index follows the log within about a
        second: `.position` of the answer says how far. Raises LatestOnlyError for a client with `as_of`.
        """
        return search(self, text, kind, limit)
