"""Parameters of the API: their types and bounds, from which the description is made and requests are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from runlore.dashboard.visit import MAX_PAGE
from runlore.query.time.moment import NO_END
from runlore.schemas.errors import ArgumentError

EVERYWHERE = ("as_of", "clock", "project")
"""Parameters of every endpoint."""
REPEATED = ("ref", "at")
"""Parameters that a comparison accepts several times."""
MAX_QUERY = 1000
"""Characters of a search."""
_SHOWN = 40


class Bounds(NamedTuple):
    """Default of a number (0: none), and the largest one."""

    default: int
    most: int


ROWS = Bounds(100, MAX_PAGE)
DEPTH = Bounds(10, 50)
POSITIONS = Bounds(0, NO_END)


class Parameter(NamedTuple):
    """One parameter: its meaning, and what it may be."""

    text: str
    bounds: Bounds | None = None
    """Of a whole number of at least 1."""
    choices: tuple[str, ...] = ()
    longest: int | None = None
    """Characters."""


PARAMETERS: dict[str, Parameter] = {
    "as_of": Parameter("The moment of the answer: an event number, an ISO 8601 time, or a phrase such as `2h ago`."),
    "clock": Parameter(
        "`occurred`: times in `as_of` and `at` are by the producers' clocks; endpoints of events answer 400.",
        choices=("recorded", "occurred"),
    ),
    "project": Parameter("A project; by default that of the server."),
    "ref": Parameter("An entity, such as `model:churn@3`, `run:<id>` or `step:<run id>/train`."),
    "path": Parameter("A key or group, such as `metrics.accuracy`."),
    "kind": Parameter("A kind of entity, such as `model`; by default all kinds."),
    "where": Parameter("A filter, such as `metrics.accuracy > 0.9 and not retired`."),
    "order_by": Parameter("A key or field; by default the newest come first."),
    "desc": Parameter("`1`: descending order.", choices=("0", "1")),
    "limit": Parameter("Maximum number of results.", ROWS),
    "points": Parameter(
        "The whole history, downsampled to about this many numbers for a chart: the first, the last, and the minimum"
        " and maximum of each interval. Entries that are not numbers are null. `limit` is ignored.",
        Bounds(0, 100_000),
    ),
    "after": Parameter("The `cursor` of the previous page."),
    "before": Parameter("An event number: only earlier results.", POSITIONS),
    "at": Parameter("Moments to compare at, event numbers or times."),
    "best": Parameter("Which numbers of a row are best.", choices=("max", "min")),
    "since": Parameter("An event number or time to compare with; by default the beginning of the log."),
    "other": Parameter("Another entity to compare with."),
    "all": Parameter("`1`: include equal values.", choices=("0", "1")),
    "direction": Parameter("Towards sources or results.", choices=("upstream", "downstream")),
    "depth": Parameter("Maximum distance from the entity, in links.", DEPTH),
    "position": Parameter("An event number.", POSITIONS),
    "q": Parameter("Words; the last one can be a prefix.", longest=MAX_QUERY),
}


def schema_of(name: str, bounds: Mapping[str, Bounds]) -> dict[str, Any]:
    """Return the JSON schema of a parameter; `bounds`: those of the endpoint, which come first."""
    known = PARAMETERS[name]
    limits = bounds.get(name, known.bounds)
    if limits is not None:
        default = {"default": limits.default} if limits.default else {}
        return {"type": "integer", "minimum": 1, "maximum": limits.most, **default}
    schema: dict[str, Any] = {"type": "string"}
    if known.choices:
        schema["enum"] = list(known.choices)
    if known.longest is not None:
        schema["maxLength"] = known.longest
    return schema


def check(name: str, text: str, bounds: Mapping[str, Bounds]) -> None:
    """Raise ArgumentError for a value that the description does not allow."""
    known = PARAMETERS[name]
    limits = bounds.get(name, known.bounds)
    if limits is not None:
        whole = text.isascii() and text.isdecimal() and len(text) <= _SHOWN
        if not whole or not 1 <= int(text) <= limits.most:
            raise ArgumentError(f"{name} must be a whole number from 1 to {limits.most}, not {text[:_SHOWN]!r}")
    elif known.choices and text not in known.choices:
        raise ArgumentError(f"{name} must be {' or '.join(known.choices)}, not {text[:_SHOWN]!r}")
    elif known.longest is not None and len(text) > known.longest:
        raise ArgumentError(f"{name} has {len(text):,} characters; at most {known.longest:,} are allowed")
