"""Small SVG drawings: lines of numbers, bars on a time axis."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple

from runlore.query.entities import StepRun
from runlore.store.cells import nearest_float


def spark_points(values: Sequence[float], width: int = 80, height: int = 20) -> str:
    """Return the `points` of a polyline through the finite numbers, in pixels; '' for fewer than two numbers."""
    floats = map(nearest_float, values)
    finite = [(place, value) for place, value in enumerate(floats) if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    # Halves first: the span of two huge floats may be infinite.
    span = (high / 2 - low / 2) or 1.0
    step = (width - 4) / (len(values) - 1)
    return " ".join(
        f"{2 + place * step:.1f},{2 + (height - 4) * (1 - (value / 2 - low / 2) / span):.1f}"
        if high > low
        else f"{2 + place * step:.1f},{height / 2:.1f}"
        for place, value in finite
    )


def broken_line(points: Sequence[tuple[int, float | None]], width: int, height: int) -> list[str]:
    """Return polylines through (x, number) points, in pixels; each None, an entry that is no number, ends a line."""
    finite = [float(value) for _, value in points if value is not None]
    if not finite:
        return []
    first, low = points[0][0], min(finite)
    across = (width - 4) / max(1, points[-1][0] - first)
    span = max(finite) / 2 - low / 2
    lines: list[list[str]] = [[]]
    for place, value in points:
        if value is None:
            lines.append([])
            continue
        y = 2 + (height - 4) * (1 - (value / 2 - low / 2) / span) if span else height / 2
        lines[-1].append(f"{2 + (place - first) * across:.1f},{y:.1f}")
    # A single number is a line to itself: its round caps are visible.
    return [" ".join(line if len(line) > 1 else line * 2) for line in lines if line]


class Bar(NamedTuple):
    """One step on the time axis of its run: start and width in percent."""

    step: StepRun
    status: str | None
    start: float
    width: float
    seconds: float | None


def bars(steps: Sequence[StepRun], until: dt.datetime) -> list[Bar]:
    """Return bars on an axis from the first start to the last end; a running step ends at `until`."""
    known = [step.fields for step in steps]
    starts = [fields["started_at"] for fields in known if fields.get("started_at")]
    first = min(starts, default=until)
    last = max([fields.get("finished_at") or until for fields in known if fields.get("started_at")], default=until)
    whole = max((last - first).total_seconds(), 1e-3)
    made: list[Bar] = []
    for step, fields in zip(steps, known, strict=True):
        begun = fields.get("started_at")
        if begun is None:
            made.append(Bar(step, fields.get("status"), 0.0, 0.0, None))
            continue
        seconds = ((fields.get("finished_at") or until) - begun).total_seconds()
        start = min(99.4, 100 * (begun - first).total_seconds() / whole)
        made.append(Bar(step, fields.get("status"), start, max(0.6, 100 * seconds / whole), seconds))
    return made
