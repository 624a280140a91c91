"""Thinned charts: the whole past of a leaf in as many points as a chart can show."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

from runlore.query.entity import Entity
from runlore.query.series import IS_NUMBER, leaf_of, number_of
from runlore.schemas.paths import PathParts, format_path
from runlore.store import stretches
from runlore.store.cells import ENDED

_COUNTS = f"""SELECT count(*), coalesce(sum({IS_NUMBER}), 0) FROM {stretches.of_leaf("?", "?")}
    WHERE {{seen}}"""
_PAST = f"""SELECT h.position, h.type, CASE WHEN {IS_NUMBER} THEN h.value END
    FROM {stretches.of_leaf("?", "?")} WHERE {{seen}} ORDER BY s.stretch, h.position"""
_BEYOND = 2**1023
_SketchRow = tuple[int, int, str, int | float | None]
_TIMES = "SELECT position, {clock}_us, at_step FROM events WHERE position IN (SELECT value FROM json_each(?))"


class Point(NamedTuple):
    """One entry of a leaf: a number, or what is between numbers (another value, an end)."""

    entry: int
    """The first entry of the leaf is 1."""
    position: int
    type: str
    """The value's type, or how it ended: ``removed``, ``retracted``."""
    value: int | float | None
    """As in a `Series`; None where the entry is no number."""

    @property
    def finite(self) -> bool:
        """True if it can be drawn."""
        return _is_finite(self.value)


class Sketch(NamedTuple):
    """A leaf's whole past, thinned to what a chart can show: see `sketch`."""

    path: str
    points: list[Point]
    times: list[float]
    """Of each point, as in a `Series`."""
    total: int
    """Number of numbers."""
    steps: list[int | None]
    """Of each point, as in a `Series`."""


def sketch(entity: Entity, key: str | PathParts, points: int) -> Sketch:
    """Return all entries of a leaf if they are at most `points`, else about as many numbers.

    These are the first, the last, and the least and the largest of each stretch.

    Between numbers is what breaks a line: what is no number, not finite, or an end. Of a thinned past each stretch
    has at most one of these (an end rather than others) and the entry before it, on top of its numbers.
    Raises NotFoundError when the key was never a leaf here.
    """
    reader = entity.scope.reader
    seen, bounds = entity.moment.row_condition("h")
    with reader.read() as connection:
        holder, path = entity.holder(key)
        parts, leaf = leaf_of(reader, holder.entity_id, path)
        values = (holder.entity_id, leaf, *bounds)
        many, total = reader.one(_COUNTS.format(seen=seen), values) or (0, 0)
        width = 1 if many <= points else math.ceil(many / max(1, points // 2 - 1))
        past = (
            (entry, position, kind, None if cell is None else number_of(kind, cell))
            for entry, (position, kind, cell) in enumerate(connection.execute(_PAST.format(seen=seen), values), 1)
        )
        found = [Point(*row) for row in (past if width == 1 else _thinned(past, width))]
        positions = str([point.position for point in found])
        when = {row[0]: row[1:] for row in reader.rows(_TIMES.format(clock=entity.scope.clock), (positions,))}
    times, steps = [when[point.position][0] / 1e6 for point in found], [when[point.position][1] for point in found]
    return Sketch(format_path(parts), found, times, total, steps)


def _thinned(past: Iterable[_SketchRow], width: int) -> Iterable[_SketchRow]:
    rest, kept, last = iter(past), dict[int, _SketchRow](), None
    while stretch := list(itertools.islice(rest, width)):
        telling = [stretch[0]] if last is None else []
        numbers = [(row[3], at) for at, row in enumerate(stretch) if _is_finite(row[3])]
        if numbers:
            telling += [stretch[min(numbers)[1]], stretch[max(numbers)[1]]]
        if len(numbers) < len(stretch):
            breaks = [at for at, row in enumerate(stretch) if not _is_finite(row[3])]
            at = next((at for at in breaks if stretch[at][2] in ENDED), breaks[0])
            ahead = stretch[at - 1] if at else last
            telling += [stretch[at]] if ahead is None else [ahead, stretch[at]]
        kept |= {row[0]: row for row in telling}
        last = stretch[-1]
    if last is not None:
        kept[last[0]] = last
    return (kept[entry] for entry in sorted(kept))


def _is_finite(value: int | float | None) -> bool:
    # Not math.isfinite: an integer may be beyond every float.
    return value is not None and (value - value == 0 if type(value) is float else abs(value) < _BEYOND)
