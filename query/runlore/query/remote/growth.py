"""Waiting until a view has grown: one look for all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runlore.schemas.errors import RunloreError

LOOK_SECONDS = 0.005
"""Between two looks, while somebody waits."""


class Growth:
    """The end of a view, looked at on behalf of any number of waiters. For one event loop."""

    def __init__(self, head: Callable[[], int]) -> None:
        self._head = head
        self._waiting = dict[asyncio.Future[None], int]()
        self._looking: asyncio.Task[None] | None = None
        self.over = False
        """True once nobody is to wait any longer."""

    async def beyond(self, position: int, seconds: float) -> None:
        """Wait until the view has events after a position, at most so long; not at all once it is over."""
        if self.over or seconds <= 0:
            return
        grown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[grown] = position
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait({grown}, timeout=seconds)
        finally:
            del self._waiting[grown]

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                head = self._head()
            except RunloreError:
                continue  # no view: who asks hears it when the time is over
            for grown, position in self._waiting.items():
                if (head > position or self.over) and not grown.done():
                    grown.set_result(None)

    def end(self) -> None:
        """Let nobody wait any longer."""
        self.over = True
