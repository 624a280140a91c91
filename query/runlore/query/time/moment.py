"""Moments: what a read may see of the log, by position, by the log's clock, or by the producers' clocks."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal, NamedTuple, get_args

from runlore.query.time.parse import LAST_POSITION, bounded_position, parse_when
from runlore.schemas.errors import ArgumentError, MomentError
from runlore.store import stretches

AsOf = int | dt.datetime | str
"""A position, a time with a zone, or a text that `parse_when` understands."""
Clock = Literal["recorded", "occurred"]
"""``recorded``: the log's clock, in the order of positions. ``occurred``: what each producer's own clock said."""

NO_END = LAST_POSITION
MAX_COUNT = 2**62
"""The most that a limit can be: room for the next one, in what SQLite can hold."""
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def utc(microseconds: int) -> dt.datetime:
    """The time of a stored count of microseconds since 1970."""
    return EPOCH + dt.timedelta(microseconds=microseconds)


class Moment(NamedTuple):
    """A moment: events up to a position and, if set, only those that had occurred by a time.

    An event is seen whole or not at all. Among what is seen the log's order decides, never a producer's clock.
    """

    position: int = NO_END
    occurred_us: int | None = None
    """Microseconds since 1970."""

    def event_condition(self, column: str) -> tuple[str, tuple[int, ...]]:
        """SQL that holds where the event at `column` (qualified: ``links.position``) is seen, and its values."""
        if self.occurred_us is None:
            return f"{column} <= ?", (self.position,)
        occurred = f"EXISTS (SELECT 1 FROM events o WHERE o.position = {column} AND o.occurred_us <= ?)"
        return f"({column} <= ? AND {occurred})", (self.position, self.occurred_us)

    def row_condition(self, row: str) -> tuple[str, tuple[int, ...]]:
        """SQL that holds where a row of history (see `runlore.store.stretches`) is seen, and its values."""
        seen, values = self.event_condition(f"{row}.position")
        return f"{stretches.upto('?')} AND {seen}", (self.position, *values)

    def entity_condition(self, entities: str = "entities") -> tuple[str, tuple[int, ...]]:
        """SQL that holds where an entity had been named, and its values; `entities` is the table's alias."""
        created, values = self.event_condition(f"{entities}.created_position")
        if self.occurred_us is None:
            return created, values
        # The event that made it in the log may have occurred after others about it: an outbox came late.
        seen, more = self.row_condition("x")
        mentions = stretches.of_entity(f"{entities}.entity_id", "x")
        return f"({created} OR EXISTS (SELECT 1 FROM {mentions} WHERE {seen}))", values + more

    def recorded(self, read: str) -> int:
        """The last position seen, for a read that goes by positions only.

        Raises MomentError, naming the `read`, under the producers' clocks.
        """
        if self.occurred_us is not None:
            raise MomentError(f"{read} cannot be read by the producers' clocks: leave out the clock `occurred`")
        return self.position


NOW = Moment()
"""Everything that is folded."""


class Range(NamedTuple):
    """A range of a history: positions, times of occurrence, and how many of which end."""

    first: int = 0
    last: int = NO_END
    limit: int | None = None
    oldest: bool = False
    """True if `limit` keeps the oldest entries instead of the newest."""
    occurred: tuple[int, int] | None = None
    """First and last microsecond of occurrence."""

    def has(self, position: int, occurred_at: dt.datetime) -> bool:
        """Return whether an event is inside, whatever the limit."""
        if self.occurred is not None and not self.occurred[0] <= micros_of(occurred_at) <= self.occurred[1]:
            return False
        return self.first <= position <= self.last


def check_clock(clock: Clock) -> Clock:
    """The same clock, if there is such a one. Raises MomentError."""
    if clock not in get_args(Clock):
        raise MomentError(f"there is no clock {clock!r}: choose from {', '.join(get_args(Clock))}")
    return clock


def micros_of(when: dt.datetime) -> int:
    """Microseconds since 1970. Raises MomentError for a time without a zone, or with none in UTC."""
    if when.tzinfo is None:
        raise MomentError(f"{when!r} has no time zone: say which moment is meant, e.g. .astimezone()")
    try:
        when.astimezone(dt.UTC)
    except OverflowError as error:
        raise MomentError(f"{when.isoformat()} is outside the years 1 to 9999 of UTC") from error
    return (when - EPOCH) // _MICROSECOND


def checked_moment(when: AsOf) -> int | dt.datetime:
    """Return the event number or time of a value. Raises MomentError for what can be neither."""
    untyped: Any = when  # callers are
    if isinstance(untyped, str):
        return parse_when(untyped)
    if isinstance(untyped, int) and not isinstance(untyped, bool):
        return bounded_position(untyped)
    if isinstance(untyped, dt.datetime):
        return untyped
    raise MomentError(f"{untyped!r:.80} is no event number or time: give an int, a datetime or a text")


def checked_position(position: int) -> int:
    """The same position, where no time will do. Raises MomentError."""
    untyped: Any = position  # callers are
    if isinstance(untyped, bool) or not isinstance(untyped, int):
        raise MomentError(f"{untyped!r:.80} is no event number: give an int")
    return bounded_position(position)


def check_limit(limit: int) -> int:
    """The same limit, if it is a count that can be. Raises ArgumentError."""
    untyped: Any = limit  # callers are
    if not isinstance(untyped, int) or isinstance(untyped, bool) or limit < 1:
        raise ArgumentError(f"limit is 1 or more, not {untyped!r:.80}")
    if limit > MAX_COUNT:
        raise ArgumentError(f"limit is at most {MAX_COUNT}")
    return limit
