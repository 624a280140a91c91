"""Values as Python source that can be pasted, with the imports they need."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from typing import Any, cast

from runlore.schemas.special import DType, Erased, Path, StorageSize, Uri

_IMPORTS: dict[type, str] = {
    dt.datetime: "import datetime",
    dt.date: "import datetime",
    dt.timedelta: "import datetime",
    decimal.Decimal: "from decimal import Decimal",
    uuid.UUID: "from uuid import UUID",
    **{kind: f"from runlore.schemas import {kind.__name__}" for kind in (DType, Erased, Path, StorageSize, Uri)},
}


def python_text(value: Any) -> str:
    """Return import statements followed by the value as an expression.

    Raises ValueError for an integer with more digits than Python prints.
    """
    needed: set[str] = set()
    _collect(value, needed)
    return "\n".join([*sorted(needed), *([""] if needed else []), repr(value)])


def _collect(value: Any, needed: set[str]) -> None:
    if type(value) in _IMPORTS:
        needed.add(_IMPORTS[type(value)])
    elif isinstance(value, float) and not math.isfinite(value):
        needed.add(f"from math import {'nan' if value != value else 'inf'}")
    elif isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            _collect(item, needed)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in cast("list[Any]", value):
            _collect(item, needed)
