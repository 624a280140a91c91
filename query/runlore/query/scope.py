"""The scope of a read: which view, which project, and as of which moment by which clock.

Every part of the query library takes a scope. What lies behind it may be a file on this machine or, one day, a server.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from runlore.query.time.moment import (
    NO_END,
    NOW,
    AsOf,
    Clock,
    Moment,
    Range,
    check_clock,
    check_limit,
    checked_moment,
    checked_position,
    micros_of,
    utc,
)
from runlore.query.view.connection import ViewReader
from runlore.query.view.log_clock import last_recorded, position_at
from runlore.schemas.errors import MomentError


@dataclass(frozen=True, slots=True)
class Scope:
    """View, project, moment and clock of a read. Cheap to make; `at` gives the same scope as of another moment."""

    reader: ViewReader
    project: str
    moment: Moment = NOW
    """The moment of all reads."""
    clock: Clock = "recorded"
    """The clock of times."""

    def at(self, moment: Moment) -> Scope:
        """The same view and project as of a moment."""
        return replace(self, moment=moment)

    # -- how far the log is --------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """The position of the last folded event."""
        return self._state()[0]

    @property
    def position(self) -> int:
        """All reads are complete up to this position."""
        return min(self.head, self.moment.position)

    @property
    def recorded_at(self) -> dt.datetime:
        """When the log recorded the latest event that can be read, UTC."""
        return utc(self._state()[1])

    def _state(self) -> tuple[int, int]:
        row = self.reader.one("SELECT position, recorded_us FROM view_state")
        assert row is not None
        return row[0], row[1]

    # -- moments -------------------------------------------------------------------------------------

    def position_at(self, when: AsOf) -> int:
        """Return the last event recorded at or before a time. Raises MomentError."""
        return position_at(self.reader, when)

    def moment_of(self, when: AsOf, clock: Clock | None = None) -> Moment:
        """Return the moment of an event number or time, by this scope's clock unless another is given.

        By the producers' clocks that is what they say had happened by then, out of what was known at this scope's
        moment. Raises MomentError, also for a position by the producers' clocks.
        """
        if check_clock(clock or self.clock) == "recorded":
            return Moment(self.position_at(when))
        meant = checked_moment(when)
        if isinstance(meant, int):
            raise MomentError(f"event {meant:,} says nothing about the producers' clocks: give a time")
        return Moment(self.moment.position, micros_of(meant))

    def range_of(
        self,
        limit: int | None = None,
        since: AsOf | None = None,
        until: AsOf | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> Range:
        """The entries between two positions or times (both included), and between two positions (excluded).

        With `after`, `limit` keeps the oldest, which is the next page; else the newest.
        """
        if limit is not None:
            check_limit(limit)
        after = None if after is None else checked_position(after)
        before = None if before is None else checked_position(before)
        first, early = self._bound(since, start=True)
        last, late = self._bound(until, start=False)
        return Range(
            first if after is None else max(first, min(after + 1, NO_END)),
            last if before is None else min(last, before - 1),
            limit,
            after is not None,
            None if early is late is None else (-NO_END if early is None else early, NO_END if late is None else late),
        )

    def _bound(self, when: AsOf | None, start: bool) -> tuple[int, int | None]:
        """The position, and by the producers' clocks the microsecond, where a range starts or ends."""
        meant = None if when is None else checked_moment(when)
        open_end = 0 if start else NO_END
        if not isinstance(meant, dt.datetime):
            return open_end if meant is None else meant, None
        if self.clock == "occurred":
            return open_end, micros_of(meant)
        if start:
            return last_recorded(self.reader, micros_of(meant) - 1) + 1, None
        return last_recorded(self.reader, micros_of(meant)), None
