"""Numbers of one leaf over the log, as arrays for plotting."""

from __future__ import annotations

import decimal
import importlib
import itertools
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from runlore.query.leaves import ENDED
from runlore.query.moments import Clock, Moment, Range, utc
from runlore.query.reader import ViewReader
from runlore.query.timeline import paths_below
from runlore.schemas.cells import from_cell, nearest_float
from runlore.schemas.errors import NotFoundError, RunloreError
from runlore.schemas.paths import PathParts, format_path

if TYPE_CHECKING:
    from runlore.query.entity import Entity

NUMERIC = ("int", "float", "decimal", "StorageSize")

_SERIES = """SELECT h.position, e.recorded_us, e.occurred_us, h.type, h.value
    FROM history h CROSS JOIN events e ON e.position = h.position
    WHERE h.entity_id = ? AND h.path_id = ? AND h.position BETWEEN ? AND ?
    AND h.type IN ('int', 'float', 'decimal', 'StorageSize') ORDER BY h.position {order}"""

_NUMBER = f"h.type IN ({', '.join(repr(name) for name in NUMERIC)})"
_COUNTS = (
    f"SELECT count(*), coalesce(sum({_NUMBER}), 0) FROM history h WHERE h.entity_id = ? AND h.path_id = ? AND {{seen}}"
)
_PAST = f"""SELECT h.position, h.type, CASE WHEN {_NUMBER} THEN h.value END FROM history h
    WHERE h.entity_id = ? AND h.path_id = ? AND {{seen}} ORDER BY h.position"""
_BEYOND = 2**1023
_Row = tuple[int, int, str, int | float | None]
_TIMES = "SELECT position, {clock}_us FROM events WHERE position IN (SELECT value FROM json_each(?))"


class Series(NamedTuple):
    """The numbers of a leaf, oldest first by the log; three lists of equal length."""

    path: str
    positions: list[int]
    times: list[float]
    """Seconds since 1970 (UTC), by the client's clock: when recorded, or when the producer says it happened."""
    values: list[int | float]
    """Numbers as logged (sizes in bytes, not-a-number included); a Decimal as float."""

    def to_numpy(self) -> tuple[Any, Any, Any]:
        """Positions (int64), times (datetime64, microseconds, UTC) and values (float64).

        Raises RunloreError when numpy is not installed.
        """
        try:
            numpy = importlib.import_module("numpy")
        except ModuleNotFoundError as error:
            raise RunloreError("to_numpy() needs numpy: pip install numpy, or use the lists") from error
        times = numpy.array([round(second * 1e6) for second in self.times], dtype="int64").astype("datetime64[us]")
        return (
            numpy.array(self.positions, dtype="int64"),
            times,
            numpy.array([*map(nearest_float, self.values)], dtype="float64"),
        )


def series(
    reader: ViewReader, entity_id: int, path: str | PathParts, wanted: Range, moment: Moment, clock: Clock
) -> Series:
    """The wanted numbers of a leaf that a moment sees. Raises NotFoundError when it never was a leaf."""
    parts, leaf = _leaf(reader, entity_id, path)
    rows = _rows(reader, (entity_id, leaf), wanted, moment)
    time = 1 if clock == "recorded" else 2
    return Series(
        format_path(parts),
        [row[0] for row in rows],
        [row[time] / 1e6 for row in rows],
        [_number(row[3], row[4]) for row in rows],
    )


class Point(NamedTuple):
    """One entry of a leaf: a number, or what stands between numbers (another value, an end)."""

    entry: int
    """The first entry of the leaf is 1."""
    position: int
    type: str
    """The value's type, or how it ended: ``removed``, ``retracted``."""
    value: int | float | None
    """As in a `Series`; None where the entry is no number."""

    @property
    def finite(self) -> bool:
        """Whether it can be drawn."""
        return _is_finite(self.value)


class Sketch(NamedTuple):
    """A leaf's whole past, thinned to what a chart can show: see `sketch`."""

    path: str
    points: list[Point]
    times: list[float]
    """Of each point, as in a `Series`."""
    total: int
    """How many numbers there are."""


def sketch(entity: Entity, key: str | PathParts, points: int) -> Sketch:
    """All entries of a leaf if they are at most so many; else about so many numbers: the first, the last, and the least
    and the largest of each stretch.

    Between numbers stands what breaks a line: what is no number, not finite, or an end. Of a thinned past each stretch
    has at most one of these (an end rather than others) and the entry before it, on top of its numbers.
    Raises NotFoundError when the key was never a leaf here.
    """
    reader = entity.reader
    seen, bounds = entity.moment.sees("h.position")
    with reader.read() as connection:
        holder, path = entity._holder(key)  # pyright: ignore[reportPrivateUsage] -- as its own series does
        parts, leaf = _leaf(reader, holder.entity_id, path)
        values = (holder.entity_id, leaf, *bounds)
        many, total = reader.one(_COUNTS.format(seen=seen), values) or (0, 0)
        width = 1 if many <= points else math.ceil(many / max(1, points // 2 - 1))
        past = (
            (entry, position, kind, None if cell is None else _number(kind, cell))
            for entry, (position, kind, cell) in enumerate(connection.execute(_PAST.format(seen=seen), values), 1)
        )
        found = [Point(*row) for row in (past if width == 1 else _thinned(past, width))]
        asked = str([point.position for point in found])
        times = dict(reader.rows(_TIMES.format(clock=entity.client.clock), (asked,)))
    return Sketch(format_path(parts), found, [times[point.position] / 1e6 for point in found], total)


def _thinned(past: Iterable[_Row], width: int) -> Iterable[_Row]:
    rest, kept, last = iter(past), dict[int, _Row](), None
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


def _leaf(reader: ViewReader, entity_id: int, path: str | PathParts) -> tuple[PathParts, int]:
    """The path meant, and the number of its leaf."""
    parts, below = paths_below(reader, entity_id, path)
    leaf = next((path_id for path_id, found in below if found == parts), None)
    if leaf is None:
        names = ", ".join(format_path(found) for _, found in below[:5])
        raise NotFoundError(f"{format_path(parts)!r} is a group: a series is of one leaf, such as {names}")
    return parts, leaf


def _rows(reader: ViewReader, leaf: tuple[int, int], wanted: Range, moment: Moment) -> list[tuple[Any, ...]]:
    sql = _SERIES.format(order="ASC" if wanted.oldest else "DESC")
    values = (*leaf, wanted.first, min(wanted.last, moment.position))
    if moment.occurred_us is None and wanted.occurred is None:
        rows = reader.rows(f"{sql} LIMIT ?", (*values, -1 if wanted.limit is None else wanted.limit))
    else:
        known = [row for row in reader.rows(sql, values) if wanted.has(row[0], utc(row[2]))]
        seen = [row for row in known if moment.occurred_us is None or row[2] <= moment.occurred_us]
        rows = seen[: wanted.limit]
    return rows if wanted.oldest else rows[::-1]


def _number(kind: str, cell: Any) -> int | float:
    value: int | float | decimal.Decimal = from_cell(kind, cell)
    if isinstance(value, float):
        return value
    return int(value) if isinstance(value, int) else nearest_float(value)
