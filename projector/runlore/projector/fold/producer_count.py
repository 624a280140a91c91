"""What has arrived of one producer's numbers: which are missing, however often a number comes and however large it is.

A producer is a name in a project. Nothing but the right to publish in a project says whose name that is, so another
program may use it and claim any number. No number keeps an event out of the history. It counts once; one that is far
beyond all others counts as implausible and moves nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

MAX_JUMP = 1_000_000
"""A number further above the highest one is implausible: one producer does not lose that number of events at once."""

MAX_RANGES = 32
"""Ranges kept of one producer's numbers. Of more gaps, the lowest count as missing for good."""


class ProducerCount:
    """The numbers of one producer, as ranges of those that have arrived."""

    __slots__ = (
        "_name", "_ranges", "first_position", "implausible", "last_position", "late", "missing", "producer_id", "seen",
    )  # fmt: skip

    def __init__(self, producer_id: int, project: str, producer: str, position: int) -> None:
        self.producer_id, self._name = producer_id, (project, producer)
        self.first_position = self.last_position = position
        self.seen = self.late = self.missing = self.implausible = 0
        self._ranges = [0, 0]  # first and last of each range in turn: numbers begin at 1

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> ProducerCount:
        """The count that a row of the view holds."""
        producer_id, project, producer, first, last, _, seen, late, missing, implausible, ranges = row
        count = cls(producer_id, project, producer, first)
        count.last_position, count.seen, count.late = last, seen, late
        count.missing, count.implausible = missing, implausible
        count._ranges = [int(border) for border in ranges.split()]
        return count

    def row(self) -> tuple[Any, ...]:
        """Return its row of the view."""
        return (
            self.producer_id, *self._name, self.first_position, self.last_position, self._ranges[-1], self.seen,
            self.late, self.missing, self.implausible, " ".join(map(str, self._ranges)),
        )  # fmt: skip

    def count(self, seq: int, position: int) -> None:
        """Count one event."""
        self.last_position = position
        self.seen += 1
        ranges = self._ranges
        highest = ranges[-1]
        if seq == highest + 1:
            ranges[-1] = seq
        elif seq > highest + MAX_JUMP:
            self.implausible += 1
        elif seq > highest:
            self.missing += seq - highest - 1
            ranges += (seq, seq)
            self._limit()
        else:
            self.late += 1
            self._fill(seq)

    def _fill(self, seq: int) -> None:
        """Take a number out of the gap that it is in; one that is in no gap has come before."""
        ranges = self._ranges
        at = bisect_left(ranges, seq)
        if at % 2 or ranges[at] == seq:
            return  # within a range, or its first number
        self.missing -= 1
        joins_before, joins_after = ranges[at - 1] == seq - 1, ranges[at] == seq + 1
        if joins_before and joins_after:
            del ranges[at - 1 : at + 1]
        elif joins_before:
            ranges[at - 1] = seq
        elif joins_after:
            ranges[at] = seq
        else:
            ranges[at:at] = (seq, seq)
            self._limit()

    def _limit(self) -> None:
        if len(self._ranges) > 2 * MAX_RANGES:
            del self._ranges[1:3]  # the lowest gap: what comes into it later is no longer told from a repeated number
