"""Confirmations: acknowledged rows leave their outboxes once the archive has them; what the stream lost is sent again.

kept rows ─ archived ─▶ leave
    ├ pending ─▶ asked again later
    ├ missing: the archive has passed their positions and has other events there, or a hole ─▶ sent again
    └ nobody answers (no projector), not permitted ─▶ kept within limits, or not at all
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING

from runlore.wire.archived import Fate

if TYPE_CHECKING:
    from runlore.producer.sending.delivery import Delivery
    from runlore.producer.sending.source import Source

FIRST_SECONDS = 0.05
"""After an acknowledgement the archive usually has the events by then."""
MOST_SECONDS = 5.0
RANGES = 64
"""Asked at once: up to 64,000 events."""
LAST_LOOK_SECONDS = 0.2


class Confirmer:
    """Asks the archive for the kept rows of all sources, beside the events on their way. One for each connection."""

    def __init__(self, delivery: Delivery, sources: Callable[[], Sequence[Source]], lost: Callable[[], None]) -> None:
        """`lost` is called when rows of a source must be sent again: see its `resend`."""
        self._delivery, self._sources, self._lost = delivery, sources, lost
        self._kept = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.permitted = True

    async def __aenter__(self) -> Confirmer:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        assert self._task
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if kind is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_at_all(), LAST_LOOK_SECONDS)

    def notify_kept(self) -> None:
        """Some source keeps rows."""
        self._kept.set()

    def check(self) -> None:
        """Raises what ended the task: an outbox that cannot be written."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _run(self) -> None:
        seconds = FIRST_SECONDS
        while self.permitted:
            if not any(source.kept for source in self._sources()):
                self._kept.clear()
                await self._kept.wait()
                seconds = FIRST_SECONDS
            await asyncio.sleep(seconds)
            seconds = FIRST_SECONDS if await self._look_at_all() else min(2 * seconds, MOST_SECONDS)

    async def _look_at_all(self) -> bool:
        """Whether the archive had anything new."""
        progress = False
        for source in self._sources():
            source.trim()
            if source.kept and source.lost is None and self.permitted:
                progress = await self._look(source) or progress
        return progress

    async def _look(self, source: Source) -> bool:
        asked = list(islice(source.kept, RANGES))
        fates = await self._delivery.ask_archive(source.destination.epoch or "", [one.positions for one in asked])
        if fates is None:
            self._stop_keeping()
            return False
        source.looks += 1
        if source.closed or not fates or list(islice(source.kept, len(asked))) != asked:
            return False  # nobody answers, or the question is out of date
        return self._settle(source, fates)

    def _stop_keeping(self) -> None:
        """This user may not ask: an acknowledgement of the stream has to be enough."""
        self.permitted = False
        for source in self._sources():
            source.keeps = False
            if source.kept:
                source.leave(source.kept[-1].last)

    def _settle(self, source: Source, fates: Sequence[Fate]) -> bool:
        archived = next((index for index, fate in enumerate(fates) if fate != "archived"), len(fates))
        if archived < len(fates) and fates[archived] == "missing":
            source.lost = source.kept[archived]
            self._lost()
        if archived:
            source.looks = 0
            source.leave(source.kept[archived - 1].last)
        return archived > 0
