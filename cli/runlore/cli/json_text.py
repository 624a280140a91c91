"""JSON as people and scripts write it, read so that nothing in it is lost in silence."""

from __future__ import annotations

import json
import math
from typing import Any


class LossyJSONError(ValueError):
    """Well-formed JSON of which a part would be lost: a number beyond every float, a key given twice."""


def read_json(text: str) -> Any:
    """The value of a JSON text; NaN and Infinity, so written, are floats.

    Raises LossyJSONError, and ValueError for what is no JSON.
    """
    try:
        return json.loads(text, parse_float=_float, parse_int=_int, object_pairs_hook=_object)
    except RecursionError:
        raise LossyJSONError("it is nested too deeply") from None


def _float(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise LossyJSONError(f"no float is as large as {shortened(literal)}")
    if value == 0 and literal.strip("-+eE0."):
        raise LossyJSONError(f"{shortened(literal)} would be read as 0")
    return value


def _int(literal: str) -> int:
    try:
        return int(literal)
    except ValueError:  # Python reads a few thousand digits at most
        raise LossyJSONError(f"{shortened(literal)} has too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise LossyJSONError(f"the key {json.dumps(twice)} is given twice")
    return found


def shortened(literal: str) -> str:
    """A literal as a message shows it."""
    return literal if len(literal) <= 40 else f"{literal[:40]}…"
