"""Adopted outboxes: those of processes that have ended, on their way to the stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from runlore.producer.outboxes.claims import Claims
from runlore.producer.outboxes.orphans import MAX_ADOPTED, adopt_orphans, rescued
from runlore.producer.outboxes.outbox import Outbox
from runlore.producer.outboxes.rows import DamagedError
from runlore.producer.sending.source import Source
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir

LOOKS = 3
FEW = 16
"""Where more than this are open, one that waits only for the archive is released after LOOKS unanswered questions."""
REST_SECONDS = 30.0
"""For how long, and one whose events belong elsewhere or are refused: open files are few."""
FEW_SECONDS = 2.0
"""For how long one whose events nobody takes, where nobody tells whether there is a stream."""


class Adopted:
    """The relay's outboxes beside its own. For its thread only."""

    def __init__(self, settings: Settings, warn: Callable[[str], None]) -> None:
        self._settings, self._data, self._warn = settings, DataDir(settings.data_dir), warn
        self.sources: list[Source] = []
        self._resting: dict[Path, float] = {}
        """Outboxes left alone, and until when."""
        self.since = ""
        """Only what was made after this ID is adopted."""
        self.more = False
        """Whether there may be more than the last look has opened."""

    def scan(self, claims: Claims) -> bool:
        """Adopt what ended processes left behind for this stream.

        Returns whether some of it lies behind the stream's last known end: ask for the stream again.
        """
        now = time.monotonic()
        self._resting = {path: until for path, until in self._resting.items() if until > now}

        def accepts(outbox: Outbox) -> bool:
            return self._accepts(claims, Source(outbox, self._settings))

        found = adopt_orphans(self._data, self._warn, accepts, self._resting, self.since)
        self.more = len(found) == MAX_ADOPTED
        for outbox in found:
            source = Source(outbox, self._settings)
            claims.claim(source)
            self.sources.append(source)
        return any(claims.beyond(source) for source in self.sources)

    def recheck(self, claims: Claims) -> None:
        """When the server was just asked for its stream: let go of what does not belong there, find what it lost."""
        for source in list(self.sources):
            if self._accepts(claims, source):
                claims.claim(source)
                claims.find_lost(source)
            else:
                self.release_for_now(source)

    def _accepts(self, claims: Claims, source: Source) -> bool:
        if claims.accepts(source.destination):
            if claims.in_shard(source):
                return True
            if source.destination.project in claims.unknown:
                return False  # it is asked for, and looked at again
        self._resting[source.outbox.path] = time.monotonic() + REST_SECONDS
        if claims.replaced(source.destination):
            self._warn(f"events wait for a stream that was replaced: see `runlore outbox status` ({self._data.root})")
        return False

    def leave_older(self) -> None:
        """Let go of what was made before `since`: it is not this process's to wait for."""
        for source in list(self.sources):
            if source.outbox.path.stem < self.since:
                self._close(source)

    def lose(self, source: Source, error: DamagedError) -> None:
        """An outbox is damaged: set it aside."""
        self._close(source)
        self.rescue(source.outbox.path, error)

    def rescue(self, path: Path, error: DamagedError) -> None:
        """Set a damaged outbox aside that is closed; the next look finds what could be read of it."""
        outbox = rescued(path, error, self._warn)
        if outbox is not None:
            outbox.close()
            self.more = True

    def sent(self, source: Source) -> None:
        """Nothing of this one waits to be sent: it is done, or waits for the archive for a while."""
        if not source.kept:
            self._close(source)
        elif source.looks >= LOOKS and len(self.sources) > FEW:
            self.release_for_now(source)

    def release_for_now(self, source: Source, seconds: float = REST_SECONDS) -> None:
        """Let go of an outbox that cannot be finished now."""
        self._resting[source.outbox.path] = time.monotonic() + seconds
        self._close(source)

    def close(self) -> None:
        for source in list(self.sources):
            self._close(source)

    def _close(self, source: Source) -> None:
        self.sources.remove(source)
        source.close()
