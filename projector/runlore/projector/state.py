"""State of the running service; written by its stages, read by health, metrics and status."""

from __future__ import annotations

import dataclasses
import os
import time

from runlore.store.records import ProjectorStatus

ASKED = "asked to stop"
"""Stop reason of a service that did not fail."""

LIVE_SECONDS = 15.0
"""The loop ticks every second; it counts as stuck after this long."""


STEADY_SECONDS = 60.0
"""A service that has run for this long has not failed again."""


@dataclasses.dataclass(slots=True)
class ServiceState:
    """Plain fields, each written by one thread; a reader may see one a moment before another."""

    connected: bool = False
    fold_running: bool = False
    storing: bool = True
    """True if the server stores events, as far as it can be asked."""
    stream_last: int = 0
    stream_bytes: int = 0
    stream_max_bytes: int = 0
    """At which the stream refuses events; 0: no limit."""
    archived: int = 0
    known: int = 0
    """How far an earlier service had archived: log.db may be an older copy since."""
    folded: int = 0
    quarantined: int = 0
    duplicates: int = 0
    conflicts: int = 0
    gaps: int = 0
    events_archived: int = 0
    """Since the start of this process, as the next four."""
    events_folded: int = 0
    connects: int = 0
    disconnects: int = 0
    consumer_restarts: int = 0
    ticked: float = dataclasses.field(default_factory=time.monotonic)
    started: float = dataclasses.field(default_factory=time.monotonic)
    restarts: int = 0
    """Consecutive restarts soon after a failure."""
    problems: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Problems with their remedies, by subject."""
    upkeep: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """What to do about a stream that works, by check."""

    @property
    def all_problems(self) -> list[str]:
        """Problems and upkeep, as a person should see them."""
        return [*self.problems.values(), *self.upkeep.values()]

    @property
    def lag(self) -> int:
        """Events of the stream that are not folded yet."""
        return max(0, max(self.stream_last, self.archived) - self.folded)

    def follow(self, before: ProjectorStatus | None) -> None:
        """Remember how far the service before had come, and count on from it if it failed just now."""
        self.known = before.archived if before is not None else 0
        if before is not None and before.stopped not in (None, ASKED) and time.time() - before.updated < STEADY_SECONDS:
            self.restarts = before.restarts + 1

    def tick(self) -> None:
        """Record that the loop is alive."""
        self.ticked = time.monotonic()

    def live(self) -> bool:
        """Return whether the loop ticked lately."""
        return time.monotonic() - self.ticked < LIVE_SECONDS

    def status(self, http: str, stopped: str | None) -> ProjectorStatus:
        """The content of status.json."""
        return ProjectorStatus(
            pid=os.getpid(),
            http=http,
            connected=self.connected,
            stream_last=self.stream_last,
            archived=max(self.archived, self.known),
            folded=self.folded,
            quarantined=self.quarantined,
            updated=time.time(),
            stopped=stopped,
            restarts=self.restarts if time.monotonic() - self.started < STEADY_SECONDS else 0,
            problems=tuple(self.problems.values()),
        )
