"""Watching: the changes of a view as they come, for plain and for async code."""

from __future__ import annotations

import time
from collections import deque

from runlore.query.scope import Scope
from runlore.query.time.moment import NO_END, NOW, checked_position
from runlore.query.watch.changes import Change, Page, read_page
from runlore.query.watch.selection import Place, Selection, Since, select
from runlore.schemas.errors import LatestOnlyError, MomentError
from runlore.schemas.paths import PathParts
from runlore.schemas.references import EntityRef

ACTIVE_SECONDS = 0.005
IDLE_SECONDS = 0.05
"""Between two looks at the view: while the log moves, and when it has not for about a second."""
SLOWER = 1.05
"""Each look in vain makes the next pause so much longer."""


CANCEL_SECONDS = 0.25
"""An async watch that is cancelled ends within these."""


class Feed:
    """One place in the log that moves on. Not for several threads at once."""

    def __init__(self, scope: Scope, selection: Selection, place: Place) -> None:
        self._scope, self._selection = scope, selection
        self._read, self._place = place, place
        self._waiting: deque[Change] = deque()
        self._pause = 0.0

    @property
    def place(self) -> Place:
        """After the last change that was taken, and whatever before the next one is not wanted."""
        return self._place if self._waiting else self._read

    def fill(self, most: float = 0.0) -> None:
        """Read one page of what is new; changes nothing if that fails. `most`: seconds to wait where that is cheap."""
        page = self._page(most)
        moved = page.place != self._read
        self._read = page.place
        self._waiting += page.changes
        if page.behind:
            self._pause = 0.0
        elif moved:
            self._pause = ACTIVE_SECONDS
        else:
            self._pause = min(IDLE_SECONDS, max(ACTIVE_SECONDS, self._pause * SLOWER))

    def _page(self, most: float) -> Page:
        return read_page(self._scope, self._selection, self._read)

    def take(self) -> Change | None:
        """The next change that `fill` has read, None when there is none."""
        if not self._waiting:
            return None
        change = self._waiting.popleft()
        self._place = change.place
        return change

    @property
    def pause(self) -> float:
        """Seconds to wait before the next `fill`; 0 when there is more to read."""
        return self._pause


def feed(
    scope: Scope, what: str | EntityRef | None, key: str | PathParts | None, kind: str | None, since: Since | None
) -> Feed:
    """A feed from `since`, or from now. Raises MomentError, LatestOnlyError, InvalidReferenceError, NotFoundError."""
    if scope.moment != NOW:
        raise LatestOnlyError("a client of the past has nothing to watch: leave out as_of, or use since")
    return Feed(scope, select(scope, what, key, kind), _place(scope, since))


def _place(scope: Scope, since: Since | None) -> Place:
    if since is None:
        return Place(scope.position)
    if not isinstance(since, (tuple, list)):
        return Place(scope.position_at(since))
    # JSON knows no tuples: what was kept comes back as a list.
    if len(since) != 3:
        raise MomentError(f"{since!r:.80} is no place of a change")
    return Place(*(checked_position(part) for part in since))


class _Deadline:
    """The time at which a watch with a timeout ends."""

    def __init__(self, feed: Feed, timeout: float | None) -> None:
        self.feed, self._timeout = feed, timeout
        self._since = time.monotonic()

    @property
    def place(self) -> Place:
        """Pass it as `since` to go on here."""
        return self.feed.place

    def _take(self) -> Change | None:
        change = self.feed.take()
        if change is not None:
            self._since = time.monotonic()
        return change

    def _left(self) -> float:
        """Seconds until it ends."""
        return NO_END if self._timeout is None else max(0.0, self._since + self._timeout - time.monotonic())

    def _pause(self) -> float | None:
        """Seconds to wait; None when it is over."""
        if self._timeout is None or not self.feed.pause:
            return self.feed.pause
        left = self._since + self._timeout - time.monotonic()
        return None if left <= 0 else min(left, self.feed.pause)


class Watch(_Deadline):
    """An iterator over changes; it waits for the next one."""

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Change:
        while (change := self._take()) is None:
            self.feed.fill(self._left())
            if (change := self._take()) is not None:
                break
            pause = self._pause()
            if pause is None:
                raise StopIteration
            time.sleep(pause)
        return change


class AsyncWatch(_Deadline):
    """The same for `async for`. Cancelling it loses nothing: iterate on, or start again at its `place`."""

    def __aiter__(self) -> AsyncWatch:
        return self

    async def __anext__(self) -> Change:
        import anyio  # 60 ms, which plain readers need not pay

        while (change := self._take()) is None:
            await anyio.to_thread.run_sync(self.feed.fill, min(self._left(), CANCEL_SECONDS))
            if (change := self._take()) is not None:
                break
            pause = self._pause()
            if pause is None:
                raise StopAsyncIteration
            await anyio.sleep(pause)
        return change
