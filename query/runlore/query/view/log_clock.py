"""The log's clock: which position was recorded by a time."""

from __future__ import annotations

from runlore.query.time.moment import AsOf, checked_moment, micros_of
from runlore.query.view.connection import ViewReader

_EVENT_FROM = "SELECT position, recorded_us FROM events WHERE position >= ? ORDER BY position LIMIT 1"


def position_at(reader: ViewReader, when: AsOf) -> int:
    """Return the last event recorded at or before a time; an event number is returned as it is."""
    meant = checked_moment(when)
    return meant if isinstance(meant, int) else last_recorded(reader, micros_of(meant))


def last_recorded(reader: ViewReader, limit_us: int) -> int:
    """The last position recorded at or before a microsecond; 0 if there is none."""
    # recorded_us never falls as position grows: halve the range instead of scanning.
    with reader.read():
        state = reader.one("SELECT position FROM view_state")
        low, high = 0, int(state[0]) if state else 0
        while low < high:
            middle = (low + high + 1) // 2
            row = reader.one(_EVENT_FROM, (middle,))
            if row is None or row[1] > limit_us:
                high = middle - 1
            else:
                low = min(max(middle, int(row[0])), high)
    return low
