"""Numbers of one leaf over the log, as arrays for plotting."""

from __future__ import annotations

import decimal
import importlib
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Literal, NamedTuple, get_args

from runlore.query.frames import Frame, Framed
from runlore.query.history import paths_below
from runlore.query.scope import Scope
from runlore.query.time.moment import Moment, Range, utc
from runlore.query.view.connection import ViewReader
from runlore.schemas.errors import ArgumentError, NotFoundError, RunloreError
from runlore.schemas.paths import PathParts, format_path
from runlore.store import stretches
from runlore.store.cells import from_cell, nearest_float

NUMERIC = ("int", "float", "decimal", "StorageSize")

IS_NUMBER = f"h.type IN ({', '.join(repr(name) for name in NUMERIC)})"
_SERIES = f"""SELECT h.position, e.recorded_us, e.occurred_us, h.type, h.value, e.at_step
    FROM {stretches.of_leaf(":entity", ":path")} CROSS JOIN events e ON e.position = h.position
    WHERE {stretches.between(":first", ":last")} AND h.position BETWEEN :first AND :last
    AND {IS_NUMBER} ORDER BY s.stretch {{order}}, h.position {{order}}"""


Axis = Literal["time", "step"]


class _Numbers(NamedTuple):
    """The numbers of a path, in log order or in the order of their steps; lists of equal length."""

    path: str
    positions: list[int]
    times: list[float]
    """Seconds since 1970 (UTC), by the client's clock: when recorded, or when the producer says it happened."""
    values: list[int | float]
    """Numbers as logged (sizes in bytes, not-a-number included); a Decimal as float."""
    steps: Sequence[int | None] = ()
    """The point on the training's own axis at which each was logged, if any."""


class Series(_Numbers, Framed):
    """The numbers of a path, in log order or in the order of their steps; lists of equal length."""

    __slots__ = ()

    def to_frame(self) -> Frame:
        """A row for each number: position, time (UTC), step and value."""
        times = [utc(round(second * 1e6)) for second in self.times]
        steps = list(self.steps) or [None] * len(self.values)
        return Frame({"position": self.positions, "time": times, "step": steps, "value": self.values})

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


def series(scope: Scope, entity_id: int, path: str | PathParts, wanted: Range, x: Axis = "time") -> Series:
    """The wanted numbers of a leaf that the scope's moment sees. Raises NotFoundError when it never was a leaf."""
    if x not in get_args(Axis):
        raise ArgumentError(f"x must be 'time' or 'step', not {x!r}")
    parts, leaf = leaf_of(scope.reader, entity_id, path)
    rows = _rows(scope.reader, (entity_id, leaf), wanted, scope.moment)
    if x == "step":
        rows = sorted((row for row in rows if row[5] is not None), key=itemgetter(5, 0))
    time = 1 if scope.clock == "recorded" else 2
    return Series(
        format_path(parts),
        [row[0] for row in rows],
        [row[time] / 1e6 for row in rows],
        [number_of(row[3], row[4]) for row in rows],
        [row[5] for row in rows],
    )


def leaf_of(reader: ViewReader, entity_id: int, path: str | PathParts) -> tuple[PathParts, int]:
    """The path meant, and the number of its leaf."""
    parts, below = paths_below(reader, entity_id, path)
    leaf = next((path_id for path_id, found in below if found == parts), None)
    if leaf is None:
        names = ", ".join(format_path(found) for _, found in below[:5])
        raise NotFoundError(f"{format_path(parts)!r} is a group: a series is of one path, such as {names}")
    return parts, leaf


def _rows(reader: ViewReader, leaf: tuple[int, int], wanted: Range, moment: Moment) -> list[tuple[Any, ...]]:
    sql = _SERIES.format(order="ASC" if wanted.oldest else "DESC")
    values = {"entity": leaf[0], "path": leaf[1], "first": wanted.first, "last": min(wanted.last, moment.position)}
    if moment.occurred_us is None and wanted.occurred is None:
        rows = reader.rows(f"{sql} LIMIT :limit", values | {"limit": -1 if wanted.limit is None else wanted.limit})
    else:
        known = [row for row in reader.rows(sql, values) if wanted.has(row[0], utc(row[2]))]
        seen = [row for row in known if moment.occurred_us is None or row[2] <= moment.occurred_us]
        rows = seen[: wanted.limit]
    return rows if wanted.oldest else rows[::-1]


def number_of(kind: str, cell: Any) -> int | float:
    """The number of a cell; a size as int, a Decimal as float."""
    value: int | float | decimal.Decimal = from_cell(kind, cell)
    if isinstance(value, float):
        return value
    return int(value) if isinstance(value, int) else nearest_float(value)
